// Genotypes: numbering, validation with paths, supports and back, published cells, random cells.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import {
  candidateConnections,
  candidateCount,
  connectionAt,
  connectionIndex,
  edgeIndex,
  primitives,
} from "./darts.js";
import { genotypeFromSupports, sameGenotype, supportsOfGenotype, validateGenotype } from "./genotype.js";
import { namedGenotypes } from "./named-genotypes.js";
import { randomGenotype } from "./random-genotype.js";

const genotypes = fc.nat().map((seed) => randomGenotype(RandomStream.named(seed, "test")));

/** Any two distinct connections for each node, also on the same predecessor. */
const cellSupports = fc.tuple(
  ...[0, 1, 2, 3].map((node) =>
    fc
      .uniqueArray(fc.nat(candidateCount(node) - 1), { minLength: 2, maxLength: 2 })
      .map((support) => support.sort((a, b) => a - b)),
  ),
);

test("connections and edges are numbered as in the paper's program", () => {
  expect([0, 1, 2, 3].map(candidateCount)).toEqual([14, 21, 28, 35]);
  expect(connectionAt(16)).toEqual({ operation: "skip_connect", predecessor: 2 });
  const edges: number[] = [];
  for (let node = 0; node < 4; node++) {
    for (const [index, connection] of candidateConnections(node).entries())
      expect(connectionIndex(connection)).toBe(index);
    for (let predecessor = 0; predecessor < node + 2; predecessor++) edges.push(edgeIndex(node, predecessor));
  }
  expect(edges).toEqual(Array.from({ length: 14 }, (_, index) => index));
});

test("genotypes read off supports give the supports back", () => {
  fc.assert(
    fc.property(cellSupports, cellSupports, (normal, reduction) => {
      const genotype = genotypeFromSupports({ normal, reduction });
      expect(supportsOfGenotype(genotype)).toEqual({ normal, reduction });
      expect(validateGenotype(JSON.parse(JSON.stringify(genotype)))).toEqual(genotype);
    }),
  );
});

test("the order of a node's two connections does not make another genotype", () => {
  fc.assert(
    fc.property(genotypes, genotypes, (a, b) => {
      const swapped = { ...a, normal: [a.normal[1], a.normal[0], ...a.normal.slice(2)] };
      expect(sameGenotype(a, swapped)).toBe(true);
      expect(sameGenotype(a, b)).toBe(
        JSON.stringify(supportsOfGenotype(a)) === JSON.stringify(supportsOfGenotype(b)),
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
  const act = (): unknown =>
    validateGenotype(
      change(structuredClone<unknown>(namedGenotypes.ISTA_twostage.genotype) as LooseGenotype),
    );
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
});

test("supports that are not two distinct connections a node are refused", () => {
  const good = supportsOfGenotype(namedGenotypes.ISTA_twostage.genotype);
  expect(() => genotypeFromSupports({ ...good, normal: [[0], ...good.normal.slice(1)] })).toThrow("8 pairs");
  expect(() => genotypeFromSupports({ ...good, normal: [[0, 0], ...good.normal.slice(1)] })).toThrow(
    "$.normal[1]",
  );
  expect(() => genotypeFromSupports({ ...good, normal: [[0, 14], ...good.normal.slice(1)] })).toThrow(
    "$.normal[1][1]",
  );
});

test("random cells are uniform over operations and pairs of distinct predecessors, and follow the seed", () => {
  const operations = new Map<string, number>();
  const predecessors = new Map<string, number>();
  const count = 4000;
  const stream = RandomStream.named(1, "test");
  for (let draw = 0; draw < count; draw++) {
    const { normal, reduce } = randomGenotype(stream);
    for (const cell of [normal, reduce])
      for (let node = 0; node < 4; node++) {
        const pair = cell.slice(2 * node, 2 * node + 2);
        for (const [operation] of pair) operations.set(operation, (operations.get(operation) ?? 0) + 1);
        const key = `${node}: ${pair.map(([, predecessor]) => predecessor).join(" ")}`;
        predecessors.set(key, (predecessors.get(key) ?? 0) + 1);
      }
  }
  // Five standard deviations of a binomial.
  const near = (got: number, trials: number, probability: number): void =>
    expect(Math.abs(got - trials * probability)).toBeLessThanOrEqual(
      5 * Math.sqrt(trials * probability * (1 - probability)),
    );
  expect([...operations.keys()].sort()).toEqual([...primitives].sort());
  for (const number of operations.values()) near(number, 16 * count, 1 / 7);
  expect(predecessors.size).toBe(1 + 3 + 6 + 10);
  for (const [key, number] of predecessors)
    near(number, 2 * count, [1, 1 / 3, 1 / 6, 1 / 10][Number(key[0])]);
  const again = (seed: number) => randomGenotype(RandomStream.named(seed, "test"));
  expect(again(5)).toEqual(again(5));
  expect(again(5)).not.toEqual(again(6));
});
