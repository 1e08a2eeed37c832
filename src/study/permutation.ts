// Permutation tests: how often chance alone, by other signs or another division, would differ as much as what was measured.
import { RandomStream } from "../base/random.js";

export interface PermutationTest {
  /** Two-sided. */
  readonly p: number;
  /** Whether every rearrangement was counted; otherwise `drawn` of them, by a stream with a fixed seed. */
  readonly exact: boolean;
  readonly drawn: number;
}

/** All signs are gone through for as many pairs: 2^20, about a million. */
export const mostExactPairs = 20;
/** All divisions into two groups are gone through where there are no more. */
const mostDivisions = 1 << 20;
export const randomDraws = 100_000;

/** Sums that are equal on paper differ in their last bits; such count as equal. */
const reaches = (values: readonly number[], observed: number): ((sum: number) => boolean) => {
  const slack = 1e-9 * values.reduce((sum, value) => sum + Math.abs(value), 0);
  return (sum) => Math.abs(sum) >= Math.abs(observed) - slack;
};

/** @param draw a sum under another arrangement, drawn by the stream */
function byDrawing(
  reached: (sum: number) => boolean,
  draw: (stream: RandomStream) => number,
): PermutationTest {
  const stream = RandomStream.named(0, "permutation test");
  let count = 0;
  for (let index = 0; index < randomDraws; index++) if (reached(draw(stream))) count += 1;
  // What was measured is one of the arrangements (Phipson and Smyth 2010): the probability is never 0.
  return { p: (count + 1) / (randomDraws + 1), exact: false, drawn: randomDraws };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/**
 * Fisher's sign-flip test of paired differences: under chance each might as well have the other sign.
 * @param differences one a pair, at least one
 */
export function signFlipTest(differences: readonly number[]): PermutationTest {
  const { length } = differences;
  const reached = reaches(differences, sumOf(differences));
  if (length > mostExactPairs)
    return byDrawing(reached, (stream) =>
      differences.reduce((sum, value) => sum + (stream.nextUint32() & 1 ? value : -value), 0),
    );
  let count = 0;
  const flip = (index: number, sum: number): void => {
    if (index === length) count += Number(reached(sum));
    else {
      flip(index + 1, sum + differences[index]);
      flip(index + 1, sum - differences[index]);
    }
  };
  // Each arrangement with all signs turned round counts as well as itself: half of them are enough.
  flip(1, differences[0]);
  const drawn = 2 ** (length - 1);
  return { p: count / drawn, exact: true, drawn: 2 * drawn };
}

/** Number of ways to choose k of n, as a floating-point number. */
function choices(n: number, k: number): number {
  let ways = 1;
  for (let index = 1; index <= k; index++) ways = (ways * (n - k + index)) / index;
  return Math.round(ways);
}

/**
 * Fisher and Pitman's test of two groups: under chance the values might as well be divided otherwise.
 * @param first at least one value @param second at least one value
 */
export function twoSampleTest(first: readonly number[], second: readonly number[]): PermutationTest {
  const all = [...first, ...second];
  const mean = sumOf(all) / all.length;
  // The difference of the means grows with the sum of the first group alone, counted from the mean of all.
  const centred = all.map((value) => value - mean);
  const size = first.length;
  const reached = reaches(centred, sumOf(centred.slice(0, size)));
  const divisions = choices(all.length, size);
  if (divisions > mostDivisions)
    return byDrawing(reached, (stream) => sumOf(stream.shuffle([...centred]).slice(0, size)));
  let count = 0;
  const choose = (from: number, left: number, sum: number): void => {
    if (left === 0) count += Number(reached(sum));
    else
      for (let index = from; index <= all.length - left; index++)
        choose(index + 1, left - 1, sum + centred[index]);
  };
  choose(0, size, 0);
  return { p: count / divisions, exact: true, drawn: divisions };
}
