// Tensor names and shapes against those that independent PyTorch modules have.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { cifarShape, imagenetShape } from "../../test/support/network-shapes.js";
import { connectionAt } from "./darts.js";
import {
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  normPlacements,
  superNetwork,
} from "./layout.js";
import { type GenotypeName, namedGenotypes } from "./named-genotypes.js";
import { isTrainable, parameterList } from "./parameters.js";

interface GoldenCase {
  network: "evaluation" | "super-net";
  genotype: GenotypeName;
  imagenet: boolean;
  norm_pool_and_identity: boolean;
  one_stage?: boolean;
  supports: Record<"normal" | "reduction", number[][]>;
  reductions?: number[];
  auxiliary?: boolean;
  cells: number;
  channels: number;
  classes: number;
  generated: Record<string, { shape: number[] }>;
  sampled: Record<string, { shape: number[] }>;
}

/** Case, its description, and names and shapes of its parameters and buffers, from the header of a golden file. */
function goldenNetworks(file: string): [string, GoldenCase, Map<string, number[]>][] {
  const bytes = readFileSync(new URL(`../../test/golden/${file}.safetensors`, import.meta.url));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0)))) as Record<
    string,
    unknown
  >;
  const cases = JSON.parse((header.__metadata__ as { cases: string }).cases) as Record<string, GoldenCase>;
  return Object.entries(cases).map(([name, description]) => {
    const tensors = new Map<string, number[]>();
    const add = (key: string, shape: number[]): void => {
      // The codes of the nodes are kept under the same keys.
      const found = /^(?:parameter|buffer)\.((?!normal\.|reduction\.).*)$/.exec(key);
      if (found) tensors.set(found[1], shape);
    };
    for (const [key, value] of Object.entries(header))
      if (key.startsWith(`${name}/`)) add(key.slice(name.length + 1), (value as { shape: number[] }).shape);
    for (const kept of [description.generated, description.sampled])
      for (const [key, { shape }] of Object.entries(kept)) add(key, shape);
    return [`${file}: ${name}`, description, tensors];
  });
}

function describeCase(golden: GoldenCase): NetworkDescription {
  const shape: NetworkShape = {
    ...(golden.imagenet ? imagenetShape : cifarShape),
    cells: golden.cells,
    channels: golden.channels,
    classes: golden.classes,
    auxiliary: golden.auxiliary ?? false,
    ...(golden.reductions === undefined ? {} : { reductions: golden.reductions }),
  };
  if (golden.network === "evaluation")
    return evaluationNetwork(
      namedGenotypes[golden.genotype].genotype,
      shape,
      golden.norm_pool_and_identity ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation,
    );
  const norms = golden.one_stage ? normPlacements.oneStageSuperNet : normPlacements.twoStageSuperNet;
  const connections = (type: "normal" | "reduction") =>
    golden.supports[type].map((support) => support.map(connectionAt));
  return superNetwork(shape, norms, { normal: connections("normal"), reduction: connections("reduction") });
}

test.each(["evaluation", "two-stage", "one-stage"].flatMap(goldenNetworks))(
  "%s: names and shapes are PyTorch's",
  (_, golden, expected) => {
    const actual = parameterList(describeCase(golden))
      .filter(({ kind }) => kind !== "num_batches_tracked")
      .map(({ name, shape }): [string, number[]] => [name, [...shape]]);
    expect(actual.length).toBeGreaterThan(50);
    const byName = ([a]: [string, number[]], [b]: [string, number[]]): number => (a < b ? -1 : 1);
    expect(actual.sort(byName)).toEqual([...expected].sort(byName));
  },
);

test("a super-net of all candidates holds every super-net of a support, and names are unique", () => {
  for (const norms of [normPlacements.twoStageSuperNet, normPlacements.oneStageSuperNet]) {
    const shape = { ...cifarShape, cells: 8, channels: 16, auxiliary: false };
    const all = parameterList(superNetwork(shape, norms));
    const names = new Map(all.map(({ name, shape: size }) => [name, size]));
    expect(names.size).toBe(all.length);
    const some = superNetwork(shape, norms, {
      normal: [
        [0, 9],
        [3, 20],
        [11, 22],
        [2, 33],
      ].map((support) => support.map(connectionAt)),
      reduction: [
        [2, 11],
        [5, 7],
        [1, 20],
        [7, 10],
      ].map((support) => support.map(connectionAt)),
    });
    for (const { name, shape: size } of parameterList(some)) expect(names.get(name)).toEqual(size);
  }
});

test("entries say where they belong and what they are", () => {
  const entries = parameterList(evaluationNetwork(namedGenotypes.ISTA_twostage.genotype, cifarShape));
  const find = (name: string) => entries.find((entry) => entry.name === name);
  expect(find("stem.0.weight")).toEqual({
    name: "stem.0.weight",
    shape: [108, 3, 3, 3],
    kind: "weight",
    part: "stem",
  });
  expect(find("cells.0._ops.1.op.1.weight")).toMatchObject({
    shape: [36, 1, 3, 3],
    kind: "weight",
    part: "cell",
    cell: 0,
    edge: { node: 0, predecessor: 1, operation: "dil_conv_3x3", stride: 1 },
  });
  expect(find("cells.6._ops.1.op.1.weight")).toMatchObject({ edge: { stride: 2 }, shape: [72, 1, 5, 5] });
  expect(find("stem.1.num_batches_tracked")).toMatchObject({ shape: [], kind: "num_batches_tracked" });
  expect(find("classifier.bias")).toMatchObject({ kind: "bias", part: "classifier" });
  expect(find("auxiliary_head.classifier.weight")).toMatchObject({ shape: [10, 768], part: "auxiliary" });
  expect(find("cells.0._ops.0.1.weight")).toBeUndefined();
  expect(entries.filter(({ kind }) => isTrainable(kind)).map(({ kind }) => kind)).toContain("gamma");
  expect(
    isTrainable("running_mean") || isTrainable("running_var") || isTrainable("num_batches_tracked"),
  ).toBe(false);
});
