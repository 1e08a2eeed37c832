// The cell of the DARTS search space: its nodes, and the choices that each of them makes.
import type { Operation } from "../operation.js";
import type { Candidate, Choice } from "../space.js";

/** Cells that keep the spatial size, and cells that halve it and double the channels. */
export const cellTypes = ["normal", "reduction"] as const;

export type CellType = (typeof cellTypes)[number];

/** Nodes 0 and 1 of a cell are the outputs of the two cells before it. */
export const inputNodeCount = 2;

/** Intermediate nodes of a cell, numbered 0 to 3 among themselves; as predecessors they are nodes 2 to 5. */
export const intermediateNodeCount = 4;

/** Connections that every intermediate node keeps: the sparsity s. */
export const connectionsPerNode = 2;

/** What a cell puts out: the channel-concatenation of these nodes. */
export const concatenatedNodes: readonly number[] = [2, 3, 4, 5];

/** Earlier nodes that intermediate node `node` (0 to 3) may read: 2, 3, 4, 5. */
export const predecessorCount = (node: number): number => node + inputNodeCount;

/** Edges (node, predecessor) are numbered node by node, predecessors in order: 0 to 13. */
export function edgeIndex(node: number, predecessor: number): number {
  return (node * (node + 3)) / 2 + predecessor;
}

/** Number of a node's choice in the space: the nodes of the normal cell, then those of the reduction cell. */
export const choiceIndex = (type: CellType, node: number): number =>
  cellTypes.indexOf(type) * intermediateNodeCount + node;

/** Connection i of a node is operation `i mod |O|` on predecessor `floor(i / |O|)`. */
const candidatesOf = (node: number, operations: readonly Operation[]): Candidate[] =>
  Array.from({ length: predecessorCount(node) }, (_, predecessor) =>
    operations.map(({ name }) => ({ operation: name, predecessor })),
  ).flat();

/** A choice of two connections for every node of both cell types. */
export function cellChoices(operations: readonly Operation[]): Choice[] {
  return cellTypes.flatMap((group) =>
    Array.from({ length: intermediateNodeCount }, (_, node) => ({
      id: `${group}/${node}`,
      name: `${group} node ${node + inputNodeCount}`,
      group,
      candidates: candidatesOf(node, operations),
      kept: connectionsPerNode,
      distinctPredecessors: false,
    })),
  );
}
