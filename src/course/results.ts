// What every run that ends with a network leaves in its directory.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readFileLimited } from "../base/files.js";
import { drawSvg } from "../drawing/cells.js";
import {
  type Model,
  type ModelDescription,
  modelDescriptionText,
  parseModelDescription,
  readModel,
  writeModel,
} from "../formats/model-file.js";
import { stateDictFrom } from "../formats/state-dict.js";
import type { StateDict } from "../nn/tensor-store.js";
import type { Checkpoint } from "../run/checkpoint.js";
import type { RunDirectory } from "../run/directory.js";
import type { RunSummary } from "../run/summary.js";
import type { Architecture } from "../space/space.js";
import type { Evaluation } from "./evaluate.js";
import { readPosition } from "./loop.js";
import { usableGroup } from "./search.js";

/** The trained network of a run. */
export const modelFileName = "model.safetensors";
/** Bytes of a description: ten thousand classes have names. */
const largestDescription = 16 << 20;
/** The cells of a run. */
export const genotypeFileName = "genotype.json";
/** The drawing of both cells of a run. */
export const drawingFileName = "cells.svg";

/** genotype.json and the drawing of it. @throws IstaError RUN_GONE */
export function writeArchitecture(run: RunDirectory, architecture: Architecture, title: string): void {
  run.writeGenotype(architecture.space.toGenotype(architecture.selection));
  run.writeFile(drawingFileName, drawSvg(architecture, { title }));
}

/** @throws IstaError RUN_GONE */
export function writeRunModel(run: RunDirectory, model: Model): void {
  run.writeFileBy(modelFileName, (path) => writeModel(path, model));
}

/** What the network of a training is, written at its beginning: with the weights of a checkpoint it can be used before the end. */
const networkFileName = "network.json";

/**
 * What a training has from its beginning: its cells, the drawing of them, and at last what its network is. Nothing is done where that
 * is there, and so the others are.
 * @throws IstaError RUN_GONE
 */
export function writeTrainingStart(run: RunDirectory, description: ModelDescription, title: string): void {
  if (existsSync(join(run.path, networkFileName))) return;
  writeArchitecture(run, description.architecture, title);
  run.writeFile(networkFileName, `${modelDescriptionText(description)}\n`);
}

export interface RunModel {
  readonly description: ModelDescription | null;
  readonly weights: StateDict;
  readonly path: string;
  /** Where the weights are of a checkpoint: which one, and of a training of how many epochs. */
  readonly unfinished: { readonly checkpoint: "best" | "last"; readonly epochs: number } | null;
}

/**
 * The trained network of a run; of a training that is not finished, or of a search in which it has begun, that of its checkpoint `best`,
 * or else `last`. Null where there is none of them.
 * @throws IstaError FILE_*, SAFETENSORS_*, MODEL_FILE, CHECKPOINT_*, GENOTYPE_INVALID, NETWORK_SHAPE
 */
export function readRunModel(run: RunDirectory): RunModel | null {
  const path = join(run.path, modelFileName);
  if (existsSync(path)) return { ...readModel(path), path, unfinished: null };
  const described = join(run.path, networkFileName);
  const isSearch = run.meta.kind === "search";
  if (!isSearch && !existsSync(described)) return null;
  for (const checkpoint of ["best", "last"] as const) {
    if (!run.hasCheckpoint(checkpoint)) continue;
    const { tensors, state } = run.loadCheckpoint(checkpoint);
    const { position, course } = (state ?? {}) as { position?: unknown; course?: Record<string, unknown> };
    const group = isSearch ? tensors[usableGroup] : (tensors.averaged ?? tensors.model);
    const text = isSearch
      ? course?.[usableGroup]
      : readFileLimited(described, largestDescription).toString("utf8");
    // The architecture of the search was not decided yet.
    if (group === undefined || typeof text !== "string") continue;
    const weights = stateDictFrom(group);
    return {
      description: parseModelDescription(isSearch ? path : described, text, weights.size),
      weights,
      path,
      unfinished: { checkpoint, epochs: readPosition(position).epoch },
    };
  }
  return null;
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
