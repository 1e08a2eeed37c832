// Genotypes: the cells that a search found, their validation, and their relation to the supports of the codes.

import { IstaError } from "../base/errors.js";
import {
  type CellType,
  concatenatedNodes,
  connectionAt,
  connectionIndex,
  connectionsPerNode,
  intermediateNodeCount,
  type Primitive,
  predecessorCount,
  primitives,
} from "./darts.js";

/** One kept connection: operation and predecessor (0 and 1 are the cell's inputs, 2 + j is intermediate node j). */
export type GenotypePair = readonly [operation: Primitive, predecessor: number];

/** Both cells: two connections for each of the 4 nodes, in node order. This is also the JSON form. */
export interface Genotype {
  readonly space: "darts";
  readonly normal: readonly GenotypePair[];
  readonly normalConcat: readonly number[];
  readonly reduce: readonly GenotypePair[];
  readonly reduceConcat: readonly number[];
}

/** Supports of the 4 nodes of one cell type: indices of the kept connections, ascending. */
export type CellSupports = readonly (readonly number[])[];

export type Supports = Readonly<Record<CellType, CellSupports>>;

const keys = ["space", "normal", "normalConcat", "reduce", "reduceConcat"] as const;

/** The beginning of a text from outside in quotes, with everything escaped that a line or a terminal could stumble over. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text.slice(0, 40)).replace(
    /\p{Cc}/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return text.length > 40 ? `${quoted}...` : quoted;
}

/** A value as it should appear in a one-line message, whatever its size. */
function describeValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

function refuse(path: string, expected: string, value: unknown): never {
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: at ${path}: expected ${expected}, got ${describeValue(value)}`,
  );
}

function validatePair(value: unknown, path: string, node: number): GenotypePair {
  if (!Array.isArray(value) || value.length !== 2) refuse(path, "a pair [operation, predecessor]", value);
  const [operation, predecessor] = value as [unknown, unknown];
  if (!primitives.includes(operation as Primitive))
    refuse(`${path}[0]`, `one of ${primitives.join(", ")}`, operation);
  const limit = predecessorCount(node);
  if (!Number.isInteger(predecessor) || (predecessor as number) < 0 || (predecessor as number) >= limit)
    refuse(`${path}[1]`, `a predecessor of node ${node + 2}, 0 to ${limit - 1}`, predecessor);
  return [operation as Primitive, predecessor as number];
}

function validateCell(value: unknown, path: string): GenotypePair[] {
  const count = intermediateNodeCount * connectionsPerNode;
  if (!Array.isArray(value) || value.length !== count)
    refuse(path, `${count} pairs, ${connectionsPerNode} for each of ${intermediateNodeCount} nodes`, value);
  const pairs = Array.from(value, (pair: unknown, index) =>
    validatePair(pair, `${path}[${index}]`, Math.floor(index / connectionsPerNode)),
  );
  for (let second = 1; second < count; second += connectionsPerNode) {
    const [operation, predecessor] = pairs[second];
    if (operation === pairs[second - 1][0] && predecessor === pairs[second - 1][1])
      refuse(
        `${path}[${second}]`,
        `a connection other than that of ${path}[${second - 1}]`,
        `${operation}, ${predecessor}`,
      );
  }
  return pairs;
}

function validateConcat(value: unknown, path: string): number[] {
  const matches =
    Array.isArray(value) &&
    value.length === concatenatedNodes.length &&
    concatenatedNodes.every((node, index) => value[index] === node);
  if (!matches)
    refuse(path, `the nodes [${concatenatedNodes.join(", ")}]`, Array.isArray(value) ? `${value}` : value);
  return [...concatenatedNodes];
}

/**
 * Checks that a value from outside is a genotype and returns a copy with nothing else in it.
 * @throws GENOTYPE_INVALID with the JSON path of the first thing wrong, what was expected there and what came.
 */
export function validateGenotype(value: unknown): Genotype {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("$", "an object", value);
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record))
    if (!(keys as readonly string[]).includes(key))
      refuse(
        /^\w{1,40}$/.test(key) ? `$.${key}` : `$[${quote(key)}]`,
        `only the keys ${keys.join(", ")}`,
        key,
      );
  if (record.space !== "darts") refuse("$.space", '"darts"', record.space);
  return {
    space: "darts",
    normal: validateCell(record.normal, "$.normal"),
    normalConcat: validateConcat(record.normalConcat, "$.normalConcat"),
    reduce: validateCell(record.reduce, "$.reduce"),
    reduceConcat: validateConcat(record.reduceConcat, "$.reduceConcat"),
  };
}

function pairsOf(supports: CellSupports): GenotypePair[] {
  return supports.flatMap((support) =>
    support.map((index): GenotypePair => {
      const { operation, predecessor } = connectionAt(index);
      return [operation, predecessor];
    }),
  );
}

/**
 * Reads the genotype off the supports: there is no projection step (Yang et al. 2020, arXiv 2010.06176).
 * The pairs of a node are in the order of its support.
 * @throws GENOTYPE_INVALID if the supports are not those of two cells with two distinct connections a node.
 */
export function genotypeFromSupports(supports: Supports): Genotype {
  return validateGenotype({
    space: "darts",
    normal: pairsOf(supports.normal),
    normalConcat: [...concatenatedNodes],
    reduce: pairsOf(supports.reduction),
    reduceConcat: [...concatenatedNodes],
  });
}

/** The supports of a genotype, ascending in each node. */
export function supportsOfGenotype(genotype: Genotype): Supports {
  const nodes = (pairs: readonly GenotypePair[]): number[][] =>
    Array.from({ length: intermediateNodeCount }, (_, node) =>
      pairs
        .slice(node * connectionsPerNode, (node + 1) * connectionsPerNode)
        .map(([operation, predecessor]) => connectionIndex({ operation, predecessor }))
        .sort((a, b) => a - b),
    );
  return { normal: nodes(genotype.normal), reduction: nodes(genotype.reduce) };
}

/** Whether two genotypes are the same network, whatever the order of the two connections of a node. */
export function sameGenotype(a: Genotype, b: Genotype): boolean {
  return JSON.stringify(supportsOfGenotype(a)) === JSON.stringify(supportsOfGenotype(b));
}
