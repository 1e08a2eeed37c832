// The rules of the one-stage search, on numbers alone: acceptance as a whole, freezing, termination.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Codes, initialCodes, listNodes, mapNodes, type PerNode, supportsOf } from "./codes.js";
import { allFrozen, decideUpdate, freezeAll } from "./freezing.js";
import type { Recovery } from "./recovery.js";

const start = initialCodes({
  seed: 1,
  measurement: "gaussian",
  compressedSize: 7,
  candidateCounts: [14, 21, 28, 35],
  recovery: { method: "path", sparsity: 2, lambda: 1e-5 },
});

/** A recovery of the same node whose code lies `distance` away, with another support if asked for. */
function moved(recovery: Recovery, distance: number, elsewhere: boolean): Recovery {
  const code = Float64Array.from(recovery.code);
  const support = elsewhere
    ? [0, 1, 2]
        .filter((index) => !recovery.support.includes(index))
        .slice(0, 1)
        .concat(recovery.support[1])
    : [...recovery.support];
  if (elsewhere) code[recovery.support[0]] = 0;
  code[support[0]] += distance;
  return { ...recovery, code, support: support.sort((a, b) => a - b) };
}

const perNode = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<PerNode<T>> => {
  const group = fc.array(value, { minLength: 4, maxLength: 4 });
  return fc.record({ normal: group, reduction: group });
};

const scenario = fc.record({
  frozen: perNode(fc.boolean()),
  moves: perNode(
    fc.record({ distance: fc.constantFrom(0, 1e-9, 9.9e-4, 1.1e-3, 0.5), elsewhere: fc.boolean() }),
  ),
  fits: fc.boolean(),
  tolerance: fc.constantFrom(null, 0, 1e-3, 1),
});

const withFrozen = (frozen: PerNode<boolean>): Codes =>
  mapNodes(start, (code, { group, node }) => ({ ...code, frozen: frozen[group][node] }));

const euclidean = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, i) => value - b[i]));

test("an update is taken as a whole or not at all, and only settled nodes freeze", () => {
  fc.assert(
    fc.property(scenario, ({ frozen, moves, fits, tolerance }) => {
      const codes = withFrozen(frozen);
      const before = structuredClone(codes);
      const proposed = mapNodes(codes, ({ recovery }, { group, node }) => {
        const { distance, elsewhere } = moves[group][node];
        return moved(recovery, distance, elsewhere);
      });
      let asked: PerNode<readonly number[]> | null = null;
      const decision = decideUpdate(codes, proposed, {
        tolerance,
        fits: (supports) => {
          asked = supports;
          return fits;
        },
      });
      expect(codes).toEqual(before);
      expect(decision.accepted).toBe(fits);
      // The budget is asked about the network that would run: frozen nodes as they are, the others as proposed.
      expect(asked).toEqual(
        mapNodes(codes, (code, { group, node }) =>
          code.frozen ? code.recovery.support : proposed[group][node].support,
        ),
      );
      if (!fits) {
        expect(decision.codes).toBe(codes);
        expect(decision.newlyFrozen).toEqual([]);
        return;
      }
      const newly = decision.newlyFrozen.map(({ group, node }) => `${group} ${node}`);
      for (const { group, node, value: after } of listNodes(decision.codes)) {
        const old = codes[group][node];
        if (old.frozen) {
          expect(after).toBe(old);
          expect(decision.distances[group][node]).toBe(0);
          expect(newly).not.toContain(`${group} ${node}`);
          continue;
        }
        const distance = euclidean(proposed[group][node].code, old.recovery.code);
        expect(decision.distances[group][node]).toBeCloseTo(distance, 12);
        expect(after.recovery).toBe(proposed[group][node]);
        expect(after.compressed).toBe(old.compressed);
        expect(after.frozen).toBe(tolerance !== null && distance <= tolerance);
        expect(newly.includes(`${group} ${node}`)).toBe(after.frozen);
      }
    }),
    { numRuns: 500, seed: 1 },
  );
});

test("by any course of updates frozen nodes stay as they were, and the search ends when all are", () => {
  fc.assert(
    fc.property(fc.array(scenario, { maxLength: 20 }), (course) => {
      let codes = start;
      for (const { moves, fits, tolerance } of course) {
        const proposed = mapNodes(codes, ({ recovery }, { group, node }) =>
          moved(recovery, moves[group][node].distance, false),
        );
        const next = decideUpdate(codes, proposed, { tolerance, fits: () => fits }).codes;
        for (const { group, node, value } of listNodes(codes))
          if (value.frozen) expect(next[group][node]).toBe(value);
        codes = next;
        expect(allFrozen(codes)).toBe(listNodes(codes).every(({ value }) => value.frozen));
      }
      const { codes: ended, forced } = freezeAll(codes);
      expect(allFrozen(ended)).toBe(true);
      expect(forced).toHaveLength(listNodes(codes).filter(({ value }) => !value.frozen).length);
      expect(supportsOf(ended)).toEqual(supportsOf(codes));
      expect(freezeAll(ended).forced).toEqual([]);
    }),
    { numRuns: 100, seed: 2 },
  );
});

test("the tolerance is inclusive, and without one or a budget every update is taken and nothing freezes", () => {
  const exact = mapNodes(start, ({ recovery }) => ({ ...recovery }));
  expect(decideUpdate(start, exact, { tolerance: 0 }).newlyFrozen).toHaveLength(8);
  const decision = decideUpdate(start, exact, { tolerance: null });
  expect(decision.accepted).toBe(true);
  expect(decision.newlyFrozen).toEqual([]);
});
