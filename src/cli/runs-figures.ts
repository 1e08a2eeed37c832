// `ista-nas runs draw` and `runs export`: what was recorded, as pictures and as tables for other programs.
import { join } from "node:path";
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { printable, printableJson } from "../base/terminal.js";
import { curvesFileName, drawCurves, figuresOf } from "../course/figures.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import { formatCsv } from "../formats/csv.js";
import { RunDirectory } from "../run/directory.js";
import { epochRecords, flatRows, stepRecords, tableOf } from "../run/rows.js";
import { groupBySeed } from "../study/compare.js";
import { findRun } from "./find-run.js";
import { print, printResult, wantsJson } from "./frame.js";

export function registerRunFigures(runs: Command): void {
  const draw = runs
    .command("draw")
    .description("draw what was recorded: curves, and what each node of a search kept");
  draw.argument("<runs...>", "run directories, or their names in ./runs; several are laid over each other");
  draw.option(
    "--out <file>",
    "the curves as .svg or .png [curves.svg and search.svg in the run's directory]",
  );
  draw.action((names: string[]) => drawRuns(draw, names));

  const write = runs
    .command("export")
    .description("print what was recorded: a row for each epoch of each run, as CSV or with --json");
  write.argument("<runs...>", "run directories, or their names in ./runs");
  write.option("--steps", "a row for every few steps instead, as --log-every of the run had it", false);
  write.option("--out <file>", "into a file instead of standard output");
  write.action((names: string[]) => exportRuns(write, names));
}

async function drawRuns(command: Command, names: readonly string[]): Promise<void> {
  const { out } = command.opts<{ out?: string }>();
  if (out !== undefined) checkDrawingPath(out);
  const paths = names.map(findRun);
  const files = await (out === undefined && paths.length === 1
    ? drawOne(paths[0])
    : drawTogether(paths, out));
  if (files.length === 0)
    throw new IstaError(
      "RUN_NOT_FOUND",
      `${names.join(", ")}: expected at least one epoch in metrics.jsonl, there is none yet; let the run go on first`,
    );
  printResult(command, { files }, () => `made ${files.join(", ")}`);
}

/** All figures of a run, in its own directory. @returns the paths */
function drawOne(path: string): string[] {
  const figures = [...figuresOf(RunDirectory.open(path, "read"))];
  for (const [name, svg] of figures) writeFileAtomic(join(path, name), svg);
  return figures.map(([name]) => join(path, name));
}

/** Curves laid over each other; runs that differ in the seed alone as their mean and a band. @returns the path, none without epochs */
async function drawTogether(paths: readonly string[], out = curvesFileName): Promise<string[]> {
  const groups = groupBySeed(paths).map(({ name, runs }) => ({
    name,
    runs: runs.map((run) => run.records()),
  }));
  const curves = drawCurves(groups, groups.map(({ name }) => name).join(" and "));
  if (curves === null) return [];
  await writeDrawing(out, curves);
  return [out];
}

function exportRuns(command: Command, names: readonly string[]): void {
  const { out, steps } = command.opts<{ out?: string; steps: boolean }>();
  const recordsOf = steps ? stepRecords : epochRecords;
  const records = names.flatMap((name) => recordsOf(RunDirectory.open(findRun(name), "read")));
  const text = wantsJson(command) ? `${printableJson(records, 2)}\n` : formatCsv(tableOf(flatRows(records)));
  if (out === undefined) {
    print(text);
    return;
  }
  writeFileAtomic(out, text);
  process.stderr.write(`made ${printable(out)}: ${records.length} rows\n`);
}
