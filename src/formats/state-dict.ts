// Tensors of files as networks and optimisers take them.
import { IstaError } from "../base/errors.js";
import type { StateDict } from "../nn/tensor-store.js";
import { asFloat32, type StoredTensor } from "./safetensors.js";

/** The number of batches that a batch norm has seen, in whatever numeric type a program kept it. @throws IstaError SAFETENSORS_DTYPE */
function batchCounts({ data }: StoredTensor, name: string): BigInt64Array {
  const counts = Array.from(data as ArrayLike<number | bigint>, Number);
  if (counts.every((count) => Number.isSafeInteger(count) && count >= 0))
    return BigInt64Array.from(counts, BigInt);
  throw new IstaError("SAFETENSORS_DTYPE", `${name}: expected whole numbers from 0, got ${counts[0]}`);
}

/** Tensors of a file, as the network takes them: floats of any width as float32. @throws IstaError SAFETENSORS_DTYPE */
export function stateDictFrom(tensors: ReadonlyMap<string, StoredTensor>): StateDict {
  return new Map(
    [...tensors].map(([name, tensor]) => [
      name,
      {
        shape: tensor.shape,
        data: name.endsWith(".num_batches_tracked")
          ? batchCounts(tensor, name)
          : tensor.data instanceof BigInt64Array
            ? tensor.data
            : asFloat32(tensor, name),
      },
    ]),
  );
}

/** The same for tensors that are all floats. @throws IstaError SAFETENSORS_DTYPE */
export function floatTensors(
  tensors: ReadonlyMap<string, StoredTensor>,
): Map<string, { shape: readonly number[]; data: Float32Array }> {
  return new Map(
    [...tensors].map(([name, tensor]) => [name, { shape: tensor.shape, data: asFloat32(tensor, name) }]),
  );
}
