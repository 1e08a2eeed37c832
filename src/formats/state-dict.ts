// Tensors of files as networks and optimisers take them.
import type { StateDict } from "../nn/tensor-store.js";
import { asFloat32, type StoredTensor } from "./safetensors.js";

/** Tensors of a file, as the network takes them: floats of any width as float32. @throws IstaError SAFETENSORS_DTYPE */
export function stateDictFrom(tensors: ReadonlyMap<string, StoredTensor>): StateDict {
  return new Map(
    [...tensors].map(([name, tensor]) => [
      name,
      {
        shape: tensor.shape,
        data: tensor.data instanceof BigInt64Array ? tensor.data : asFloat32(tensor, name),
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
