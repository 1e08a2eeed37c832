// Weights from files, taken only where a network can compute with them: whole, and finite. Model files, weights of other programs
// and the tensors of checkpoints all come this way.
import { IstaError } from "../base/errors.js";
import { readSafetensors, type StoredTensor, type TensorData } from "./safetensors.js";

/** Networks compute in float32, where a larger number of a float64 file is infinite. */
const isUsable = (value: number): boolean => Number.isFinite(Math.fround(value));

/** What is wrong with the numbers of a tensor, or null. */
function problemOf(name: string, data: TensorData): string | null {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return null;
  const floor = name.endsWith(".running_var") ? 0 : Number.NEGATIVE_INFINITY;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (isUsable(value) && value >= floor) continue;
    const expected = isUsable(value) ? "variances, which are not negative" : "finite numbers";
    return `expected ${expected}, got ${value} at position ${i + 1} of ${data.length}`;
  }
  return null;
}

/**
 * All tensors of a file, and its metadata.
 * @throws IstaError WEIGHTS_NOT_FINITE that names the first tensor with a number that is not finite in float32, or with a negative
 *   variance; SAFETENSORS_*, FILE_*
 */
export function readWeightsFile(path: string): {
  tensors: Map<string, StoredTensor>;
  metadata: ReadonlyMap<string, string>;
} {
  const found = readSafetensors(path);
  for (const [name, { data }] of found.tensors) {
    const problem = problemOf(name, data);
    if (problem === null) continue;
    throw new IstaError(
      "WEIGHTS_NOT_FINITE",
      `read ${path}: tensor ${JSON.stringify(name)}: ${problem}; the training that made it diverged, or the file is damaged: take an earlier checkpoint or another file, or train again with a smaller --learning-rate`,
    );
  }
  return found;
}
