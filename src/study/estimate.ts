// Means and differences of measured values, each with its 95 % interval.
import { type PermutationTest, signFlipTest, twoSampleTest } from "./permutation.js";
import { studentQuantile, studentTail } from "./student.js";

export interface Spread {
  count: number;
  mean: number;
  /** Standard deviation of the sample (divided by count - 1); 0 for a single value. */
  deviation: number;
}

/** Mean and sample deviation of the values that are there; null where none is. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const present = values.filter((value) => value !== null);
  if (present.length === 0) return null;
  const mean = present.reduce((sum, value) => sum + value, 0) / present.length;
  const squares = present.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    count: present.length,
    mean,
    deviation: present.length < 2 ? 0 : Math.sqrt(squares / (present.length - 1)),
  };
}

export interface Estimate {
  readonly count: number;
  readonly mean: number;
  /** Standard deviation of the sample (divided by count - 1); null for a single value. */
  readonly deviation: number | null;
  /** 95 % interval of the mean by Student's t distribution; null for a single value. */
  readonly interval: readonly [low: number, high: number] | null;
}

/** How much higher an arm is than the baseline. */
export interface Difference {
  readonly mean: number;
  readonly interval: readonly [low: number, high: number] | null;
  readonly permutation: PermutationTest;
  /** Two-sided p of Student's (paired) or Welch's (unpaired) t test; null where it is not defined: one value, or no spread. */
  readonly studentP: number | null;
}

const outside = 0.05;

function around(mean: number, error: number, degrees: number): [number, number] {
  const reach = error === 0 ? 0 : studentQuantile(outside, degrees) * error;
  return [mean - reach, mean + reach];
}

/** @param values at least one */
export function estimate(values: readonly number[]): Estimate {
  const { count, mean, deviation } = spreadOf(values)!;
  if (count < 2) return { count, mean, deviation: null, interval: null };
  return { count, mean, deviation, interval: around(mean, deviation / Math.sqrt(count), count - 1) };
}

/** @param differences arm minus baseline, one a pair, at least one */
export function pairedDifference(differences: readonly number[]): Difference {
  const { count, mean, deviation, interval } = estimate(differences);
  const studentP =
    deviation === null || deviation === 0
      ? null
      : studentTail((mean / deviation) * Math.sqrt(count), count - 1);
  return { mean, interval, permutation: signFlipTest(differences), studentP };
}

/** Of groups that need not have the same size or spread: Welch's interval and test. @param values at least one @param baseline at least one */
export function unpairedDifference(values: readonly number[], baseline: readonly number[]): Difference {
  const [first, second] = [estimate(values), estimate(baseline)];
  const mean = first.mean - second.mean;
  const permutation = twoSampleTest(values, baseline);
  if (first.deviation === null || second.deviation === null)
    return { mean, interval: null, permutation, studentP: null };
  const [a, b] = [first.deviation ** 2 / first.count, second.deviation ** 2 / second.count];
  if (a + b === 0) return { mean, interval: [mean, mean], permutation, studentP: null };
  // Welch and Satterthwaite's degrees of freedom.
  const degrees = (a + b) ** 2 / (a ** 2 / (first.count - 1) + b ** 2 / (second.count - 1));
  const error = Math.sqrt(a + b);
  return {
    mean,
    interval: around(mean, error, degrees),
    permutation,
    studentP: studentTail(mean / error, degrees),
  };
}
