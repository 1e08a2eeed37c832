// The command `demo`: the whole course on the images that ship with the program. `npm start` runs it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { printable } from "../base/terminal.js";
import { type ConfigOf, type RunKind, resolveConfig } from "../config/config.js";
import type { RunControl, RunRequest, RunResult } from "../course/execute.js";
import { describeRun } from "../run/listing.js";
import { typedLine } from "../study/commands.js";
import { compareRuns } from "../study/compare.js";
import { addExamples } from "./frame.js";
import { wholeNumber } from "./model-options.js";
import { carryOut } from "./run-command.js";
import { formatComparison, runToCompare } from "./runs.js";

interface DemoOptions {
  root: string;
  seed: number;
  threads: number;
  epochs?: number;
  trainEpochs?: number;
  limitTrain?: number;
}

/** What the found cell is compared with. */
const randomSeeds = [1, 2];

type Carry<Kind extends RunKind> = (request: RunRequest<Kind>, control: RunControl) => Promise<RunResult>;

/** Carries a run of the demonstration out, goes on with it where it was stopped, or takes it as it is where it is finished. */
async function once<Kind extends RunKind>(
  path: string,
  config: ConfigOf[Kind],
  run: Carry<Kind>,
  control: RunControl,
): Promise<RunResult> {
  if (!existsSync(join(path, "meta.json"))) return run({ config, out: path }, control);
  const { status, summary } = describeRun(path);
  if (status !== "finished" || summary === null) return run({ resume: path, flags: {} }, control);
  control.observer.line(`${path} is finished already; delete it to run it again`);
  return { path, status: "finished", summary };
}

async function runDemo(
  options: DemoOptions,
  control: RunControl,
): Promise<{ result: RunResult; runs: string[] }> {
  const { runSearch } = await import("../methods/run-search.js");
  const { runTraining } = await import("../training/run-training.js");
  const { root, seed, threads, limitTrain = null } = options;
  const shared = { seed, threads, limitTrain };
  const given = (name: string, value: number | undefined) => (value === undefined ? {} : { [name]: value });

  const searchPath = join(root, "demo-search");
  const flags = { ...shared, ...given("epochs", options.epochs) };
  const { config } = resolveConfig("search", { preset: "demo", flags });
  control.observer.line("1. searching for cells");
  const search = await once(searchPath, config, runSearch, control);
  if (search.status === "interrupted") return { result: search, runs: [] };

  const cells = [
    { arch: searchPath, name: "demo-found" },
    ...randomSeeds.map((number) => ({ arch: `random:${number}`, name: `demo-random-${number}` })),
  ];
  const runs: string[] = [];
  for (const [index, { arch, name }] of cells.entries()) {
    control.observer.line(
      `${index + 2}. training ${index === 0 ? "the found cells" : `random cells (${arch}), to compare with`}`,
    );
    const flags = { ...shared, arch, ...given("epochs", options.trainEpochs) };
    const { config } = resolveConfig("train", { preset: "demo-train", flags });
    const path = join(root, name);
    const result = await once(path, config, runTraining, control);
    if (result.status === "interrupted") return { result, runs };
    runs.push(path);
  }
  return { result: search, runs };
}

async function exportFound(run: string): Promise<string> {
  const { openModel } = await import("../model/open-model.js");
  const { exportOnnx } = await import("../model/export-model.js");
  const file = join(run, "model.onnx");
  await exportOnnx(await openModel(run, {}), file, { withNormalisation: true }, undefined);
  return file;
}

export function registerDemo(program: Command): void {
  const command = program
    .command("demo")
    .description("search, train and export on the images that ship with the program, in a few minutes")
    .option("--root <folder>", "folder for the runs of the demonstration", "runs")
    .option("--seed <n>", "seed of every random number", wholeNumber("--seed", 0), 0)
    .option("--threads <n>", "threads of the tensor engine; 0 = one per core", wholeNumber("--threads", 0), 0)
    .option("--epochs <n>", "epochs of the search", wholeNumber("--epochs", 1))
    .option("--train-epochs <n>", "epochs of each training", wholeNumber("--train-epochs", 1))
    .option("--limit-train <n>", "use only this many training images", wholeNumber("--limit-train", 1))
    .action(async (_options: unknown, command: Command) => {
      const options = command.opts<DemoOptions>();
      let last = "";
      await carryOut(
        command,
        async (control) => {
          const { result, runs } = await runDemo(options, control);
          if (result.status === "interrupted") return result;
          const found = runs[0];
          if (found === undefined) throw new IstaError("INTERNAL", "demo: no training was run");
          control.observer.line("5. exporting the network to ONNX and checking the file with onnxruntime");
          const file = await exportFound(found);
          last = [
            formatComparison(compareRuns(runs.map(runToCompare))),
            "",
            `Picture of the found cells: ${printable(join(options.root, "demo-search", "cells.svg"))}`,
            `Network as ONNX, checked:   ${printable(file)}`,
            `Next: ista-nas search --data YOUR_PICTURES --image-size 32, or ${typedLine(["export", found, "--format", "page"])}`,
          ].join("\n");
          return result;
        },
        () => last,
        () => "ista-nas demo, with the same flags",
      );
    });
  addExamples(command, [
    ["demo", "about five minutes on two cores"],
    ["demo --seed 1 --root runs/seed-1", "with other random numbers"],
  ]);
}
