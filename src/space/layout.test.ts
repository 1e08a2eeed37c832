// The layout of networks: cell types, channels, sizes, strides, and shapes that are refused.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { cifarShape, imagenetShape } from "../../test/support/network-shapes.js";
import { IstaError } from "../base/errors.js";
import { evaluationNetwork, type NetworkShape, networkLayout } from "./layout.js";
import { namedGenotypes } from "./named-genotypes.js";

const layoutOf = (shape: NetworkShape) =>
  networkLayout(evaluationNetwork(namedGenotypes.ISTA_twostage.genotype, shape));

test("the CIFAR network of 20 cells", () => {
  const { cells, stemOutputs, auxiliary, classifierInputs } = layoutOf(cifarShape);
  expect(stemOutputs).toEqual(Array(2).fill({ channels: 108, height: 32, width: 32 }));
  expect(cells.map(({ channels }) => channels)).toEqual([
    ...Array<number>(6).fill(36),
    ...Array<number>(7).fill(72),
    ...Array<number>(7).fill(144),
  ]);
  expect(cells.map(({ output }) => output.height)).toEqual([
    ...Array<number>(6).fill(32),
    ...Array<number>(7).fill(16),
    ...Array<number>(7).fill(8),
  ]);
  expect(cells.filter(({ type }) => type === "reduction").map(({ index }) => index)).toEqual([6, 13]);
  expect(cells.filter(({ reductionPrevious }) => reductionPrevious).map(({ index }) => index)).toEqual([
    7, 14,
  ]);
  expect(classifierInputs).toBe(576);
  expect(auxiliary).toEqual({
    afterCell: 13,
    input: { channels: 576, height: 8, width: 8 },
    poolKernel: [5, 5],
    poolStride: [3, 3],
    secondNorm: true,
  });
});

test("the ImageNet network of 14 cells", () => {
  const { cells, stemOutputs, auxiliary, classifierInputs } = layoutOf(imagenetShape);
  expect(stemOutputs).toEqual([
    { channels: 48, height: 56, width: 56 },
    { channels: 48, height: 28, width: 28 },
  ]);
  expect(cells[0]).toMatchObject({
    reductionPrevious: true,
    output: { channels: 192, height: 28, width: 28 },
  });
  expect(classifierInputs).toBe(768);
  expect(auxiliary).toMatchObject({
    afterCell: 9,
    poolKernel: [5, 5],
    poolStride: [2, 2],
    secondNorm: false,
  });
});

const anyShape = fc
  .record({
    cells: fc.integer({ min: 3, max: 24 }),
    channels: fc.integer({ min: 1, max: 40 }),
    inputChannels: fc.integer({ min: 1, max: 9 }),
    classes: fc.integer({ min: 1, max: 200 }),
    height: fc.integer({ min: 1, max: 20 }),
    width: fc.integer({ min: 1, max: 20 }),
    stem: fc.constantFrom<NetworkShape["stem"]>("cifar", "imagenet"),
  })
  .map(({ height, width, channels, ...shape }): NetworkShape => {
    const divisor = shape.stem === "cifar" ? 4 : 32;
    return {
      ...shape,
      channels: shape.stem === "cifar" ? channels : 2 * channels,
      imageHeight: divisor * height,
      imageWidth: divisor * width,
      auxiliary: height > 1 && width > 1,
    };
  });

test("in networks of any shape cells fit together, halvings come out even, and the auxiliary pooling gives 2 x 2", () => {
  fc.assert(
    fc.property(anyShape, (shape) => {
      const { cells, stemOutputs, auxiliary } = layoutOf(shape);
      let [older, newer] = stemOutputs;
      expect(cells).toHaveLength(shape.cells);
      for (const cell of cells) {
        expect(cell.inputs).toEqual([older, newer]);
        const ratio = cell.reductionPrevious ? 2 : 1;
        expect([older.height, older.width]).toEqual([ratio * newer.height, ratio * newer.width]);
        // A factorised reduction puts half its channels out of each convolution.
        if (cell.reductionPrevious || cell.type === "reduction") expect(cell.channels % 2).toBe(0);
        const scale = cell.type === "reduction" ? 2 : 1;
        expect([scale * cell.output.height, scale * cell.output.width]).toEqual([newer.height, newer.width]);
        expect(cell.output.channels).toBe(4 * cell.channels);
        for (const { node, predecessor, stride } of cell.edges) {
          expect(predecessor).toBeLessThan(node + 2);
          expect(stride).toBe(cell.type === "reduction" && predecessor < 2 ? 2 : 1);
        }
        for (const size of [cell.output.height, cell.output.width]) expect(Number.isInteger(size)).toBe(true);
        [older, newer] = [newer, cell.output];
      }
      if (auxiliary === null) return;
      expect(auxiliary.input).toEqual(cells[auxiliary.afterCell].output);
      for (const side of [0, 1]) {
        const size = side === 0 ? auxiliary.input.height : auxiliary.input.width;
        const positions = Math.floor((size - auxiliary.poolKernel[side]) / auxiliary.poolStride[side]) + 1;
        expect(positions).toBe(2);
        // Together the two windows see all of the features.
        expect(auxiliary.poolKernel[side] + auxiliary.poolStride[side]).toBe(size);
        expect(auxiliary.poolStride[side]).toBeLessThanOrEqual(auxiliary.poolKernel[side]);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("reduction cells may be placed otherwise or left out", () => {
  const none = layoutOf({ ...cifarShape, cells: 3, reductions: [], auxiliary: false });
  expect(none.cells.every(({ type, output }) => type === "normal" && output.height === 32)).toBe(true);
  const early = layoutOf({ ...cifarShape, cells: 5, reductions: [0, 1] });
  expect(early.cells.map(({ output }) => output.height)).toEqual([16, 8, 8, 8, 8]);
});

test.each<[Partial<NetworkShape>, string]>([
  [{ cells: 2 }, "expected cells to be a whole number from 3 to 65536, got 2"],
  [{ cells: 3.5 }, "expected cells"],
  [{ channels: 0 }, "expected channels to be a whole number from 1"],
  [{ channels: NaN }, "got NaN"],
  [{ inputChannels: -1 }, "expected inputChannels"],
  [{ classes: 0 }, "expected classes"],
  [{ classes: "10" as unknown as number }, "expected classes"],
  [
    { imageHeight: 30 },
    "imageHeight to be divisible by 4 with the cifar stem, got 30; resize or pad the images",
  ],
  [{ imageWidth: 2 }, "expected imageWidth to be a whole number from 4"],
  [{ imageWidth: 1e9 }, "to 65536"],
  [{ stem: "imagenet", imageHeight: 100 }, "divisible by 32"],
  [{ stem: "imagenet", imageHeight: 64, imageWidth: 64, channels: 7 }, "even number of channels"],
  [{ stem: "other" as "cifar" }, 'stem to be "cifar" or "imagenet", got other'],
  [{ imageHeight: 4 }, "at least 8 pixels a side for the auxiliary head, got 4 x 32"],
  [{ reductions: [1, 2, 3] }, "at most two ascending reduction cells below 20, got 1, 2, 3"],
  [{ reductions: [3, 3] }, "ascending"],
  [{ reductions: [20] }, "below 20"],
  [{ reductions: [0.5] }, "got 0.5"],
])("refuses %j", (change, message) => {
  const act = (): unknown => layoutOf({ ...cifarShape, ...change });
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});
