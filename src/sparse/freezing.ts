// One-stage search: whether an update of the supports is accepted, and which nodes have settled.

import type { Codes } from "./codes.js";
import type { Recovery } from "./recovery.js";

export interface UpdateRules {
  /** A choice freezes when ||z_new - z_old||_2 is at most this; null: nothing freezes, as in a two-stage search. */
  readonly tolerance: number | null;
  /** What is compared: the sparse codes z, or the LASSO solutions that they were taken from. Default: the sparse codes. */
  readonly compared?: "sparse-codes" | "lasso-solutions";
  /** Whether the network with these supports is within the size budget. Default: always. */
  readonly fits?: (supports: readonly (readonly number[])[]) => boolean;
}

export interface UpdateDecision {
  /** False if the proposed network is over budget: then `codes` are the ones that were there. */
  readonly accepted: boolean;
  readonly codes: Codes;
  /** Indices of the choices that froze now. */
  readonly newlyFrozen: readonly number[];
  /** The distance of the proposal from what was there, ||z_new - z_old||_2; 0 for choices that were frozen before. */
  readonly distances: readonly number[];
}

function distance(a: Float64Array, b: Float64Array): number {
  return Math.sqrt(a.reduce((sum, value, index) => sum + (value - b[index]) ** 2, 0));
}

/**
 * Takes an update of all choices as a whole or not at all (Yang et al. 2020, arXiv 2010.06176). An update whose network does not fit is
 * rejected: codes z, supports and frozen choices stay as they were, and none freezes because of it.
 * Otherwise every active choice takes its new recovery and freezes if its code moved no further than the tolerance.
 * Frozen ones keep their recovery, whatever is proposed for them.
 */
export function decideUpdate(
  codes: Codes,
  proposed: readonly Recovery[],
  rules: UpdateRules,
): UpdateDecision {
  const { tolerance, compared = "sparse-codes", fits = () => true } = rules;
  const vectorOf = (recovery: Recovery): Float64Array =>
    compared === "sparse-codes" ? recovery.code : recovery.solution;
  const next = codes.map((code, index) => (code.frozen ? code.recovery : proposed[index]));
  const distances = codes.map(({ recovery }, index) => distance(vectorOf(next[index]), vectorOf(recovery)));
  if (!fits(next.map(({ support }) => support)))
    return { accepted: false, codes, newlyFrozen: [], distances };
  const settled = (index: number): boolean => tolerance !== null && distances[index] <= tolerance;
  const updated = codes.map((code, index) =>
    code.frozen ? code : { ...code, recovery: next[index], frozen: settled(index) },
  );
  const newlyFrozen = [...updated.keys()].filter((index) => updated[index].frozen && !codes[index].frozen);
  return { accepted: true, codes: updated, newlyFrozen, distances };
}

/** Whether the search has terminated: every choice is frozen. */
export const allFrozen = (codes: Codes): boolean => codes.every(({ frozen }) => frozen);

/** Freezes what is still active, at an epoch limit. Returns the choices that had not settled by themselves. */
export function freezeAll(codes: Codes): { readonly codes: Codes; readonly forced: readonly number[] } {
  const forced = [...codes.keys()].filter((index) => !codes[index].frozen);
  return { codes: codes.map((code) => ({ ...code, frozen: true })), forced };
}
