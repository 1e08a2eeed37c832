// Genotypes: numbering, validation with paths, supports and back, published cells, random cells.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { IstaError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import {
  randomSelection,
  type Selection,
  sameSelection,
  sortedSelection,
  validateSelection,
} from "../space.js";
import { choiceIndex, edgeIndex } from "./cell.js";
import type { DartsGenotype } from "./genotype.js";
import { darts } from "./space.js";

const selections = fc.nat().map((seed) => randomSelection(darts, RandomStream.named(seed, "test")));
const candidateCounts = darts.choices.map(({ candidates }) => candidates.length);
const operations = darts.choices[0].candidates.slice(0, 7).map(({ operation }) => operation);

/** Any two distinct connections for each node, also on the same predecessor. */
const anySupports = fc.tuple(
  ...candidateCounts.map((count) =>
    fc
      .uniqueArray(fc.nat(count - 1), { minLength: 2, maxLength: 2 })
      .map((support) => support.sort((a, b) => a - b)),
  ),
);

test("connections and edges are numbered as in the paper's program", () => {
  expect(candidateCounts).toEqual([14, 21, 28, 35, 14, 21, 28, 35]);
  expect(operations).toEqual([
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
  ]);
  expect(darts.choices[choiceIndex("normal", 1)].candidates[16]).toEqual({
    operation: "skip_connect",
    predecessor: 2,
  });
  const edges: number[] = [];
  for (let node = 0; node < 4; node++) {
    for (const type of ["normal", "reduction"] as const)
      for (const [index, { operation, predecessor }] of darts.choices[
        choiceIndex(type, node)
      ].candidates.entries())
        expect(predecessor * 7 + operations.indexOf(operation)).toBe(index);
    for (let predecessor = 0; predecessor < node + 2; predecessor++) edges.push(edgeIndex(node, predecessor));
  }
  expect(edges).toEqual(Array.from({ length: 14 }, (_, index) => index));
});

test("choices are the nodes of the normal cell, then those of the reduction cell, two connections each", () => {
  expect(darts.choices.map(({ id, name, group }) => [id, name, group])).toEqual(
    ["normal", "reduction"].flatMap((group) =>
      [0, 1, 2, 3].map((node) => [`${group}/${node}`, `${group} node ${node + 2}`, group]),
    ),
  );
  for (const { kept, distinctPredecessors } of darts.choices)
    expect([kept, distinctPredecessors]).toEqual([2, false]);
});

test("genotypes read off supports give the supports back", () => {
  fc.assert(
    fc.property(anySupports, (supports) => {
      const genotype = darts.toGenotype(supports) as DartsGenotype;
      expect(darts.fromGenotype(JSON.parse(JSON.stringify(genotype)))).toEqual(supports);
      expect(darts.toGenotype(darts.fromGenotype(genotype))).toEqual(genotype);
      expect(genotype.normal).toHaveLength(8);
      for (const [position, [operation, predecessor]] of [...genotype.normal, ...genotype.reduce].entries())
        expect(predecessor * 7 + operations.indexOf(operation)).toBe(
          supports[Math.floor(position / 2)][position % 2],
        );
    }),
  );
  for (const { selection } of Object.values(darts.named)) {
    const supports = sortedSelection(selection);
    expect(darts.fromGenotype(darts.toGenotype(supports))).toEqual(supports);
  }
});

test("a genotype keeps the order of a node's two connections, as published cells are numbered by it", () => {
  fc.assert(
    fc.property(selections, (selection) => {
      const turned = selection.map((chosen) => [...chosen].reverse());
      expect(darts.fromGenotype(darts.toGenotype(turned))).toEqual(turned);
    }),
  );
});

test("the order of a node's two connections does not make another genotype", () => {
  fc.assert(
    fc.property(selections, selections, (a, b) => {
      expect(sameSelection(a, a.with(0, [...a[0]].reverse()))).toBe(true);
      expect(sameSelection(a, b)).toBe(
        JSON.stringify(sortedSelection(a)) === JSON.stringify(sortedSelection(b)),
      );
    }),
  );
});

/** A genotype as JSON, whose parts a test may replace by anything. */
interface LooseGenotype {
  normal: unknown[];
  reduce: unknown[];
  reduceConcat: unknown;
}

test.each<[string, (value: LooseGenotype) => unknown, string]>([
  ["null", () => null, "at $: expected an object, got null"],
  ["an array", () => [], "at $: expected an object, got an array of 0"],
  ["another space", (g) => ({ ...g, space: "nb201" }), 'at $.space: expected "darts", got "nb201"'],
  ["an extra key", (g) => ({ ...g, extra: 1 }), "at $.extra: expected only the keys space"],
  [
    "no reduction cell",
    ({ reduce: _, ...g }) => g,
    "at $.reduce: expected 8 pairs, 2 for each of 4 nodes, got nothing",
  ],
  ["7 pairs", (g) => ({ ...g, normal: g.normal.slice(1) }), "at $.normal: expected 8 pairs"],
  [
    "a pair of 3",
    (g) => ({ ...g, normal: g.normal.with(3, ["skip_connect", 0, 1]) }),
    "at $.normal[3]: expected a pair [operation, predecessor], got an array of 3",
  ],
  [
    "an unknown operation",
    (g) => ({ ...g, reduce: g.reduce.with(5, ["none", 0]) }),
    "at $.reduce[5][0]: expected one of max_pool_3x3, ",
  ],
  [
    "a later predecessor",
    (g) => ({ ...g, normal: g.normal.with(2, ["skip_connect", 3]) }),
    "at $.normal[2][1]: expected a predecessor of node 3, 0 to 2, got 3",
  ],
  ["a fraction", (g) => ({ ...g, normal: g.normal.with(2, ["skip_connect", 0.5]) }), "got 0.5"],
  ["a number as text", (g) => ({ ...g, normal: g.normal.with(2, ["skip_connect", "0"]) }), 'got "0"'],
  [
    "a connection twice",
    (g) => ({ ...g, normal: [["skip_connect", 0], ["skip_connect", 0], ...g.normal.slice(2)] }),
    'at $.normal[1]: expected a connection other than that of $.normal[0], got "skip_connect, 0"',
  ],
  [
    "another concatenation",
    (g) => ({ ...g, normalConcat: [2, 3, 4] }),
    'at $.normalConcat: expected the nodes [2, 3, 4, 5], got "2,3,4"',
  ],
  ["no concatenation", ({ reduceConcat: _, ...g }) => g, "at $.reduceConcat"],
])("refuses %s and says where", (_, change, message) => {
  const genotype: unknown = darts.toGenotype(darts.named.ISTA_twostage.selection);
  const act = (): unknown => darts.fromGenotype(change(structuredClone(genotype) as LooseGenotype));
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});

test.each<[string, (good: Selection) => Selection, string]>([
  ["one connection", (good) => good.with(0, [0]), "2 different candidates of normal node 2, got 0"],
  ["none", (good) => good.with(7, []), "2 different candidates of reduction node 5, got none"],
  ["three connections", (good) => good.with(1, [0, 1, 2]), "2 different candidates of normal node 3"],
  [
    "one connection twice",
    (good) => good.with(0, [0, 0]),
    "2 different candidates of normal node 2, got 0, 0",
  ],
  ["another node's", (good) => good.with(0, [0, 14]), "candidates of normal node 2 below 14, got 14"],
  ["a negative one", (good) => good.with(4, [-1, 0]), "candidates of reduction node 2 below 14, got -1"],
  ["a fraction", (good) => good.with(4, [0.5, 0]), "below 14, got 0.5"],
  ["a node too few", (good) => good.slice(1), "expected 8 choices, got 7"],
])("a selection with %s is refused", (_, change, message) => {
  const good = darts.named.ISTA_twostage.selection;
  validateSelection(darts, good);
  const act = (): void => validateSelection(darts, change(good));
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});

test("random cells are uniform over operations and pairs of distinct predecessors, and follow the seed", () => {
  const drawn = new Map<string, number>();
  const predecessors = new Map<string, number>();
  const count = 4000;
  const stream = RandomStream.named(1, "test");
  for (let draw = 0; draw < count; draw++) {
    const { normal, reduce } = darts.toGenotype(randomSelection(darts, stream)) as DartsGenotype;
    for (const cell of [normal, reduce])
      for (let node = 0; node < 4; node++) {
        const pair = cell.slice(2 * node, 2 * node + 2);
        for (const [operation] of pair) drawn.set(operation, (drawn.get(operation) ?? 0) + 1);
        const key = `${node}: ${pair.map(([, predecessor]) => predecessor).join(" ")}`;
        predecessors.set(key, (predecessors.get(key) ?? 0) + 1);
      }
  }
  // Five standard deviations of a binomial.
  const near = (got: number, trials: number, probability: number): void =>
    expect(Math.abs(got - trials * probability)).toBeLessThanOrEqual(
      5 * Math.sqrt(trials * probability * (1 - probability)),
    );
  expect([...drawn.keys()].sort()).toEqual([...operations].sort());
  for (const number of drawn.values()) near(number, 16 * count, 1 / 7);
  // Pairs in ascending order, each as often as any other of its node.
  expect(predecessors.size).toBe(1 + 3 + 6 + 10);
  for (const [key, number] of predecessors)
    near(number, 2 * count, [1, 1 / 3, 1 / 6, 1 / 10][Number(key[0])]);
  const again = (seed: number) => randomSelection(darts, RandomStream.named(seed, "test"));
  expect(again(5)).toEqual(again(5));
  expect(again(5)).not.toEqual(again(6));
});
