// Genotypes of the DARTS space: the JSON form, its validation, and its relation to selections.

import type { Candidate, Choice, Genotype, Selection } from "../space.js";
import { genotypeObject, refuseGenotype } from "../text.js";
import {
  cellTypes,
  choiceIndex,
  concatenatedNodes,
  connectionsPerNode,
  intermediateNodeCount,
  predecessorCount,
} from "./cell.js";

/** One kept connection: operation and predecessor (0 and 1 are the cell's inputs, 2 + j is intermediate node j). */
export type GenotypePair = readonly [operation: string, predecessor: number];

/** Both cells: two connections for each of the 4 nodes, in node order. This is also the JSON form. */
export interface DartsGenotype extends Genotype {
  readonly normal: readonly GenotypePair[];
  readonly normalConcat: readonly number[];
  readonly reduce: readonly GenotypePair[];
  readonly reduceConcat: readonly number[];
}

const keys = ["space", "normal", "normalConcat", "reduce", "reduceConcat"] as const;

/** The keys of the two cell types. */
export const cellKeys = { normal: "normal", reduction: "reduce" } as const;

/** The pairs of every node of a cell. */
export const pairsByNode = (pairs: readonly GenotypePair[]): GenotypePair[][] =>
  Array.from({ length: intermediateNodeCount }, (_, node) =>
    pairs.slice(node * connectionsPerNode, (node + 1) * connectionsPerNode),
  );

function validatePair(
  value: unknown,
  path: string,
  node: number,
  operations: readonly string[],
): GenotypePair {
  if (!Array.isArray(value) || value.length !== 2)
    refuseGenotype(path, "a pair [operation, predecessor]", value);
  const [operation, predecessor] = value as [unknown, unknown];
  if (!operations.includes(operation as string))
    refuseGenotype(`${path}[0]`, `one of ${operations.join(", ")}`, operation);
  const limit = predecessorCount(node);
  if (!Number.isInteger(predecessor) || (predecessor as number) < 0 || (predecessor as number) >= limit)
    refuseGenotype(`${path}[1]`, `a predecessor of node ${node + 2}, 0 to ${limit - 1}`, predecessor);
  return [operation as string, predecessor as number];
}

function validateCell(value: unknown, path: string, operations: readonly string[]): GenotypePair[] {
  const count = intermediateNodeCount * connectionsPerNode;
  if (!Array.isArray(value) || value.length !== count)
    refuseGenotype(
      path,
      `${count} pairs, ${connectionsPerNode} for each of ${intermediateNodeCount} nodes`,
      value,
    );
  const pairs = Array.from(value, (pair: unknown, index) =>
    validatePair(pair, `${path}[${index}]`, Math.floor(index / connectionsPerNode), operations),
  );
  for (let second = 1; second < count; second += connectionsPerNode) {
    const [operation, predecessor] = pairs[second];
    if (operation === pairs[second - 1][0] && predecessor === pairs[second - 1][1])
      refuseGenotype(
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
    refuseGenotype(
      path,
      `the nodes [${concatenatedNodes.join(", ")}]`,
      Array.isArray(value) ? `${value}` : value,
    );
  return [...concatenatedNodes];
}

/**
 * Checks that a value from outside is a genotype and returns a copy with nothing else in it.
 * @throws GENOTYPE_INVALID with the JSON path of the first thing wrong, what was expected there and what came.
 */
export function validateGenotype(
  value: unknown,
  space: string,
  operations: readonly string[],
): DartsGenotype {
  const record = genotypeObject(value, keys);
  if (record.space !== space) refuseGenotype("$.space", JSON.stringify(space), record.space);
  return {
    space,
    normal: validateCell(record.normal, "$.normal", operations),
    normalConcat: validateConcat(record.normalConcat, "$.normalConcat"),
    reduce: validateCell(record.reduce, "$.reduce", operations),
    reduceConcat: validateConcat(record.reduceConcat, "$.reduceConcat"),
  };
}

/** The genotype of a selection; the pairs of a node are in its order. */
export function genotypeOf(space: string, choices: readonly Choice[], selection: Selection): DartsGenotype {
  const [normal, reduce] = cellTypes.map((type) =>
    Array.from({ length: intermediateNodeCount }, (_, node) => choiceIndex(type, node)).flatMap((choice) =>
      selection[choice].map((index): GenotypePair => {
        const { operation, predecessor } = choices[choice].candidates[index];
        return [operation, predecessor];
      }),
    ),
  );
  return {
    space,
    normal,
    normalConcat: [...concatenatedNodes],
    reduce,
    reduceConcat: [...concatenatedNodes],
  };
}

/** The selection of a genotype that is valid. */
export function selectionOf(choices: readonly Choice[], genotype: DartsGenotype): Selection {
  const indexOf = (candidates: readonly Candidate[], [operation, predecessor]: GenotypePair): number =>
    candidates.findIndex((one) => one.operation === operation && one.predecessor === predecessor);
  return cellTypes.flatMap((type) =>
    pairsByNode(genotype[cellKeys[type]]).map((pairs, node) =>
      pairs.map((pair) => indexOf(choices[choiceIndex(type, node)].candidates, pair)),
    ),
  );
}

/** The JSON form with a line for each node, ending in a newline. */
export function formatGenotype(genotype: DartsGenotype): string {
  const nodes = (pairs: readonly GenotypePair[]): string =>
    pairsByNode(pairs)
      .map((node) => node.map(([operation, predecessor]) => `["${operation}", ${predecessor}]`).join(", "))
      .join(",\n    ");
  return `{
  "space": "${genotype.space}",
  "normal": [
    ${nodes(genotype.normal)}
  ],
  "normalConcat": [${genotype.normalConcat.join(", ")}],
  "reduce": [
    ${nodes(genotype.reduce)}
  ],
  "reduceConcat": [${genotype.reduceConcat.join(", ")}]
}
`;
}
