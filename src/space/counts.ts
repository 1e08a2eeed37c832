// Sizes of networks, counted without building them, and the smallest and largest size in a space.

import { IstaError } from "../base/errors.js";
import { type LayerWithWeights, layersWithWeights } from "./graph.js";
import {
  allCandidates,
  type Choice,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  type Selection,
  type Space,
  superNetwork,
} from "./space.js";
import { isTrainable, layerTensors } from "./tensors.js";

/** Trainable parameters, and multiply-adds of convolutions and linear layers for one image. */
export interface Size {
  readonly params: number;
  readonly multAdds: number;
}

export interface NetworkCounts extends Size {
  /** The same with the auxiliary head, where there is one; `params` and `multAdds` leave it out. */
  readonly withAuxiliary: Size;
  readonly stem: Size;
  readonly cells: readonly (Size & { readonly type: string })[];
  readonly auxiliary: Size;
  readonly classifier: Size;
}

const nothing: Size = { params: 0, multAdds: 0 };

const add = (a: Size, b: Size): Size => ({ params: a.params + b.params, multAdds: a.multAdds + b.multAdds });

const sum = (sizes: readonly Size[]): Size => sizes.reduce(add, nothing);

/** Size of one layer. Batch norms count as no multiply-adds: they can be folded away. */
export function layerSize(layer: LayerWithWeights): Size {
  const params = layerTensors(layer)
    .filter(({ kind }) => isTrainable(kind))
    .reduce((total, { shape }) => total + shape.reduce((product, size) => product * size, 1), 0);
  if (layer.kind === "norm") return { params, multAdds: 0 };
  if (layer.kind === "linear") return { params, multAdds: layer.inputFeatures * layer.output.channels };
  return { params, multAdds: params * layer.output.height * layer.output.width };
}

/**
 * Counts a network of any form. For a super-net only the candidates in its selection count: those are what is run.
 * @throws NETWORK_SHAPE if no network can have the shape.
 */
export function countNetwork(network: NetworkDescription): NetworkCounts {
  const layers = layersWithWeights(network.space.graph(network));
  const part = (name: LayerWithWeights["place"]["part"]): Size =>
    sum(layers.filter(({ place }) => place.part === name).map(layerSize));
  const types = new Map<number, string>();
  for (const { place } of layers)
    if (place.cell !== undefined) types.set(place.cell, place.cellType ?? "cell");
  const cells = [...types].map(([index, type]) => ({
    type,
    ...sum(layers.filter(({ place }) => place.cell === index).map(layerSize)),
  }));
  const [stem, auxiliary, classifier] = [part("stem"), part("auxiliary"), part("classifier")];
  const total = sum([stem, ...cells, classifier]);
  return { ...total, withAuxiliary: add(total, auxiliary), stem, cells, auxiliary, classifier };
}

/** What each candidate adds to the whole network, over all its cells. */
export interface CandidateSizes {
  readonly choices: readonly Choice[];
  /** Everything but the candidates, without the auxiliary head. */
  readonly base: Size;
  /** `[choice][candidate]` */
  readonly candidates: readonly (readonly Size[])[];
}

/** The size of a network is the base plus the sizes of its candidates (see `Space`), so this table gives that of every network. */
export function candidateSizes(space: Space, shape: NetworkShape, norms: NormPlacement): CandidateSizes {
  const candidates = allCandidates(space).map((all) => all.map(() => nothing));
  let base = nothing;
  for (const layer of layersWithWeights(space.graph(superNetwork(space, shape, norms)))) {
    const { part, choice, candidate } = layer.place;
    const size = layerSize(layer);
    if (choice !== undefined && candidate !== undefined)
      candidates[choice][candidate] = add(candidates[choice][candidate], size);
    else if (part !== "auxiliary") base = add(base, size);
  }
  return { choices: space.choices, base, candidates };
}

/** Size of the network that keeps these candidates. */
export function sizeOfSelection({ base, candidates }: CandidateSizes, selection: Selection): Size {
  return sum([
    base,
    ...selection.flatMap((chosen, choice) => chosen.map((index) => candidates[choice][index])),
  ]);
}

/** The smallest (sign 1) or largest (sign -1) size of what a choice may keep. */
function extremeOfChoice(choice: Choice, sizes: readonly number[], sign: 1 | -1): number {
  const order = [...sizes.keys()].sort((a, b) => sign * (sizes[a] - sizes[b]));
  const used = new Set<number>();
  let total = 0;
  let kept = 0;
  for (const index of order) {
    const { predecessor } = choice.candidates[index];
    if (kept === choice.kept || (choice.distinctPredecessors && used.has(predecessor))) continue;
    used.add(predecessor);
    total += sizes[index];
    kept += 1;
  }
  return total;
}

/** Sum over all choices of the smallest (sign 1) or largest (sign -1) candidates. */
function extreme({ base, choices, candidates }: CandidateSizes, measure: keyof Size, sign: 1 | -1): number {
  return choices.reduce((total, choice, number) => {
    const sizes = candidates[number].map((size) => size[measure]);
    return total + extremeOfChoice(choice, sizes, sign);
  }, base[measure]);
}

/**
 * The exact smallest and largest size of a network, without the auxiliary head, each measure for itself.
 * In the DARTS space one network attains both minima, since pooling is the cheapest operation by both; and demanding distinct
 * predecessors changes neither end there: sizes depend on the predecessor only through the stride, and every node has two inputs.
 */
export function sizeRange(sizes: CandidateSizes): { readonly smallest: Size; readonly largest: Size } {
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

/** By how much a size is over the budget, as a share of the limits; 0 within it. */
export function excessOf({ params, multAdds }: Size, budget: SizeBudget): number {
  const over = (value: number, limit = Number.POSITIVE_INFINITY): number =>
    Math.max(0, value - limit) / limit || 0;
  return over(params, budget.maxParams) + over(multAdds, budget.maxMultAdds);
}

/**
 * Refuses a budget that no network of the space with this shape can meet.
 * @throws BUDGET_IMPOSSIBLE with the smallest possible size.
 */
export function requirePossibleBudget(sizes: CandidateSizes, budget: SizeBudget): void {
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
