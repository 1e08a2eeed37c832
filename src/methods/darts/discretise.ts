// From weights of all candidates to an architecture (Liu et al. 2019, section 2.4; Xu et al. 2020, section 3.3). No tensors.
import { IstaError } from "../../base/errors.js";
import type { Choice, Selection } from "../../space/space.js";
import { ascending, replacements } from "../selections.js";
import { type Logits, type Softmax, softmax } from "./mixture.js";

/** How strong every candidate is, `[choice][candidate]`: its weight, times that of its predecessor where predecessors are weighed. */
export type Strengths = readonly (readonly number[])[];

export function strengthsOf(
  choices: readonly Choice[],
  softmaxes: readonly Softmax[],
  logits: readonly Logits[],
): Strengths {
  const strengths = choices.map(({ candidates }) => candidates.map(() => 0));
  const predecessors = new Map<number, Float64Array>();
  for (const [index, { choice, predecessor }] of softmaxes.entries())
    if (predecessor === null) predecessors.set(choice, softmax(logits[index].values));
  const seen = choices.map(() => 0);
  for (const [index, { choice, predecessor, hidden, candidates }] of softmaxes.entries()) {
    if (predecessor === null) continue;
    const weights = softmax(logits[index].values);
    const ofPredecessor = predecessors.get(choice)?.[seen[choice]++] ?? 1;
    for (const [column, candidate] of candidates.entries())
      strengths[choice][candidate] = ofPredecessor * weights[hidden + column];
  }
  return strengths;
}

/** Of each predecessor the strongest candidate, of these the `kept` strongest; of equals the first. */
function strongest(choice: Choice, strengths: readonly number[]): number[] {
  const { candidates, kept } = choice;
  const best = new Map<number, number>();
  for (const [index, { predecessor }] of candidates.entries()) {
    const before = best.get(predecessor);
    if (before === undefined || strengths[index] > strengths[before]) best.set(predecessor, index);
  }
  const falling = (indices: number[]): number[] =>
    indices.sort((a, b) => strengths[b] - strengths[a] || a - b);
  const first = falling([...best.values()]);
  // A choice that keeps more than it has predecessors goes on with the strongest of the rest.
  const rest = falling([...candidates.keys()].filter((index) => !first.includes(index)));
  return ascending(choice, [...first, ...rest].slice(0, kept));
}

/** The architectures that differ from this one in one candidate, with how much of the logarithm of the strengths each gives up. */
function* neighbours(choices: readonly Choice[], strengths: Strengths, selection: Selection) {
  for (const [number, choice] of choices.entries()) {
    const chosen = selection[number];
    for (const leaving of chosen)
      for (const entering of replacements(choice, chosen, leaving)) {
        const loss = Math.log(strengths[number][leaving]) - Math.log(strengths[number][entering]);
        const kept = chosen.map((index) => (index === leaving ? entering : index));
        yield { loss, selection: selection.with(number, ascending(choice, kept)) };
      }
  }
}

/**
 * The strongest architecture; where it is over the size budget, candidates are exchanged one by one, each time the one that
 * brings the most per strength given up, until it fits.
 * @param excess by how much an architecture is over the budget; 0 within it
 * @throws IstaError BUDGET_IMPOSSIBLE where no exchange brings anything any more
 */
export function discretise(
  choices: readonly Choice[],
  strengths: Strengths,
  excess: (selection: Selection) => number = () => 0,
): Selection {
  let selection: Selection = choices.map((choice, number) => strongest(choice, strengths[number]));
  for (let over = excess(selection); over > 0; over = excess(selection)) {
    let best: { value: number; selection: Selection } | null = null;
    for (const { loss, selection: other } of neighbours(choices, strengths, selection)) {
      const gain = over - excess(other);
      // Equal strengths cost nothing; a small cost keeps the larger gain ahead among them.
      const value = gain / Math.max(loss, 1e-9);
      if (gain > 0 && (best === null || value > best.value)) best = { value, selection: other };
    }
    if (best === null)
      throw new IstaError(
        "BUDGET_IMPOSSIBLE",
        "size budget: no exchange of a candidate brings the found architecture nearer to it; raise the budget",
      );
    selection = best.selection;
  }
  return selection;
}
