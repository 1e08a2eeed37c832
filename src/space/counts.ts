// Sizes of networks, counted without building them, and the smallest and largest size in the space.

import { IstaError } from "../base/errors.js";
import {
  type CellType,
  candidateCount,
  cellTypes,
  connectionIndex,
  connectionsPerNode,
  intermediateNodeCount,
} from "./darts.js";
import {
  cellTypesOf,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  superNetwork,
} from "./layout.js";
import { isTrainable, type Layer, layerList, layerParameters } from "./parameters.js";

/** Trainable parameters, and multiply-adds of convolutions and linear layers for one image. */
export interface Size {
  readonly params: number;
  readonly multAdds: number;
}

export interface NetworkCounts extends Size {
  /** The same with the auxiliary head, where there is one; `params` and `multAdds` leave it out. */
  readonly withAuxiliary: Size;
  readonly stem: Size;
  readonly cells: readonly (Size & { readonly type: CellType })[];
  readonly auxiliary: Size;
  readonly classifier: Size;
}

const nothing: Size = { params: 0, multAdds: 0 };

const add = (a: Size, b: Size): Size => ({ params: a.params + b.params, multAdds: a.multAdds + b.multAdds });

const sum = (sizes: readonly Size[]): Size => sizes.reduce(add, nothing);

/** Size of one layer. Batch norms count as no multiply-adds: they can be folded away. */
export function layerSize(layer: Layer): Size {
  const params = layerParameters(layer)
    .filter(({ kind }) => isTrainable(kind))
    .reduce((total, { shape }) => total + shape.reduce((product, size) => product * size, 1), 0);
  if (layer.kind === "norm") return { params, multAdds: 0 };
  if (layer.kind === "linear") return { params, multAdds: layer.inputs * layer.outputs };
  return { params, multAdds: params * layer.outputHeight * layer.outputWidth };
}

/**
 * Counts a network of any form. For a super-net only the connections in its description count: those are what is run.
 * @throws NETWORK_SHAPE if no network can have the shape.
 */
export function countNetwork(description: NetworkDescription): NetworkCounts {
  const layers = layerList(description);
  const part = (name: Layer["part"]): Size =>
    sum(layers.filter((layer) => layer.part === name).map(layerSize));
  const cells = cellTypesOf(description.shape).map((type, index) => ({
    type,
    ...sum(layers.filter((layer) => layer.cell === index).map(layerSize)),
  }));
  const [stem, auxiliary, classifier] = [part("stem"), part("auxiliary"), part("classifier")];
  const total = sum([stem, ...cells, classifier]);
  return { ...total, withAuxiliary: add(total, auxiliary), stem, cells, auxiliary, classifier };
}

/** What each candidate connection adds to the whole network, over all cells of its type. */
export interface ConnectionSizes {
  /** Everything but the edges of cells, without the auxiliary head. */
  readonly base: Size;
  /** `[node][connection index]`. */
  readonly connections: Readonly<Record<CellType, readonly (readonly Size[])[]>>;
}

/** The size of a network is the base plus the sizes of its connections, so this table gives that of every network. */
export function connectionSizes(shape: NetworkShape, norms: NormPlacement): ConnectionSizes {
  const base = countNetwork(superNetwork(shape, norms, { normal: [], reduction: [] }));
  const types = cellTypesOf(shape);
  const table = (): Size[][] =>
    Array.from({ length: intermediateNodeCount }, (_, node) =>
      Array<Size>(candidateCount(node)).fill(nothing),
    );
  const connections = { normal: table(), reduction: table() };
  for (const layer of layerList(superNetwork(shape, norms))) {
    if (layer.cell === undefined || layer.edge === undefined) continue;
    const candidates = connections[types[layer.cell]][layer.edge.node];
    const index = connectionIndex(layer.edge);
    candidates[index] = add(candidates[index], layerSize(layer));
  }
  return {
    base: { params: base.params, multAdds: base.multAdds },
    connections,
  };
}

/** Size of the network that runs these connections of the two cell types. */
export function sizeOfSupports(
  sizes: ConnectionSizes,
  supports: Readonly<Record<CellType, readonly (readonly number[])[]>>,
): Size {
  return sum([
    sizes.base,
    ...cellTypes.flatMap((type) =>
      supports[type].flatMap((support, node) => support.map((index) => sizes.connections[type][node][index])),
    ),
  ]);
}

/** Sum over all nodes of the two smallest (sign 1) or largest (sign -1) connections. */
function extreme(sizes: ConnectionSizes, measure: keyof Size, sign: 1 | -1): number {
  let total = sizes.base[measure];
  for (const type of cellTypes)
    for (const candidates of sizes.connections[type])
      total += candidates
        .map((size) => size[measure])
        .sort((a, b) => sign * (a - b))
        .slice(0, connectionsPerNode)
        .reduce((a, b) => a + b, 0);
  return total;
}

/**
 * The exact smallest and largest size of a network with two distinct connections a node, without the auxiliary head.
 * Each measure is taken for itself; no measure is traded for the other at the small end, since pooling is the cheapest
 * operation by both, so that one network attains both minima. Demanding distinct predecessors changes neither end: sizes
 * depend on the predecessor only through the stride, and every node has two input predecessors.
 */
export function sizeRange(sizes: ConnectionSizes): { readonly smallest: Size; readonly largest: Size } {
  const both = (sign: 1 | -1): Size => ({
    params: extreme(sizes, "params", sign),
    multAdds: extreme(sizes, "multAdds", sign),
  });
  return { smallest: both(1), largest: both(-1) };
}

/** Upper limits of a network's size; a limit left out is none. */
export interface SizeBudget {
  readonly maxParams?: number;
  readonly maxMultAdds?: number;
}

/** Whether a size is within the budget. */
export function withinBudget(size: Size, budget: SizeBudget): boolean {
  return size.params <= (budget.maxParams ?? Infinity) && size.multAdds <= (budget.maxMultAdds ?? Infinity);
}

/**
 * Refuses a budget that no network of the space with this shape can meet.
 * @throws BUDGET_IMPOSSIBLE with the smallest possible size.
 */
export function requirePossibleBudget(sizes: ConnectionSizes, budget: SizeBudget): void {
  const { smallest } = sizeRange(sizes);
  const check = (limit: number | undefined, least: number, unit: string): void => {
    if (limit !== undefined && !(limit >= least))
      throw new IstaError(
        "BUDGET_IMPOSSIBLE",
        `size budget: a maximum of ${limit} ${unit} cannot be met: the smallest network of this shape has ${least}; raise the budget or take fewer cells or channels`,
      );
  };
  check(budget.maxParams, smallest.params, "parameters");
  check(budget.maxMultAdds, smallest.multAdds, "multiply-adds");
}
