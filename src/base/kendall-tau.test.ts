// Kendall's tau-b against its definition, pair by pair, and against values of scipy.stats.kendalltau.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kendallTau } from "./kendall-tau.js";

function byDefinition(x: readonly number[], y: readonly number[]): number | null {
  let [balance, differentX, differentY] = [0, 0, 0];
  for (let i = 0; i < x.length; i++)
    for (let j = 0; j < i; j++) {
      balance += Math.sign(x[i] - x[j]) * Math.sign(y[i] - y[j]);
      if (x[i] !== x[j]) differentX += 1;
      if (y[i] !== y[j]) differentY += 1;
    }
  return differentX * differentY === 0 ? null : balance / Math.sqrt(differentX * differentY);
}

describe("kendallTau", () => {
  it.each([
    ["the same order", [1, 2, 3, 4], [10, 20, 30, 40], 1],
    ["the reverse order", [1, 2, 3, 4], [4, 3, 2, 1], -1],
    ["ties in both", [12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.47140452079103173],
    ["one tie", [1, 2, 3, 3], [1, 3, 2, 4], 0.5477225575051662],
  ])("of %s", (_, x, y, expected) => expect(kendallTau(x, y)).toBeCloseTo(expected, 12));

  it.each([
    ["nothing", [], []],
    ["one pair of values", [1], [2]],
    ["a list without two different values", [3, 3, 3], [1, 2, 3]],
    ["the other list without them", [1, 2, 3], [3, 3, 3]],
  ])("of %s is not known", (_, x, y) => expect(kendallTau(x, y)).toBeNull());

  it("is what the definition says, with many ties and with none", () => {
    const value = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.double({ noNaN: true, min: -1, max: 1 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value), { maxLength: 40 }), (rows) => {
        const [x, y] = [rows.map(([a]) => a), rows.map(([, b]) => b)];
        const [found, expected] = [kendallTau(x, y), byDefinition(x, y)];
        if (expected === null) expect(found).toBeNull();
        else expect(found).toBeCloseTo(expected, 12);
      }),
      { numRuns: 500 },
    );
  });

  it("needs lists of one length", () => expect(() => kendallTau([1], [])).toThrow("got 1 and 0"));
});
