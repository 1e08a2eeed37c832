// The rules of the one-stage search, on numbers alone: acceptance as a whole, freezing, termination.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type Codes, initialCodes, supportsOf } from "./codes.js";
import { allFrozen, decideUpdate, freezeAll } from "./freezing.js";
import type { Recovery } from "./recovery.js";

/** Two cells of four nodes, two of 7 operations on 2 to 5 predecessors each. */
const start = initialCodes({
  seed: 1,
  measurement: "gaussian",
  compressedLength: 7,
  choices: ["normal", "reduction"].flatMap((group) =>
    [2, 3, 4, 5].map((count, node) => ({
      id: `${group}/${node}`,
      predecessors: Array.from({ length: 7 * count }, (_, index) => Math.floor(index / 7)),
      kept: 2,
      distinctPredecessors: false,
    })),
  ),
  recovery: { method: "path", lambda: 1e-5 },
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

const perChoice = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.array(value, { minLength: start.length, maxLength: start.length });

const scenario = fc.record({
  frozen: perChoice(fc.boolean()),
  moves: perChoice(
    fc.record({ distance: fc.constantFrom(0, 1e-9, 9.9e-4, 1.1e-3, 0.5), elsewhere: fc.boolean() }),
  ),
  fits: fc.boolean(),
  tolerance: fc.constantFrom(null, 0, 1e-3, 1),
});

const withFrozen = (frozen: readonly boolean[]): Codes =>
  start.map((code, index) => ({ ...code, frozen: frozen[index] }));

const euclidean = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, i) => value - b[i]));

test("an update is taken as a whole or not at all, and only settled choices freeze", () => {
  fc.assert(
    fc.property(scenario, ({ frozen, moves, fits, tolerance }) => {
      const codes = withFrozen(frozen);
      const before = structuredClone(codes);
      const proposed = codes.map(({ recovery }, index) => {
        const { distance, elsewhere } = moves[index];
        return moved(recovery, distance, elsewhere);
      });
      let asked: readonly (readonly number[])[] | null = null;
      const decision = decideUpdate(codes, proposed, {
        tolerance,
        fits: (supports) => {
          asked = supports;
          return fits;
        },
      });
      expect(codes).toEqual(before);
      expect(decision.accepted).toBe(fits);
      // The budget is asked about the network that would run: frozen choices as they are, the others as proposed.
      expect(asked).toEqual(
        codes.map((code, index) => (code.frozen ? code.recovery.support : proposed[index].support)),
      );
      if (!fits) {
        expect(decision.codes).toBe(codes);
        expect(decision.newlyFrozen).toEqual([]);
        return;
      }
      expect(decision.codes).toHaveLength(codes.length);
      for (const [index, after] of decision.codes.entries()) {
        const old = codes[index];
        if (old.frozen) {
          expect(after).toBe(old);
          expect(decision.distances[index]).toBe(0);
          expect(decision.newlyFrozen).not.toContain(index);
          continue;
        }
        const distance = euclidean(proposed[index].code, old.recovery.code);
        expect(decision.distances[index]).toBeCloseTo(distance, 12);
        expect(after.recovery).toBe(proposed[index]);
        expect(after.compressed).toBe(old.compressed);
        expect(after.frozen).toBe(tolerance !== null && distance <= tolerance);
        expect(decision.newlyFrozen.includes(index)).toBe(after.frozen);
      }
    }),
    { numRuns: 500, seed: 1 },
  );
});

test("by any course of updates frozen choices stay as they were, and the search ends when all are", () => {
  fc.assert(
    fc.property(fc.array(scenario, { maxLength: 20 }), (course) => {
      let codes = start;
      for (const { moves, fits, tolerance } of course) {
        const proposed = codes.map(({ recovery }, index) => moved(recovery, moves[index].distance, false));
        const next = decideUpdate(codes, proposed, { tolerance, fits: () => fits }).codes;
        for (const [index, code] of codes.entries()) if (code.frozen) expect(next[index]).toBe(code);
        codes = next;
        expect(allFrozen(codes)).toBe(codes.every(({ frozen }) => frozen));
      }
      const { codes: ended, forced } = freezeAll(codes);
      expect(allFrozen(ended)).toBe(true);
      expect(forced).toEqual(codes.flatMap(({ frozen }, index) => (frozen ? [] : [index])));
      expect(supportsOf(ended)).toEqual(supportsOf(codes));
      expect(freezeAll(ended).forced).toEqual([]);
    }),
    { numRuns: 100, seed: 2 },
  );
});

test("the tolerance is inclusive, and without one or a budget every update is taken and nothing freezes", () => {
  const exact = start.map(({ recovery }) => ({ ...recovery }));
  expect(decideUpdate(start, exact, { tolerance: 0 }).newlyFrozen).toHaveLength(8);
  const decision = decideUpdate(start, exact, { tolerance: null });
  expect(decision.accepted).toBe(true);
  expect(decision.newlyFrozen).toEqual([]);
});
