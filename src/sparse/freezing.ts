// One-stage search: whether an update of the supports is accepted, and which nodes have settled.

import { type Codes, codeGroups, listNodes, mapNodes, type NodeId, type PerNode } from "./codes.js";
import type { Recovery } from "./recovery.js";

export interface UpdateRules {
  /** A node freezes when ||z_new - z_old||_2 is at most this; null: nothing freezes, as in a two-stage search. */
  readonly tolerance: number | null;
  /** Whether the network with these supports is within the size budget. Default: always. */
  readonly fits?: (supports: PerNode<readonly number[]>) => boolean;
}

export interface UpdateDecision {
  /** False if the proposed network is over budget: then `codes` are the ones that were there. */
  readonly accepted: boolean;
  readonly codes: Codes;
  readonly newlyFrozen: readonly NodeId[];
  /** ||z_new - z_old||_2 of the proposal; 0 for nodes that were frozen before. */
  readonly distances: PerNode<number>;
}

function distance(a: Float64Array, b: Float64Array): number {
  return Math.sqrt(a.reduce((sum, value, index) => sum + (value - b[index]) ** 2, 0));
}

/**
 * Takes an update of all nodes as a whole or not at all (Yang et al. 2020, arXiv 2010.06176). An update whose network does not fit is
 * rejected: codes z, supports and frozen nodes stay as they were, and no node freezes because of it.
 * Otherwise every active node takes its new recovery and freezes if its code moved no further than the tolerance.
 * Frozen nodes keep their recovery, whatever is proposed for them.
 */
export function decideUpdate(codes: Codes, proposed: PerNode<Recovery>, rules: UpdateRules): UpdateDecision {
  const { tolerance, fits = () => true } = rules;
  const next = mapNodes(codes, (code, { group, node }) =>
    code.frozen ? code.recovery : proposed[group][node],
  );
  const distances = mapNodes(codes, ({ recovery }, { group, node }) =>
    distance(next[group][node].code, recovery.code),
  );
  if (!fits(mapNodes(next, ({ support }) => support)))
    return { accepted: false, codes, newlyFrozen: [], distances };
  const settled = (group: NodeId["group"], node: number): boolean =>
    tolerance !== null && distances[group][node] <= tolerance;
  const updated = mapNodes(codes, (code, { group, node }) =>
    code.frozen ? code : { ...code, recovery: next[group][node], frozen: settled(group, node) },
  );
  const newlyFrozen = listNodes(updated)
    .filter(({ group, node, value }) => value.frozen && !codes[group][node].frozen)
    .map(({ group, node }) => ({ group, node }));
  return { accepted: true, codes: updated, newlyFrozen, distances };
}

/** Whether the search has terminated: every node of both cell types is frozen. */
export function allFrozen(codes: Codes): boolean {
  return codeGroups.every((group) => codes[group].every(({ frozen }) => frozen));
}

/** Freezes what is still active, at an epoch limit. Returns the nodes that had not settled by themselves. */
export function freezeAll(codes: Codes): { readonly codes: Codes; readonly forced: readonly NodeId[] } {
  const forced = listNodes(codes)
    .filter(({ value }) => !value.frozen)
    .map(({ group, node }) => ({ group, node }));
  return { codes: mapNodes(codes, (code) => ({ ...code, frozen: true })), forced };
}
