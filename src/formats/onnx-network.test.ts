// ONNX files of random networks, run by onnxruntime beside the engine.
import fc from "fast-check";
import protobuf from "protobufjs/light.js";
import { describe, expect, it } from "vitest";
import { expectError } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import type { Architecture } from "../space/space.js";
import { randomArchitecture } from "./genotype-resolve.js";
import { checkOnnx, onnxTolerance, seededImages } from "./onnx-check.js";
import { onnxOfNetwork } from "./onnx-network.js";
import { loadOnnxRuntime } from "./onnx-runtime.js";

const { InferenceSession, Tensor: OnnxTensor } = loadOnnxRuntime();

const operationsOf = ({ choices }: typeof darts): string[] => [
  ...new Set(choices[0].candidates.map(({ operation }) => operation)),
];

const published = (name: string): Architecture => ({ space: darts, selection: darts.named[name].selection });

/** Every operation in both cells, on an input and on a node, so that both strides occur. */
function cellsOf(operation: string): Architecture {
  const other = operation === "skip_connect" ? "max_pool_3x3" : "skip_connect";
  const selection = darts.choices.map(({ candidates }, choice) => {
    const node = choice % 4;
    const find = (wanted: string, from: number): number =>
      candidates.findIndex((one) => one.operation === wanted && one.predecessor === from);
    return [find(operation, node), find(other, node + 1)];
  });
  return { space: darts, selection };
}

describe("the ONNX file of a network computes its logits", () => {
  it.each(
    operationsOf(darts).flatMap((operation) =>
      [false, true].map((normalised) => [operation, normalised] as const),
    ),
  )("with %s everywhere, batch norm after pool and skip: %s", async (operation, normalised) => {
    const model = makeModel({ architecture: cellsOf(operation), normalised });
    const bytes = onnxOfNetwork(model, model.weights, { withNormalisation: false });
    const check = await checkOnnx(bytes, model, seededImages(model, 3), { withNormalisation: false });
    expect(check.images).toBe(3);
    expect(check.largestDifference).toBeLessThan(1e-5);
  });

  it("for random cells, sizes, stems and inputs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(1e6),
          normalised: fc.boolean(),
          withNormalisation: fc.boolean(),
          cells: fc.integer({ min: 3, max: 6 }),
          channels: fc.constantFrom(2, 4, 6),
          inputChannels: fc.constantFrom(1, 3),
          imagenet: fc.boolean(),
          auxiliary: fc.boolean(),
          rows: fc.integer({ min: 2, max: 5 }),
          columns: fc.integer({ min: 2, max: 5 }),
        }),
        async ({ seed, normalised, withNormalisation, imagenet, rows, columns, ...shape }) => {
          const unit = imagenet ? 32 : 4;
          const model = makeModel({
            seed,
            normalised,
            shape: {
              ...shape,
              stem: imagenet ? "imagenet" : "cifar",
              imageHeight: unit * rows,
              imageWidth: unit * columns,
            },
          });
          const bytes = onnxOfNetwork(model, model.weights, { withNormalisation });
          const check = await checkOnnx(bytes, model, seededImages(model, 2), { withNormalisation });
          expect(check.largestDifference).toBeLessThan(onnxTolerance);
        },
      ),
      { numRuns: 12 },
    );
  });
});

describe("the ONNX file of a network of NAS-Bench-201 computes its logits", () => {
  it.each(
    operationsOf(nasBench201).flatMap((operation) =>
      [false, true].map((normalised) => [operation, normalised] as const),
    ),
  )("with %s everywhere, batch norm after pool and skip: %s", async (operation, normalised) => {
    const selection = nasBench201.choices.map(({ candidates }) =>
      [...candidates.keys()].filter((index) => candidates[index].operation === operation),
    );
    const model = makeModel({ architecture: { space: nasBench201, selection }, normalised });
    const bytes = onnxOfNetwork(model, model.weights, { withNormalisation: false });
    const check = await checkOnnx(bytes, model, seededImages(model, 3), { withNormalisation: false });
    expect(check.images).toBe(3);
    expect(check.largestDifference).toBeLessThan(1e-5);
  });

  it("for random cells and sizes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(1e6),
          normalised: fc.boolean(),
          withNormalisation: fc.boolean(),
          stage: fc.integer({ min: 1, max: 2 }),
          channels: fc.integer({ min: 1, max: 6 }),
          inputChannels: fc.constantFrom(1, 3),
          rows: fc.integer({ min: 1, max: 5 }),
          columns: fc.integer({ min: 1, max: 5 }),
        }),
        async ({ seed, normalised, withNormalisation, stage, rows, columns, ...shape }) => {
          const model = makeModel({
            seed,
            normalised,
            architecture: randomArchitecture(seed, nasBench201),
            shape: { ...shape, cells: 3 * stage, imageHeight: 4 * rows, imageWidth: 4 * columns },
          });
          const bytes = onnxOfNetwork(model, model.weights, { withNormalisation });
          const check = await checkOnnx(bytes, model, seededImages(model, 2), { withNormalisation });
          expect(check.largestDifference).toBeLessThan(onnxTolerance);
        },
      ),
      { numRuns: 12 },
    );
  });
});

describe("the check", () => {
  const model = makeModel({ architecture: published("ISTA_onestage"), normalised: true });

  it("refuses a file of other weights", async () => {
    const weights = new Map(model.weights);
    const { shape, data } = weights.get("cells.2.preprocess1.op.1.weight")!;
    const changed = (data as Float32Array).slice();
    changed[0] += 0.05;
    weights.set("cells.2.preprocess1.op.1.weight", { shape, data: changed });
    const bytes = onnxOfNetwork(model, weights, { withNormalisation: false });
    await expectError(
      () => checkOnnx(bytes, model, seededImages(model, 2), { withNormalisation: false }),
      "EXPORT_MISMATCH",
      "nothing was written",
    );
  });

  it("refuses numbers that are none", async () => {
    const weights = new Map(model.weights);
    const { shape, data } = weights.get("classifier.bias")!;
    weights.set("classifier.bias", { shape, data: (data as Float32Array).map(() => Number.NaN) });
    const bytes = onnxOfNetwork(model, weights, { withNormalisation: true });
    await expectError(
      () => checkOnnx(bytes, model, seededImages(model, 2), { withNormalisation: true }),
      "EXPORT_MISMATCH",
      "Infinity",
    );
  });
});

it("says what it takes, gives and knows", async () => {
  const model = makeModel({ classes: ["böse", "gut"] });
  const bytes = onnxOfNetwork(model, model.weights, { withNormalisation: true });
  const session = await InferenceSession.create(bytes);
  expect(session.inputMetadata).toMatchObject([
    { name: "pixels", type: "uint8", shape: ["batch", 3, 16, 16] },
  ]);
  expect(session.outputMetadata).toMatchObject([{ name: "logits", type: "float32", shape: ["batch", 2] }]);
  const pixels = new OnnxTensor("uint8", new Uint8Array(5 * 3 * 16 * 16), [5, 3, 16, 16]);
  expect((await session.run({ pixels })).logits.dims).toEqual([5, 2]);
  await session.release();

  // Read back by field numbers alone, as another program would.
  const reader = protobuf.Reader.create(bytes);
  const metadata: string[] = [];
  let operatorSet = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === 14) metadata.push(Buffer.from(reader.bytes()).toString("utf8"));
    else if (tag >>> 3 === 8) operatorSet = reader.bytes().at(-1)!;
    else reader.skipType(tag & 7);
  }
  expect(operatorSet).toBe(17);
  expect(metadata.join()).toContain('"classes":["böse","gut"]');
});

it("folds every batch norm behind a convolution away", () => {
  const model = makeModel({ architecture: published("ISTA_twostage"), shape: { cells: 6 } });
  const text = Buffer.from(onnxOfNetwork(model, model.weights, { withNormalisation: false })).toString(
    "latin1",
  );
  expect(text).not.toContain("BatchNormalization");
  expect(text).not.toContain("running_mean");
  expect(text).not.toContain("Mul");
});
