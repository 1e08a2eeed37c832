// Tensors of files as networks take them, and what is said of those of a wrapped network.
import { expect, it } from "vitest";
import { expectError } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { networkOf } from "./model-file.js";
import type { TensorData } from "./safetensors.js";
import { stateDictFrom } from "./state-dict.js";

const name = "stem.1.num_batches_tracked";

it.each<[string, TensorData]>([
  ["int64", BigInt64Array.of(7n)],
  ["int32", Int32Array.of(7)],
  ["uint8", Uint8Array.of(7)],
  ["uint64", BigUint64Array.of(7n)],
  ["float32, as half-precision numbers are read, too", Float32Array.of(7)],
  ["float64", Float64Array.of(7)],
])("counts of batches may be %s", (_, data) => {
  expect(stateDictFrom(new Map([[name, { shape: [], data }]])).get(name)!.data).toEqual(BigInt64Array.of(7n));
});

it("counts of batches are whole numbers, and weights are not", async () => {
  for (const count of [0.5, -1, Number.NaN])
    await expectError(
      () => stateDictFrom(new Map([[name, { shape: [], data: Float32Array.of(count) }]])),
      "SAFETENSORS_DTYPE",
      name,
      String(count),
    );
  await expectError(
    () => stateDictFrom(new Map([["stem.0.weight", { shape: [1], data: Int32Array.of(1) }]])),
    "SAFETENSORS_DTYPE",
    "stem.0.weight",
  );
});

it.each(["module.", "_orig_mod."])(
  "names that begin with %s say that they are of a wrapped network",
  async (prefix) => {
    const model = makeModel();
    const weights = new Map([...model.weights].map(([key, tensor]) => [`${prefix}${key}`, tensor]));
    await expectError(
      () => networkOf({ ...model, weights }),
      "WEIGHTS_MISMATCH",
      `without the prefix ${prefix} of a wrapped one`,
    );
  },
);
