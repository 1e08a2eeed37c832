// The graphs of networks: cell types, channels, sizes, strides, and shapes that are refused.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { cifarShape, imagenetShape } from "../../../test/support/network-shapes.js";
import { IstaError } from "../../base/errors.js";
import type { FeatureSize, Graph, Layer, Value } from "../graph.js";
import { evaluationNetwork, type NetworkShape } from "../space.js";
import { darts } from "./space.js";

const { selection } = darts.named.ISTA_twostage;
const graphOf = (shape: NetworkShape): Graph =>
  darts.graph(evaluationNetwork({ space: darts, selection }, shape));

/** The layers of a kind in a part of the network. */
const layersOf = <Kind extends Layer["kind"]>(graph: Graph, part: string, kind: Kind) =>
  graph.layers.filter((layer) => layer.place.part === part && layer.kind === kind) as (Layer & {
    kind: Kind;
  })[];

/** Kept connections of a node with where they come from: followed back to what made their input. */
function connectionsOf(graph: Graph, node: Layer): { from: string; stride: number; to: FeatureSize }[] {
  return node.inputs.map((term) => {
    let [value, stride] = [term, 1];
    const { branch } = graph.layers[term].place;
    for (;;) {
      const layer = graph.layers[value];
      if (layer.kind !== "relu" && (branch === undefined || layer.place.branch !== branch)) break;
      if (layer.kind === "convolution") stride *= layer.stride;
      if (layer.kind === "pool") stride *= layer.stride[0];
      [value] = layer.inputs;
    }
    return { from: graph.layers[value].name, stride, to: graph.layers[term].output };
  });
}

/** What the graph says of its cells. */
function layoutOf(shape: NetworkShape) {
  const graph = graphOf(shape);
  const { layers } = graph;
  const indices = [...new Set(layers.flatMap(({ place }) => place.cell ?? []))];
  /** What is preprocessed: the input of ReLU. */
  const inputOf = (name: string): FeatureSize | null => {
    const first = layers.find((layer) => layer.kind === "convolution" && layer.name === name);
    const relu: Value | undefined = first?.inputs[0];
    return relu === undefined ? null : layers[layers[relu].inputs[0]].output;
  };
  const cells = indices.map((index) => {
    const own = layers.filter(({ place }) => place.cell === index);
    const nodes = own.filter(({ kind }) => kind === "add");
    const older = inputOf(`cells.${index}.preprocess0.op.1`);
    const reduced = inputOf(`cells.${index}.preprocess0.conv_1`);
    return {
      index,
      type: own[0].place.cellType,
      channels: nodes[0].output.channels,
      inputs: [older ?? reduced, inputOf(`cells.${index}.preprocess1.op.1`)],
      reductionPrevious: reduced !== null,
      output: own[own.length - 1].output,
      nodes: nodes.map((node) => ({ output: node.output, connections: connectionsOf(graph, node) })),
    };
  });
  const [pool] = layersOf(graph, "auxiliary", "pool");
  const [classifier] = layersOf(graph, "classifier", "linear");
  const auxiliary =
    pool === undefined
      ? null
      : {
          afterCell: Number(/^cells\.(\d+)$/.exec(layers[layers[pool.inputs[0]].inputs[0]].name)?.[1]),
          input: layers[pool.inputs[0]].output,
          pooled: pool.output,
          poolKernel: pool.kernel,
          poolStride: pool.stride,
          norms: layersOf(graph, "auxiliary", "norm").length,
        };
  return { cells, auxiliary, classifierInputs: classifier.inputFeatures };
}

test("the CIFAR network of 20 cells", () => {
  const { cells, auxiliary, classifierInputs } = layoutOf(cifarShape);
  expect(cells[0].inputs).toEqual(Array(2).fill({ channels: 108, height: 32, width: 32 }));
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
    pooled: { channels: 576, height: 2, width: 2 },
    poolKernel: [5, 5],
    poolStride: [3, 3],
    norms: 2,
  });
});

test("the ImageNet network of 14 cells", () => {
  const { cells, auxiliary, classifierInputs } = layoutOf(imagenetShape);
  expect(cells[0].inputs).toEqual([
    { channels: 48, height: 56, width: 56 },
    { channels: 48, height: 28, width: 28 },
  ]);
  expect(cells[0]).toMatchObject({
    reductionPrevious: true,
    output: { channels: 192, height: 28, width: 28 },
  });
  expect(classifierInputs).toBe(768);
  expect(auxiliary).toMatchObject({ afterCell: 9, poolKernel: [5, 5], poolStride: [2, 2], norms: 1 });
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
      const { cells, auxiliary } = layoutOf(shape);
      let [older, newer] = cells[0].inputs as [FeatureSize, FeatureSize];
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
        const first = `cells.${cell.index}.preprocess0`;
        const states = [
          cell.reductionPrevious ? `${first}.bn` : `${first}.op.2`,
          `cells.${cell.index}.preprocess1.op.2`,
          ...[2, 3, 4, 5].map((node) => `cells.${cell.index}, node ${node}`),
        ];
        expect(cell.nodes).toHaveLength(4);
        for (const [node, { output, connections }] of cell.nodes.entries()) {
          const choice = (cell.type === "reduction" ? 4 : 0) + node;
          const wanted = selection[choice].map(
            (index) => darts.choices[choice].candidates[index].predecessor,
          );
          expect(connections).toEqual(
            wanted.map((predecessor) => ({
              from: states[predecessor],
              stride: cell.type === "reduction" && predecessor < 2 ? 2 : 1,
              to: output,
            })),
          );
          for (const predecessor of wanted) expect(predecessor).toBeLessThan(node + 2);
        }
        for (const size of [cell.output.height, cell.output.width]) expect(Number.isInteger(size)).toBe(true);
        [older, newer] = [newer, cell.output];
      }
      expect(auxiliary === null).toBe(!shape.auxiliary);
      if (auxiliary === null) return;
      expect(auxiliary.afterCell).toBe(Math.floor((2 * shape.cells) / 3));
      expect(auxiliary.input).toEqual(cells[auxiliary.afterCell].output);
      expect([auxiliary.pooled.height, auxiliary.pooled.width]).toEqual([2, 2]);
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
    "imageHeight to be divisible by 4 with the cifar stem, got 30; the nearest that are: 28 and 32",
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
  const act = (): unknown => graphOf({ ...cifarShape, ...change });
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});
