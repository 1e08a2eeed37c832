// Evolution over architectures (Guo et al. 2020, arXiv 1904.00420, section 3.4 and algorithm 1). No tensors.
import type { RandomStream } from "../../base/random.js";
import { type Choice, type Selection, type Space, selectionKey } from "../../space/space.js";
import { ascending, drawWithin, replacements } from "../selections.js";
import type { SposOptions } from "./options.js";

export interface Scored {
  readonly selection: Selection;
  /** The higher, the better. */
  readonly score: number;
}

export type EvolutionSettings = Omit<SposOptions, "statisticsBatches">;

export interface EvolutionTask {
  readonly space: Space;
  /** By how much an architecture is over the size budget; 0 within it. */
  excess(selection: Selection): number;
  /** Null ends the evolution. Asked once for each architecture. */
  score(selection: Selection): Promise<number | null>;
  /** Told after each generation, with what was found so far, the best first. */
  onGeneration?(ranked: readonly Scored[]): void;
}

/** Draws in vain for each child before others take its place. */
const triesPerChild = 10;

/** Exchanges each kept candidate with the probability, for one drawn evenly from those that may take its place. */
export function mutate(
  choices: readonly Choice[],
  selection: Selection,
  probability: number,
  stream: RandomStream,
): Selection {
  return choices.map((choice, number) => {
    let chosen = [...selection[number]];
    for (const leaving of selection[number]) {
      if (stream.uniform() >= probability) continue;
      const possible = replacements(choice, chosen, leaving);
      if (possible.length === 0) continue;
      const entering = possible[stream.integer(possible.length)];
      chosen = chosen.map((index) => (index === leaving ? entering : index));
    }
    return ascending(choice, chosen);
  });
}

/** Of each choice what one of the parents keeps; candidate by candidate where both keep some of the same predecessors. */
export function cross(
  choices: readonly Choice[],
  [mother, father]: readonly [Selection, Selection],
  stream: RandomStream,
): Selection {
  return choices.map((choice, number) => {
    const [one, other] = [mother, father].map((parent) => ascending(choice, parent[number]));
    const from = (kept: readonly number[]): string =>
      kept.map((index) => choice.candidates[index].predecessor).join();
    const distinct = new Set(from(one).split(",")).size === choice.kept;
    if (!distinct || from(one) !== from(other)) return stream.uniform() < 0.5 ? one : other;
    return one.map((index, position) => (stream.uniform() < 0.5 ? index : other[position]));
  });
}

/**
 * Looks at `evaluations` different architectures (fewer, where no more are to be found): a population drawn evenly, and then
 * generations of which one half are crosses and one half mutations of the best so far, within the size budget.
 * @returns all of them, the best first, of equals the one found first; null when `score` asked to end
 * @throws IstaError BUDGET_IMPOSSIBLE
 */
export async function evolve(
  task: EvolutionTask,
  { evaluations, population, survivors, mutationProbability }: EvolutionSettings,
  stream: RandomStream,
): Promise<Scored[] | null> {
  const { choices } = task.space;
  const seen = new Map<string, Scored>();
  const known = new Set<string>();
  let ranked: Scored[] = [];

  /** At most so many architectures that were never proposed before. */
  const propose = (count: number, make: () => Selection): Selection[] => {
    const made: Selection[] = [];
    for (let tries = 0; made.length < count && tries < triesPerChild * count; tries++) {
      const selection = make();
      if (known.has(selectionKey(selection)) || task.excess(selection) > 0) continue;
      known.add(selectionKey(selection));
      made.push(selection);
    }
    return made;
  };
  const parent = (): Selection => ranked[stream.integer(Math.min(survivors, ranked.length))].selection;
  const crossed = (): Selection => cross(choices, [parent(), parent()], stream);
  const mutated = (): Selection => mutate(choices, parent(), mutationProbability, stream);
  const drawn = (): Selection => drawWithin(task, stream);

  while (seen.size < evaluations) {
    const size = Math.min(population, evaluations - seen.size);
    const half = ranked.length === 0 ? 0 : Math.floor(size / 2);
    const children = [...propose(half, crossed), ...propose(half, mutated)];
    // Where parents have no new children, others come in.
    const generation = [...children, ...propose(size - children.length, drawn)];
    if (generation.length === 0) break;
    for (const selection of generation) {
      const score = await task.score(selection);
      if (score === null) return null;
      seen.set(selectionKey(selection), { selection, score });
    }
    ranked = [...seen.values()].sort((a, b) => b.score - a.score);
    task.onGeneration?.(ranked);
  }
  return ranked;
}
