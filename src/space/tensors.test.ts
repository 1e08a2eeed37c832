// Tensor names and shapes against those that independent PyTorch modules have.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type ByGroup, goldenSupports } from "../../test/support/golden-codes.js";
import { cifarShape, imagenetShape } from "../../test/support/network-shapes.js";
import { darts } from "./darts/space.js";
import { nasBench201 } from "./nas-bench-201/space.js";
import { evaluationNetwork, type NetworkDescription, type NetworkShape, superNetwork } from "./space.js";
import { isTrainable, tensorList } from "./tensors.js";

interface GoldenCase {
  network: "evaluation" | "super-net";
  genotype: string;
  imagenet: boolean;
  norm_pool_and_identity: boolean;
  one_stage?: boolean;
  supports: ByGroup<number[]>;
  /** Of a search that changes its support: what comes later is there from the start. */
  next_supports?: ByGroup<number[]>;
  reductions?: number[];
  auxiliary?: boolean;
  cells: number;
  channels: number;
  classes: number;
  generated: Record<string, { shape: number[] }>;
  sampled: Record<string, { shape: number[] }>;
  /** Of NAS-Bench-201: the cell as text, cells of a stage, batch norms after skip and pool. */
  architecture?: string;
  n?: number;
  normalised?: boolean;
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
      const found = /^(?:parameter|buffer)\.((?!normal\.|reduction\.|cell\.).*)$/.exec(key);
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
  const space = golden.architecture === undefined ? darts : nasBench201;
  const { plainEvaluation, normalisedEvaluation, oneStageSuperNet, twoStageSuperNet } = space.norms;
  const shape: NetworkShape = {
    ...(golden.imagenet ? imagenetShape : cifarShape),
    cells: golden.n === undefined ? golden.cells : 3 * golden.n,
    channels: golden.channels,
    classes: golden.classes,
    auxiliary: golden.auxiliary ?? false,
    ...(golden.reductions === undefined ? {} : { reductions: golden.reductions }),
  };
  if (golden.network === "evaluation") {
    const { architecture } = golden;
    const selection =
      architecture === undefined
        ? darts.named[golden.genotype].selection
        : nasBench201.texts[0].parse(architecture);
    const normalised = golden.normalised ?? golden.norm_pool_and_identity;
    return evaluationNetwork(
      { space, selection },
      shape,
      normalised ? normalisedEvaluation : plainEvaluation,
    );
  }
  const norms = golden.one_stage ? oneStageSuperNet : twoStageSuperNet;
  const [now, later] = [golden.supports, golden.next_supports ?? golden.supports].map((supports) =>
    goldenSupports(supports, space.choices),
  );
  const union = now.map((support, choice) => [...new Set([...support, ...later[choice]])]);
  return superNetwork(space, shape, norms, union);
}

test.each(["evaluation", "two-stage", "one-stage", "nas-bench-201"].flatMap(goldenNetworks))(
  "%s: names and shapes are PyTorch's",
  (_, golden, expected) => {
    const actual = tensorList(describeCase(golden))
      .filter(({ kind }) => kind !== "num_batches_tracked")
      .map(({ name, shape }): [string, number[]] => [name, [...shape]]);
    expect(actual.length).toBeGreaterThan(golden.architecture === undefined ? 50 : 40);
    const byName = ([a]: [string, number[]], [b]: [string, number[]]): number => (a < b ? -1 : 1);
    expect(actual.sort(byName)).toEqual([...expected].sort(byName));
  },
);

test("a super-net of all candidates holds every super-net of a support, and names are unique", () => {
  for (const norms of [darts.norms.twoStageSuperNet, darts.norms.oneStageSuperNet]) {
    const shape = { ...cifarShape, cells: 8, channels: 16, auxiliary: false };
    const all = tensorList(superNetwork(darts, shape, norms));
    const names = new Map(all.map(({ name, shape: size }) => [name, size]));
    expect(names.size).toBe(all.length);
    const some = superNetwork(darts, shape, norms, [
      ...[
        [0, 9],
        [3, 20],
        [11, 22],
        [2, 33],
      ],
      ...[
        [2, 11],
        [5, 7],
        [1, 20],
        [7, 10],
      ],
    ]);
    for (const { name, shape: size } of tensorList(some)) expect(names.get(name)).toEqual(size);
  }
});

test("entries say where they belong and what they are", () => {
  const { selection } = darts.named.ISTA_twostage;
  const network = evaluationNetwork({ space: darts, selection }, cifarShape);
  const entries = tensorList(network);
  const find = (name: string) => entries.find((entry) => entry.name === name);
  const choice = (id: string): number => darts.choices.findIndex((one) => one.id === id);
  expect(find("stem.0.weight")).toEqual({
    name: "stem.0.weight",
    shape: [108, 3, 3, 3],
    kind: "weight",
    place: { part: "stem" },
  });
  expect(find("cells.0._ops.1.op.1.weight")).toEqual({
    name: "cells.0._ops.1.op.1.weight",
    shape: [36, 1, 3, 3],
    kind: "weight",
    place: {
      part: "cell",
      cell: 0,
      cellType: "normal",
      choice: choice("normal/0"),
      candidate: darts.choices[choice("normal/0")].candidates.findIndex(
        ({ operation, predecessor }) => operation === "dil_conv_3x3" && predecessor === 1,
      ),
      branch: "cells.0._ops.1",
    },
  });
  expect(find("cells.6._ops.1.op.1.weight")).toMatchObject({
    shape: [72, 1, 5, 5],
    place: { cell: 6, cellType: "reduction", choice: choice("reduction/0") },
  });
  expect(find("cells.6.preprocess1.op.1.weight")?.place).toEqual({
    part: "cell",
    cell: 6,
    cellType: "reduction",
  });
  expect(find("stem.1.num_batches_tracked")).toMatchObject({ shape: [], kind: "num_batches_tracked" });
  expect(find("classifier.bias")).toMatchObject({ kind: "bias", place: { part: "classifier" } });
  expect(find("auxiliary_head.classifier.weight")).toMatchObject({
    shape: [10, 768],
    place: { part: "auxiliary" },
  });
  expect(find("cells.0._ops.0.1.weight")).toBeUndefined();
  const strideOf = (name: string): number | null => {
    const layer = darts.graph(network).layers.find((one) => one.name === name);
    return layer?.kind === "convolution" ? layer.stride : null;
  };
  expect(strideOf("cells.0._ops.1.op.1")).toBe(1);
  expect(strideOf("cells.6._ops.1.op.1")).toBe(2);
  expect(entries.filter(({ kind }) => isTrainable(kind)).map(({ kind }) => kind)).toContain("gamma");
  expect(
    isTrainable("running_mean") || isTrainable("running_var") || isTrainable("num_batches_tracked"),
  ).toBe(false);
});
