// Networks of NAS-Bench-201: sizes against an independent PyTorch module, stages, what weights tell, shapes that are refused.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { IstaError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { candidateSizes, countNetwork, type Size, sizeOfSelection, sizeRange } from "../counts.js";
import { evaluationNetwork, type NetworkShape, randomSelection, superNetwork } from "../space.js";
import { tensorList } from "../tensors.js";
import { nasBench201 } from "./space.js";

const [{ parse }] = nasBench201.texts;
const { norms } = nasBench201;

const shape: NetworkShape = {
  cells: 15,
  channels: 16,
  inputChannels: 3,
  classes: 10,
  imageHeight: 32,
  imageWidth: 32,
  stem: "cifar",
  auxiliary: false,
};

const networkOf = (cell: string, change: Partial<NetworkShape> = {}, placement = norms.plainEvaluation) =>
  evaluationNetwork({ space: nasBench201, selection: parse(cell) }, { ...shape, ...change }, placement);

interface GoldenSize {
  readonly architecture: string;
  readonly channels: number;
  readonly n: number;
  readonly classes: number;
  readonly image_size: number;
  readonly parameters: number;
  readonly normalised_parameters: number;
  readonly mult_adds: number;
}

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/nas-bench-201-sizes.json", import.meta.url), "utf8"),
) as GoldenSize[];

describe("sizes", () => {
  test("of the largest network are the published ones: 1.531546 M parameters, 220.11968 M multiply-adds", () => {
    const { selection } = nasBench201.named.all_nor_conv_3x3;
    expect(countNetwork(evaluationNetwork({ space: nasBench201, selection }, shape))).toMatchObject({
      params: 1_531_546,
      multAdds: 220_119_680,
    });
  });

  test("of 50 architectures are those of the independent PyTorch module", () => {
    expect(golden).toHaveLength(50);
    for (const one of golden) {
      const { architecture, channels, n, classes, image_size: side } = one;
      const change = { cells: 3 * n, channels, classes, imageHeight: side, imageWidth: side };
      expect(countNetwork(networkOf(architecture, change)), architecture).toMatchObject({
        params: one.parameters,
        multAdds: one.mult_adds,
      });
      expect(countNetwork(networkOf(architecture, change, norms.normalisedEvaluation)).params).toBe(
        one.normalised_parameters,
      );
    }
  });

  test.each(Object.entries(norms))("add up over the candidates, with %s norms", (_, placement) => {
    const table = candidateSizes(nasBench201, shape, placement);
    for (let seed = 0; seed < 20; seed++) {
      const selection = randomSelection(nasBench201, RandomStream.named(seed, "test"));
      const { params, multAdds } = countNetwork(superNetwork(nasBench201, shape, placement, selection));
      expect(sizeOfSelection(table, selection)).toEqual({ params, multAdds });
      const evaluation = evaluationNetwork({ space: nasBench201, selection }, shape, placement);
      expect(countNetwork(evaluation)).toMatchObject({ params, multAdds });
    }
  });

  test("range as those of all 15,625 cells do", () => {
    for (const placement of [norms.plainEvaluation, norms.oneStageSuperNet]) {
      const table = candidateSizes(nasBench201, { ...shape, cells: 3 }, placement);
      const all: Size[] = [];
      for (let code = 0; code < 5 ** 6; code++) {
        const edge = (index: number): number => Math.floor(code / 5 ** index) % 5;
        const selection = [[edge(0)], [edge(1), 5 + edge(2)], [edge(3), 5 + edge(4), 10 + edge(5)]];
        all.push(sizeOfSelection(table, selection));
      }
      const params = all.map((size) => size.params);
      const multAdds = all.map((size) => size.multAdds);
      expect(sizeRange(table)).toEqual({
        smallest: { params: Math.min(...params), multAdds: Math.min(...multAdds) },
        largest: { params: Math.max(...params), multAdds: Math.max(...multAdds) },
      });
    }
  });
});

test("three stages of cells with residual blocks between them, each with twice the channels and half the sides", () => {
  const { layers } = nasBench201.graph(networkOf(nasBench201.texts[0].format([[3], [3, 8], [3, 8, 13]])));
  const cells = [...new Set(layers.flatMap(({ place }) => place.cell ?? []))].map((index) => {
    const own = layers.filter(({ place }) => place.cell === index);
    return { type: own[0].place.cellType, output: own[own.length - 1].output };
  });
  expect(cells).toHaveLength(17);
  for (const [index, { type, output }] of cells.entries()) {
    const stage = index < 5 ? 0 : index < 11 ? 1 : 2;
    expect(type).toBe(index === 5 || index === 11 ? "residual block" : "cell");
    expect(output).toEqual({ channels: 16 * 2 ** stage, height: 32 / 2 ** stage, width: 32 / 2 ** stage });
  }
});

describe("the tensors of a trained network tell", () => {
  const shapesOf = (network: ReturnType<typeof networkOf>) =>
    new Map(tensorList(network).map((entry) => [entry.name, entry.shape]));

  test("its shape and its batch norms, even if no cell has a convolution", () => {
    const texts = [
      "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
      ...golden.map((one) => one.architecture),
    ];
    for (const [index, text] of texts.entries()) {
      const change = { cells: 3 * (1 + (index % 4)), channels: 3, inputChannels: 1, classes: 7 };
      const normed = index % 2 === 1 && /skip|pool/.test(text);
      const network = networkOf(text, change, normed ? norms.normalisedEvaluation : norms.plainEvaluation);
      expect(nasBench201.describeWeights(shapesOf(network)), text).toEqual({
        shape: { ...change, stem: "cifar", auxiliary: false },
        norms: normed ? norms.normalisedEvaluation : norms.plainEvaluation,
        usualImageSize: 32,
      });
    }
  });

  test("nothing where they are of no network of this space", () => {
    expect(nasBench201.describeWeights(new Map())).toBeNull();
    expect(nasBench201.describeWeights(new Map([["cells.0._ops.0.op.1.weight", [4, 1, 3, 3]]]))).toBeNull();
  });
});

test.each<[Partial<NetworkShape>, string]>([
  [{ cells: 2 }, "expected cells to be a whole number from 3 to 65536, got 2"],
  [{ cells: 16 }, "expected cells divisible by 3, 3 stages of equally many in nas-bench-201, got 16"],
  [{ cells: 3.5 }, "expected cells to be a whole number"],
  [{ channels: 0 }, "expected channels to be a whole number from 1"],
  [{ channels: NaN }, "got NaN"],
  [{ inputChannels: -1 }, "expected inputChannels"],
  [{ classes: 0 }, "expected classes"],
  [
    { imageHeight: 30 },
    "expected imageHeight to be divisible by 4 with the cifar stem, got 30; the nearest that are: 28 and 32",
  ],
  [{ imageWidth: 2 }, "expected imageWidth to be a whole number from 4"],
  [{ stem: "imagenet" }, "expected the cifar stem in nas-bench-201, got imagenet"],
  [{ auxiliary: true }, "expected no auxiliary head in nas-bench-201; use --auxiliary-weight 0"],
  [{ reductions: [5] }, "expected no reduction cells in nas-bench-201"],
])("refuses %j", (change, message) => {
  const { selection } = nasBench201.named.ResNet_cell;
  const act = (): unknown =>
    nasBench201.graph(evaluationNetwork({ space: nasBench201, selection }, { ...shape, ...change }));
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});

test("refuses partial channels that do not come out even", () => {
  const network = superNetwork(nasBench201, { ...shape, channels: 6 }, norms.twoStageSuperNet);
  nasBench201.graph({ ...network, partialChannels: 3 });
  expect(() => nasBench201.graph({ ...network, partialChannels: 4 })).toThrow(
    "expected channels divisible by 4 for partial channels, got 6",
  );
});
