// The command line: its commands, and one place where errors become exit statuses.
// Nothing imported here loads the tensor library; commands that need it import it inside their actions.
import type { Command } from "commander";
import { packageVersion } from "../base/package.js";
import { loadPlugin, pluginsIn } from "../methods/plugins.js";
import { registerArch } from "./arch.js";
import { registerBench } from "./bench.js";
import { registerConfig } from "./config.js";
import { registerDash } from "./dash.js";
import { registerData } from "./data.js";
import { registerDemo } from "./demo.js";
import { registerDoctor } from "./doctor.js";
import { registerEval } from "./eval.js";
import { registerExport } from "./export.js";
import {
  addExamples,
  type GlobalOptions,
  newProgram,
  reportError,
  tolerateClosedTerminals,
  tolerateLostOutput,
} from "./frame.js";
import { heedNohup } from "./interrupt.js";
import { registerLaunch, splitLaunch } from "./launch.js";
import { registerPredict } from "./predict.js";
import { registerRuns } from "./runs.js";
import { registerSearch } from "./search.js";
import { registerSetup } from "./setup.js";
import { registerStudy } from "./study.js";
import { registerTrain } from "./train.js";

/** Headings of the help, and the commands below them. */
const commandGroups = {
  "From pictures to a network:": ["demo", "search", "train"],
  "Using a network:": ["eval", "predict", "export"],
  "Cells, data and runs:": ["arch", "data", "runs", "study", "dash", "launch"],
  "This program:": ["setup", "config", "bench", "doctor"],
};

/**
 * The whole command line as commander sees it.
 * @param launched the command, with its flags, that `launch` is to start
 */
export function buildProgram(launched: readonly string[] = []): Command {
  const program = newProgram("ista-nas")
    .description("Finds convolutional networks for your images by sparse coding (ISTA-NAS, NeurIPS 2020).")
    .version(packageVersion, "--version", "print the version")
    .option("--json", "print results and errors as JSON")
    .option("--quiet", "say nothing of how it goes; warnings, errors and results stay")
    .option("--verbose", "print the stack of errors")
    .option(
      "--plugin <file>",
      "JavaScript module that adds search spaces or methods; may be given several times",
      (file: string, before: string[] = []) => [...before, file],
    );
  registerDemo(program);
  registerSearch(program);
  registerTrain(program);
  registerEval(program);
  registerPredict(program);
  registerExport(program);
  registerArch(program);
  registerData(program);
  registerRuns(program);
  registerStudy(program);
  registerDash(program);
  registerLaunch(program, launched);
  registerConfig(program);
  registerBench(program);
  registerDoctor(program);
  registerSetup(program);
  program.commandsGroup("This program:").helpCommand("help [command]", "display help for a command");
  for (const [heading, names] of Object.entries(commandGroups))
    for (const command of program.commands.filter((one) => names.includes(one.name())))
      command.helpGroup(heading);
  return addExamples(program, [
    ["demo", "the whole course on images that ship with the program"],
    ["search --data my-pictures --image-size 32", "find cells for your own pictures (train/CLASS/*.jpg)"],
    ["train --arch runs/my-search --data my-pictures --image-size 32", "train a network of them"],
    ["doctor", "check that this machine is set up well"],
  ]);
}

/** Runs one command line and ends the process on failure. @param words what follows the program's name. */
export async function main(words: readonly string[]): Promise<void> {
  heedNohup();
  // Read off the words, as an error may come before the flags are parsed.
  const global: GlobalOptions = { json: words.includes("--json"), verbose: words.includes("--verbose") };
  const fail = (error: unknown): never => process.exit(reportError(error, global));
  tolerateLostOutput(fail);
  tolerateClosedTerminals();
  process.on("uncaughtException", fail);
  try {
    // Plug-ins add flags of their own, so they come before all flags are read.
    const { own, launched } = splitLaunch(words);
    for (const file of pluginsIn(own)) await loadPlugin(file);
    await buildProgram(launched).parseAsync(own as string[], { from: "user" });
  } catch (error) {
    fail(error);
  }
}
