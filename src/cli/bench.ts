// The command `bench`: the speed of a search step on this machine.
import type { Command } from "commander";
import { formatBytes, formatTable, median } from "../base/format.js";
// Types only: the module behind them loads the tensor library, and help must not.
import type { OperatorTime, StepMeasurement } from "../bench/measure.js";
import { resolveConfig, type SearchConfig } from "../config/config.js";
import { usualMethod } from "../config/methods.js";
import { usualSpace } from "../space/registry.js";
import { prepareEngine } from "./engine.js";
import { addExamples, printResult } from "./frame.js";
import { wholeNumber } from "./model-options.js";

interface BenchOptions {
  profile: boolean;
  steps: number;
  method: string;
  space: string;
  batchSize: number;
  cells?: number;
  channels?: number;
  imageSize: number;
  threads: number;
  recompute: boolean;
}

function describe(
  found: StepMeasurement,
  { method, space, cells, channels, batchSize }: SearchConfig,
): string {
  const best = Math.min(...found.seconds);
  const rate = found.gigaflop / best;
  const lines = [
    `step of ${method} in ${space}, ${cells} cells, ${channels} channels, batch ${batchSize}: best ${best.toFixed(3)} s of ${found.seconds.length}, ${found.imagesPerSecond.toFixed(0)} images/s (median), processor time ${median(found.processorSeconds).toFixed(3)} s (median)`,
    `${found.gigaflop.toFixed(1)} GFLOP a step: ${rate.toFixed(0)} GFLOP/s, ${((100 * rate) / found.matrixRate).toFixed(0)} % of the ${found.matrixRate.toFixed(0)} GFLOP/s of a matrix product; peak memory ${formatBytes(found.peakMemoryBytes)}`,
  ];
  if (found.compositions.length > 0)
    lines.push(`without a fused kernel, slower: ${found.compositions.join(", ")}`);
  if (found.operators !== undefined && found.forward !== undefined) {
    const total = found.seconds.reduce((sum, value) => sum + value, 0);
    lines.push("", operatorTable(found.operators, total), "", "one forward pass, part by part:");
    lines.push(
      ...found.forward.map(({ name, seconds }) => `  ${name.padEnd(12)} ${(1000 * seconds).toFixed(1)} ms`),
    );
  }
  return lines.join("\n");
}

function operatorTable(rows: readonly OperatorTime[], total: number): string {
  return formatTable(rows, [
    { title: "OPERATOR", cell: (row) => row.name },
    { title: "CALLS", align: "right", cell: (row) => String(row.calls) },
    { title: "SECONDS", align: "right", cell: (row) => row.seconds.toFixed(3) },
    { title: "SHARE", align: "right", cell: (row) => `${((100 * row.seconds) / total).toFixed(1)} %` },
    { title: "GFLOP/s", align: "right", cell: (row) => (row.gigaflop / row.seconds).toFixed(1) },
    { title: "GB/s", align: "right", cell: (row) => (row.gigabytes / row.seconds).toFixed(1) },
  ]);
}

export function registerBench(program: Command): void {
  const command = program
    .command("bench")
    .description("measure the speed of a search step here, on random images")
    .option("--profile", "also say where the time goes: per operator kind and per cell", false)
    .option("--steps <n>", "steps to measure", wholeNumber("--steps", 1), 5)
    .option("--method <name>", "search method", usualMethod)
    .option("--space <name>", "search space", usualSpace.name)
    .option("--batch-size <n>", "images per step", wholeNumber("--batch-size", 2), 64)
    .option("--cells <n>", "cells of the super-net; as is usual in the space", wholeNumber("--cells", 3))
    .option(
      "--channels <n>",
      "channels of the first cell; as is usual in the space",
      wholeNumber("--channels", 2),
    )
    .option(
      "--image-size <n>",
      "height and width of the images in pixels",
      wholeNumber("--image-size", 4),
      32,
    )
    .option("--threads <n>", "threads of the tensor engine; 0 = one per core", wholeNumber("--threads", 0), 0)
    .option("--recompute", "keep less for the backward pass and compute it again", false)
    .action(async (_options: unknown, command: Command) => {
      const options = command.opts<BenchOptions>();
      const { steps, profile, imageSize, ...search } = options;
      const { method, space, batchSize, cells, channels, threads, recompute } = search;
      const flags = { method, space, batchSize, cells, channels, threads, recompute };
      const given = Object.entries(flags).filter(([, value]) => value !== undefined);
      const { config } = resolveConfig("search", { flags: Object.fromEntries(given) });
      const { measureSearchStep } = await import("../bench/measure.js");
      await prepareEngine();
      const found = await measureSearchStep(config, { size: imageSize, steps, profile });
      printResult(command, found, () => describe(found, config));
    });
  addExamples(command, [
    ["bench", "the paper's super-net with batches of 64"],
    ["bench --profile --threads 1", "where the time goes on one core"],
    ["bench --method pc-darts --space nas-bench-201", "the step of another search"],
  ]);
}
