// The command `train`.
import { join } from "node:path";
import type { Command } from "commander";
import { formatCount, formatDuration, formatPercent } from "../base/format.js";
import { printable } from "../base/terminal.js";
import type { RunResult } from "../course/execute.js";
import { typedLine } from "../study/commands.js";
import { addExamples } from "./frame.js";
import { addRunOptions, carryOut, runRequest } from "./run-command.js";

/** What to do with the network of a run. */
export const nextUse = (path: string): string =>
  `Next: ${typedLine(["predict", path, "PICTURE"])}, or ${typedLine(["export", path, "--format", "onnx"])}`;

/** What a finished training has to say. */
export function trainedWords({ path, summary }: RunResult): string {
  const accuracy = summary.testAccuracy ?? summary.validationAccuracy;
  const which = summary.testAccuracy === null ? "validation" : "test";
  const figure = accuracy === null ? "" : `: ${which} accuracy ${formatPercent(accuracy)}`;
  return [
    `Trained ${printable(summary.arch)} (${formatCount(summary.parameters ?? 0)} parameters) in ${formatDuration(summary.seconds)}${figure}; network: ${printable(join(path, "model.safetensors"))}`,
    nextUse(path),
  ].join("\n");
}

export function registerTrain(program: Command): void {
  const command = program
    .command("train")
    .description("train a network with given cells from scratch")
    .action(async (_options: unknown, command: Command) => {
      const request = await runRequest(command, "train");
      const { runTraining } = await import("../training/run-training.js");
      await carryOut(command, (control) => runTraining(request, control), trainedWords);
    });
  addRunOptions(command, "train");
  addExamples(command, [
    [
      "train --arch runs/my-search --preset cifar10-train --data cifar-10-batches-bin",
      "the paper's recipe for a found cell",
    ],
    [
      "train --arch ISTA_twostage --preset demo-train",
      "a published cell on the images that ship with the program",
    ],
    ["train --arch random:1 --preset demo-train", "random cells, to compare with"],
    ["train --resume runs/train-20240607-153000", "go on with a run that was stopped"],
  ]);
}
