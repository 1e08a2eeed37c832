// The DARTS search space as data: primitives, cell, and the numbering of candidate connections and edges.

/** The candidate operations, in index order (Liu et al. 2019; Yang et al. 2020, arXiv 2010.06176). */
export const primitives = [
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
] as const;

export type Primitive = (typeof primitives)[number];

/** Cells that keep the spatial size, and cells that halve it and double the channels. */
export type CellType = "normal" | "reduction";

export const cellTypes = ["normal", "reduction"] as const satisfies readonly CellType[];

/** Nodes 0 and 1 of a cell are the outputs of the two cells before it. */
export const inputNodeCount = 2;

/** Intermediate nodes of a cell, numbered 0 to 3 among themselves; as predecessors they are nodes 2 to 5. */
export const intermediateNodeCount = 4;

/** Connections that every intermediate node keeps: the sparsity s. */
export const connectionsPerNode = 2;

/** What a cell puts out: the channel-concatenation of these nodes. */
export const concatenatedNodes: readonly number[] = [2, 3, 4, 5];

/** One candidate connection of an intermediate node: a primitive applied to an earlier node. */
export interface Connection {
  readonly operation: Primitive;
  /** 0 and 1 are the cell's inputs, 2 + j is intermediate node j. */
  readonly predecessor: number;
}

/** Earlier nodes that intermediate node `node` (0 to 3) may read: 2, 3, 4, 5. */
export const predecessorCount = (node: number): number => node + inputNodeCount;

/** Candidate connections n_j of intermediate node `node`: 14, 21, 28, 35. */
export const candidateCount = (node: number): number => predecessorCount(node) * primitives.length;

/** Index of an operation among the primitives, 0 to 6. */
export const operationIndex = (operation: Primitive): number => primitives.indexOf(operation);

/** Connection i of a node is operation `i mod |O|` on predecessor `floor(i / |O|)`. */
export function connectionAt(index: number): Connection {
  return {
    operation: primitives[index % primitives.length],
    predecessor: Math.floor(index / primitives.length),
  };
}

/** The inverse of {@link connectionAt}. */
export function connectionIndex(connection: Connection): number {
  return connection.predecessor * primitives.length + operationIndex(connection.operation);
}

/** Edges (node, predecessor) are numbered node by node, predecessors in order: 0 to 13. */
export function edgeIndex(node: number, predecessor: number): number {
  return (node * (node + 3)) / 2 + predecessor;
}

/** All candidate connections of intermediate node `node`, in index order. */
export function candidateConnections(node: number): Connection[] {
  return Array.from({ length: candidateCount(node) }, (_, index) => connectionAt(index));
}
