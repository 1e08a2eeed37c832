// Selections that methods begin with: the largest one, and those drawn within the size budget. No tensors.
import { IstaError } from "../base/errors.js";
import type { RandomStream } from "../base/random.js";
import {
  type Choice,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  randomSelection,
  type Selection,
  type Space,
  superNetwork,
} from "../space/space.js";

/** Where it is not known which candidates a network will keep: of every choice those whose convolutions put out the most. */
export function largestSelection(space: Space, shape: NetworkShape, norms: NormPlacement): Selection {
  const costs = space.choices.map(({ candidates }) => candidates.map(() => 0));
  for (const layer of space.graph(superNetwork(space, shape, norms)).layers) {
    const { choice, candidate } = layer.place;
    if (layer.kind !== "convolution" || choice === undefined || candidate === undefined) continue;
    const { channels, height, width } = layer.output;
    costs[choice][candidate] += channels * height * width;
  }
  return space.choices.map(({ candidates, kept }, choice) => {
    const falling = [...candidates.keys()].sort((a, b) => costs[choice][b] - costs[choice][a] || a - b);
    const taken = new Set<number>();
    const onOwn = falling.filter((index) => {
      const { predecessor } = candidates[index];
      return !taken.has(predecessor) && taken.add(predecessor);
    });
    // A choice that keeps more than it has predecessors takes the next ones, too.
    return [...onOwn, ...falling.filter((index) => !onOwn.includes(index))].slice(0, kept);
  });
}

/** A super-net that keeps them. */
export const largestNetwork = (space: Space, shape: NetworkShape, norms: NormPlacement): NetworkDescription =>
  superNetwork(space, shape, norms, largestSelection(space, shape, norms));

/** So many draws miss a budget that one architecture in a hundred meets once in 20,000 times. */
const mostDraws = 1000;

/** What a draw needs to know of the size budget: by how much an architecture is over it, 0 within it. */
export interface DrawnFrom {
  readonly space: Space;
  excess(selection: Selection): number;
}

/**
 * An architecture drawn evenly from those within the size budget: drawn from all of them, again until it fits. Where hardly any fits,
 * one is drawn and candidates are exchanged, at random among those that bring it nearer to the budget, until it does.
 * @throws IstaError BUDGET_IMPOSSIBLE where no exchange does
 */
export function drawWithin({ space, excess }: DrawnFrom, stream: RandomStream): Selection {
  let selection = randomSelection(space, stream);
  for (let draw = 1; draw < mostDraws && excess(selection) > 0; draw++)
    selection = randomSelection(space, stream);
  for (let over = excess(selection); over > 0; over = excess(selection)) {
    const nearer = neighbours(space.choices, selection).filter((other) => excess(other) < over);
    if (nearer.length === 0)
      throw new IstaError(
        "BUDGET_IMPOSSIBLE",
        `size budget: expected an architecture of ${space.name} within it, found none by drawing and exchanging candidates; raise the budget or take fewer cells or channels`,
      );
    selection = nearer[stream.integer(nearer.length)];
  }
  return selection;
}

/** The architectures that differ from this one in one candidate. */
function neighbours(choices: readonly Choice[], selection: Selection): Selection[] {
  return choices.flatMap((choice, number) => {
    const chosen = selection[number];
    return chosen.flatMap((leaving) =>
      replacements(choice, chosen, leaving).map((entering) => {
        const kept = chosen.map((index) => (index === leaving ? entering : index));
        return selection.with(number, ascending(choice, kept));
      }),
    );
  });
}

/** Candidates of a choice in the order in which networks number them: by predecessor. */
export const ascending = ({ candidates }: Choice, kept: readonly number[]): number[] =>
  [...kept].sort((a, b) => candidates[a].predecessor - candidates[b].predecessor || a - b);

/**
 * The candidates that may take the place of a kept one. They come from predecessors that the other kept ones leave free, as in the
 * networks of DARTS; a choice that keeps more than it has predecessors takes any.
 */
export function replacements(
  { candidates, kept }: Choice,
  chosen: readonly number[],
  leaving: number,
): number[] {
  const distinct = new Set(candidates.map(({ predecessor }) => predecessor)).size >= kept;
  const others = chosen.filter((index) => index !== leaving);
  const taken = new Set(distinct ? others.map((index) => candidates[index].predecessor) : []);
  return [...candidates.keys()].filter(
    (index) => !chosen.includes(index) && !taken.has(candidates[index].predecessor),
  );
}
