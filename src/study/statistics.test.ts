// The statistics of studies beside values that SciPy 1.17 computed, and what holds for any values.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { estimate, pairedDifference, unpairedDifference } from "./estimate.js";
import { mostExactPairs, randomDraws, signFlipTest, twoSampleTest } from "./permutation.js";
import { incompleteBeta, logGamma, studentQuantile, studentTail } from "./student.js";

/** Equal to about 11 digits. */
const near = (found: number, expected: number): void =>
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-11 * Math.max(1e-3, Math.abs(expected)));

describe("Student's t distribution", () => {
  it.each([
    [0.1, 2.252712651734206],
    [0.5, 0.5723649429247],
    [2.5, 0.2846828704729192],
    [10, 12.801827480081469],
    [123.4, 469.3360974421906],
  ])("log gamma of %d", (x, expected) => near(logGamma(x), expected));

  it.each([
    [0.1, 2, 3, 0.0523],
    [0.5, 0.5, 0.5, 0.5],
    [0.9, 10, 0.5, 0.15164090963470994],
    [0.001, 4.5, 0.5, 8.183842849044718e-15],
    [0.75, 30, 12, 0.682334314180783],
    [0, 2, 3, 0],
    [1, 2, 3, 1],
  ])("incomplete beta I_%d(%d, %d)", (x, a, b, expected) => near(incompleteBeta(x, a, b), expected));

  it.each([
    [0, 5, 1],
    [1, 1, 0.5],
    [2.262157162740992, 9, 0.0500000000046757],
    [-3.5, 4, 0.024896163460222748],
    [12, 19, 2.5908946372221965e-10],
    [1.5, 7.3, 0.1755630928030861],
    [0.01, 100, 0.9920412102344285],
    [Number.POSITIVE_INFINITY, 3, 0],
  ])("beyond %d with %d degrees", (t, degrees, expected) => near(studentTail(t, degrees), expected));

  it("keeps its digits far out", () => {
    expect(studentTail(40, 9) / 1.8982998449339822e-11).toBeCloseTo(1, 10);
  });

  it.each([
    [1, 12.706204736174694, 63.656741162871526],
    [2, 4.302652729749462, 9.924843200918287],
    [3.7, 2.8675207071911895, 4.8692522532278275],
    [9, 2.262157162798205, 3.249835541592126],
    [100, 1.9839715185235518, 2.6258905214380173],
  ])("leaves 5 and 1 % outside, %d degrees", (degrees, five, one) => {
    near(studentQuantile(0.05, degrees), five);
    near(studentQuantile(0.01, degrees), one);
  });

  it("its tail and quantile are inverse to each other", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        (tail, degrees) => {
          expect(studentTail(studentQuantile(tail, degrees), degrees)).toBeCloseTo(tail, 9);
        },
      ),
    );
  });
});

const first = [93.1, 92.7, 93.5, 93.9, 92.2];
const second = [92.0, 92.9, 92.1, 93.0, 91.5];
const differences = first.map((value, index) => value - second[index]);

describe("estimates", () => {
  it("have mean, deviation and interval", () => {
    const { mean, deviation, interval } = estimate(first);
    near(mean, 93.08);
    near(deviation!, 0.6648308055437868);
    near(interval![0], 92.25450352385948);
    near(interval![1], 93.90549647614054);
    expect(estimate([5])).toEqual({ count: 1, mean: 5, deviation: null, interval: null });
    expect(estimate([5, 5]).interval).toEqual([5, 5]);
  });

  it("of paired differences", () => {
    const { mean, interval, permutation, studentP } = pairedDifference(differences);
    near(mean, 0.78);
    near(studentP!, 0.04505694394992796);
    near(interval![0], 0.02779343210273799);
    near(interval![1], 1.5322065678972643);
    expect(permutation).toEqual({ p: 0.125, exact: true, drawn: 32 });
  });

  it("of two groups of different size", () => {
    const { interval, permutation, studentP } = unpairedDifference(first, second.slice(0, 4));
    near(studentP!, 0.18634055004269642);
    near(interval![0], -0.3561869462853622);
    near(interval![1], 1.5161869462853872);
    // Counted with fractions in Python; SciPy itself doubles the smaller tail.
    expect(permutation.p).toBeCloseTo(26 / 126, 12);
    expect(permutation).toMatchObject({ exact: true, drawn: 126 });
  });

  it("say where a test is not defined", () => {
    expect(pairedDifference([0.5])).toMatchObject({ interval: null, studentP: null, permutation: { p: 1 } });
    expect(pairedDifference([0.5, 0.5])).toMatchObject({ interval: [0.5, 0.5], studentP: null });
    expect(unpairedDifference([1], [2, 3])).toMatchObject({ mean: -1.5, interval: null, studentP: null });
    expect(unpairedDifference([1, 1], [2, 2])).toMatchObject({ interval: [-1, -1], studentP: null });
  });
});

const values = (minLength: number, maxLength: number) =>
  fc.array(
    fc.integer({ min: -50, max: 50 }).map((value) => value / 10),
    { minLength, maxLength },
  );

describe("permutation tests", () => {
  it("sign flips as SciPy counts them", () => {
    expect(signFlipTest([0.3, -0.1, 0.4, 0.7, 0.2, 0.9, -0.3, 0.5]).p).toBe(0.0703125);
  });

  it("differences of one sign are as rare as can be; none are no surprise", () => {
    for (const count of [1, 2, 5, 10]) {
      expect(signFlipTest(Array.from({ length: count }, (_, index) => 1 + index)).p).toBe(2 / 2 ** count);
      expect(signFlipTest(Array(count).fill(0)).p).toBe(1);
    }
    expect(twoSampleTest([1, 2, 3], [4, 5, 6]).p).toBeCloseTo(2 / 20, 12);
    expect(twoSampleTest([1, 1], [1, 1, 1]).p).toBe(1);
  });

  it("do not depend on signs of all, order, or scale", () => {
    fc.assert(
      fc.property(values(1, 10), fc.integer({ min: 1, max: 1000 }), (differences, scale) => {
        const { p } = signFlipTest(differences);
        expect(p).toBeGreaterThanOrEqual(2 / 2 ** Math.max(1, differences.length) - 1e-12);
        expect(p).toBeLessThanOrEqual(1);
        expect(signFlipTest(differences.map((value) => -value)).p).toBe(p);
        expect(signFlipTest(differences.toReversed()).p).toBe(p);
        expect(signFlipTest(differences.map((value) => value * scale)).p).toBe(p);
      }),
    );
  });

  it("of two groups does not depend on which is first, nor on where zero is", () => {
    fc.assert(
      fc.property(values(1, 6), values(1, 6), (a, b) => {
        const { p } = twoSampleTest(a, b);
        expect(p).toBeGreaterThan(0);
        expect(p).toBeLessThanOrEqual(1);
        expect(twoSampleTest(b, a).p).toBeCloseTo(p, 12);
        const moved = (list: number[]): number[] => list.map((value) => value + 90);
        expect(twoSampleTest(moved(a), moved(b)).p).toBeCloseTo(p, 12);
      }),
    );
  });

  it("many values are drawn, the same ones each time, and agree with the exact count", () => {
    // The mean is about one standard error away from 0.
    const many = Array.from({ length: mostExactPairs + 1 }, (_, index) => (index % 3 === 0 ? -1 : 0.9));
    const drawn = signFlipTest(many);
    expect(drawn).toMatchObject({ exact: false, drawn: randomDraws });
    expect(signFlipTest(many)).toEqual(drawn);
    const student = pairedDifference(many).studentP!;
    expect(Math.abs(drawn.p - student)).toBeLessThan(0.05);
    const groups = twoSampleTest(
      many,
      many.map((value) => value - 3),
    );
    expect(groups).toMatchObject({ exact: false });
    expect(groups.p).toBeLessThan(1e-4);
  });
});
