// What every run that ends with a network leaves in its directory.
import { join } from "node:path";
import { drawSvg } from "../drawing/cells.js";
import { type Model, writeModel } from "../formats/model-file.js";
import type { Checkpoint } from "../run/checkpoint.js";
import type { RunDirectory } from "../run/directory.js";
import type { RunSummary } from "../run/summary.js";
import type { Architecture } from "../space/space.js";
import type { Evaluation } from "./evaluate.js";
import { readPosition } from "./loop.js";

/** The trained network of a run. */
export const modelFileName = "model.safetensors";
/** The cells of a run. */
export const genotypeFileName = "genotype.json";
/** The drawing of both cells of a run. */
export const drawingFileName = "cells.svg";

/** genotype.json and the drawing of it. @throws IstaError FILE_*, RUN_GONE */
export function writeArchitecture(run: RunDirectory, architecture: Architecture, title: string): void {
  run.writeGenotype(architecture.space.toGenotype(architecture.selection));
  run.writeFile(drawingFileName, drawSvg(architecture, { title }));
}

/** @throws IstaError FILE_* */
export function writeRunModel(run: RunDirectory, model: Model): void {
  writeModel(join(run.path, modelFileName), model);
}

/** The part of a summary that an evaluation on the test images fills; `warn` is told of a loss that is no number. */
export function testFigures(
  found: Evaluation | null,
  warn: (text: string) => void,
): Pick<RunSummary, "testAccuracy" | "testLoss"> {
  const isNumber = found !== null && Number.isFinite(found.loss);
  if (found !== null && !isNumber)
    warn(
      "the loss on the test images is not a number: the trained network gives outputs that are not finite, and images with such ones count as wrong; train again with a smaller --learning-rate",
    );
  return { testAccuracy: found?.top1 ?? null, testLoss: isNumber ? found.loss : null };
}

/** The validation accuracy of the weights in a checkpoint that was made because of it, of a training. @throws IstaError CHECKPOINT_DAMAGED */
export function scoreOf({ state }: Checkpoint): number | null {
  return readPosition((state as { position?: unknown } | null)?.position).bestScore;
}

/** The last validation accuracy that was recorded. */
export function lastValidationAccuracy(run: RunDirectory): number | null {
  const value = run.records().at(-1)?.validationAccuracy;
  return typeof value === "number" ? value : null;
}
