// From the tensors of a trained network of DARTS cells to its shape.
import type { WeightsDescription } from "../space.js";
import { normPlacements } from "./named.js";

/** The last part of the names of tensors that only a batch norm after pooling or identity has. */
const normOfPlainOperation = /^cells\.\d+\._ops\.\d+\.1\.running_mean$/;

export function describeWeights(shapes: ReadonlyMap<string, readonly number[]>): WeightsDescription | null {
  const names = [...shapes.keys()];
  const cells = new Set(names.flatMap((name) => /^cells\.(\d+)\.(?:_ops|preprocess)/.exec(name)?.[1] ?? []));
  if (cells.size === 0) return null;
  const size = (name: string, axis: number, fallback: number): number => shapes.get(name)?.[axis] ?? fallback;
  const stem = shapes.has("stem0.0.weight") ? "imagenet" : "cifar";
  const normalised = names.some((name) => normOfPlainOperation.test(name));
  return {
    shape: {
      cells: cells.size,
      channels: stem === "cifar" ? size("stem.0.weight", 0, 3) / 3 : size("stem1.1.weight", 0, 2),
      inputChannels: size(stem === "cifar" ? "stem.0.weight" : "stem0.0.weight", 1, 3),
      classes: size("classifier.weight", 0, size("classifier.bias", 0, 10)),
      stem,
      auxiliary: shapes.has("auxiliary_head.classifier.weight"),
    },
    norms: normalised ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation,
    usualImageSize: stem === "cifar" ? 32 : 224,
  };
}
