// The learning rate of the codes where none is named: by the number of steps that the search has.
import { formatCount } from "../../base/format.js";
import type { SearchConfig } from "../../config/config.js";

/**
 * Adam moves an entry of a code by about the rate a step. Codes begin with entries of 1e-3, with which a node hardly passes a signal on,
 * and must come to about 1 early in the search: the paper's, of 4,900 steps at 6e-4, lets them go 2.94 in all, and this is kept.
 */
const wayInAll = 2.94;

/** The paper's (section 4): longer searches are not made slower. */
const least = 6e-4;

/** More, and the codes of a search of a few dozen steps jump instead of learning. */
const most = 0.03;

/** @param steps of the whole search */
export const usualCodeLearningRate = (steps: number): number =>
  Number(Math.min(most, Math.max(least, wayInAll / steps)).toPrecision(2));

/** The rate that a search without one gets, and a line that says so; null where it has one. */
export function settleCodeLearningRate(
  { epochs, codeLearningRate }: SearchConfig & Readonly<Record<string, unknown>>,
  stepsPerEpoch: number,
): { readonly values: Readonly<Record<string, unknown>>; readonly line: string } | null {
  if (codeLearningRate !== null) return null;
  const steps = epochs * stepsPerEpoch;
  const rate = usualCodeLearningRate(steps);
  return {
    values: { codeLearningRate: rate },
    line: `learning rate of the codes: ${rate}, because the search has ${formatCount(steps)} steps (--code-learning-rate sets another)`,
  };
}
