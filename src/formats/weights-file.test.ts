// What is refused of files of weights: numbers that no network computes with, and content that is not what was written.
import fs from "node:fs";
import { expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { readModel, writeModel } from "./model-file.js";
import {
  checksumKey,
  readSafetensors,
  SafetensorsFile,
  type StoredTensor,
  type TensorData,
  writeSafetensors,
} from "./safetensors.js";
import { readWeightsFile } from "./weights-file.js";

const { folder, write } = temporaryFolder();
const path = `${folder}/weights.safetensors`;
const one = (name: string, data: TensorData): Map<string, StoredTensor> =>
  new Map([[name, { shape: [data.length], data }]]);

it.each<[string, string, TensorData, string]>([
  ["NaN", "stem.0.weight", Float32Array.of(1, Number.NaN), "got NaN at position 2 of 2"],
  ["an infinity", "stem.0.weight", Float32Array.of(-Infinity), "got -Infinity"],
  ["more than float32 holds", "stem.0.weight", Float64Array.of(1e39), "got 1e+39"],
  ["a negative variance", "stem.1.running_var", Float32Array.of(1, -0.5), "got -0.5 at position 2 of 2"],
])("%s is refused by tensor and file", async (_, name, data, words) => {
  writeSafetensors(path, one(name, data));
  await expectError(() => readWeightsFile(path), "WEIGHTS_NOT_FINITE", path, name, words, "train again");
  // The format itself has no opinion.
  expect(readSafetensors(path).tensors.get(name)!.data).toEqual(data);
});

it("negative numbers elsewhere, and whole numbers, are weights", () => {
  writeSafetensors(path, one("stem.1.running_mean", Float32Array.of(-3.4e38)));
  expect(readWeightsFile(path).tensors.size).toBe(1);
  writeSafetensors(path, one("stem.1.num_batches_tracked", BigInt64Array.of(7n)));
  expect(readWeightsFile(path).tensors.size).toBe(1);
});

it("half-precision infinities of other programs are refused, too", async () => {
  const header = JSON.stringify({ w: { dtype: "F16", shape: [1], data_offsets: [0, 2] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = write("half.safetensors", Buffer.concat([length, Buffer.from(header), Buffer.of(0, 0x7c)]));
  await expectError(() => readWeightsFile(file), "WEIGHTS_NOT_FINITE", '"w"', "Infinity");
});

it("every changed byte of a written model's tensors, texts and names is noticed", async () => {
  const model = makeModel();
  writeModel(path, model);
  const original = fs.readFileSync(path);
  const header = 8 + Number(original.readBigUInt64LE());
  const at = (text: string): number => original.indexOf(text) + text.length - 1;
  // In the last mantissa bits of a weight, a digit of the normalisation, and a class name: nothing else would tell.
  for (const place of [header + 40, original.length - 9, at('mean\\":[0.5'), at("class 2")]) {
    const changed = Buffer.from(original);
    changed[place] ^= 1;
    fs.writeFileSync(path, changed);
    await expectError(() => readModel(path), "SAFETENSORS_CHECKSUM", path, checksumKey);
  }
  fs.writeFileSync(path, original);
  expect(readModel(path).description!.classes).toEqual(model.classes);
});

it("a file without checksum is read, and one that is written in another order keeps its own", () => {
  const model = makeModel();
  writeModel(path, model);
  const original = fs.readFileSync(path);
  const headerBytes = Number(original.readBigUInt64LE());
  const { __metadata__: metadata, ...tensors } = JSON.parse(original.subarray(8, 8 + headerBytes).toString());
  expect(metadata[checksumKey]).toMatch(/^[0-9a-f]{64}$/);
  // Texts are no part of it that readers see.
  const file = SafetensorsFile.open(path);
  expect([...file.metadata.keys()].sort()).toEqual(["format", "ista-nas"]);
  file.close();
  const rewritten = (texts: Record<string, string>): Buffer => {
    const entries = Object.entries<{ data_offsets: [number, number] }>(tensors).reverse();
    let offset = 0;
    const moved = entries.map(([name, info]) => {
      const [begin, end] = info.data_offsets;
      offset += end - begin;
      return [name, { ...info, data_offsets: [offset - (end - begin), offset] }];
    });
    const text = Buffer.from(JSON.stringify({ ...Object.fromEntries(moved), __metadata__: texts }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const pieces = entries.map(
      ([
        ,
        {
          data_offsets: [begin, end],
        },
      ]) => original.subarray(8 + headerBytes + begin, 8 + headerBytes + end),
    );
    return Buffer.concat([length, text, ...pieces]);
  };
  fs.writeFileSync(path, rewritten(metadata));
  expect(readModel(path).description!.classes).toEqual(model.classes);
  const { [checksumKey]: _, ...without } = metadata;
  fs.writeFileSync(path, rewritten(without));
  expect(readModel(path).weights.size).toBe(model.weights.size);
});
