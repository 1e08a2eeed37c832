// Networks of NAS-Bench-201 outside of the program: their ONNX files, run by onnxruntime beside the engine, and their bare weights.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeModel } from "../../test/support/models.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import type { Model } from "./model-file.js";
import { checkOnnx, onnxTolerance, seededImages } from "./onnx-check.js";
import { onnxOfNetwork } from "./onnx-network.js";

const [{ parse }] = nasBench201.texts;
const operations = nasBench201.choices[0].candidates.map(({ operation }) => operation);

/** A cell with these operations on its six edges, node by node. */
const cellOf = (edges: readonly string[]): string =>
  [0, 1, 3]
    .map(
      (first, node) =>
        `|${edges
          .slice(first, first + node + 1)
          .map((name, from) => `${name}~${from}`)
          .join("|")}|`,
    )
    .join("+");

const modelOf = (cell: string, options: Omit<Parameters<typeof makeModel>[0], "architecture"> = {}): Model =>
  makeModel({ architecture: { space: nasBench201, selection: parse(cell) }, ...options });

async function differenceOf(model: Model, withNormalisation = false): Promise<number> {
  const bytes = onnxOfNetwork(model, model.weights, { withNormalisation });
  const { largestDifference } = await checkOnnx(bytes, model, seededImages(model, 3), { withNormalisation });
  return largestDifference;
}

describe("the ONNX file of a network computes its logits", () => {
  it.each(
    operations.flatMap((operation) => [false, true].map((normalised) => [operation, normalised] as const)),
  )("with %s on every edge, batch norm after pool and skip: %s", async (operation, normalised) => {
    const model = modelOf(cellOf(Array(6).fill(operation)), { normalised });
    expect(await differenceOf(model)).toBeLessThan(1e-5);
  });

  it.each([
    [
      "no way from the input to the output",
      "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|",
    ],
    [
      "a node that is zeros",
      "|none~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|",
    ],
    [
      "a node that nothing takes up",
      "|nor_conv_1x1~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|",
    ],
    ["one edge into every node", "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"],
  ])("with %s", async (_, cell) => {
    for (const normalised of [false, true])
      expect(await differenceOf(modelOf(cell, { normalised }))).toBeLessThan(1e-5);
  });

  it("for random cells, sizes and inputs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          edges: fc.array(fc.constantFrom(...operations), { minLength: 6, maxLength: 6 }),
          seed: fc.nat(1e6),
          normalised: fc.boolean(),
          withNormalisation: fc.boolean(),
          cells: fc.constantFrom(3, 6),
          channels: fc.integer({ min: 1, max: 5 }),
          inputChannels: fc.constantFrom(1, 3),
          rows: fc.integer({ min: 2, max: 5 }),
          columns: fc.integer({ min: 2, max: 5 }),
        }),
        async ({ edges, seed, normalised, withNormalisation, rows, columns, ...sizes }) => {
          const shape = { ...sizes, imageHeight: 4 * rows, imageWidth: 4 * columns };
          const model = modelOf(cellOf(edges), { seed, normalised, shape });
          expect(await differenceOf(model, withNormalisation)).toBeLessThan(onnxTolerance);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe("bare weights", () => {
  it.each(operations)("tell the shape of a network with %s on every edge", (operation) => {
    for (const cells of [3, 6, 15]) {
      const { weights, shape } = modelOf(cellOf(Array(6).fill(operation)), { shape: { cells, classes: 7 } });
      const shapes = new Map([...weights].map(([name, tensor]) => [name, tensor.shape]));
      const { imageHeight: _, imageWidth: __, ...expected } = shape;
      expect(nasBench201.describeWeights(shapes)?.shape).toEqual(expected);
    }
  });
});
