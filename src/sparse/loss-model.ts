// What the losses of whole networks tell of the compressed codes: ridge regression in the compressed space.
//
// A network of the supports S_1, S_2, ... is measured as the vectors A_j 1_S, one for each choice, of length m. The regression says
//
//     score(S) = constant + sum over choices j of <b_j, A_j 1_Sj> + noise,    b ~ N(0, t^2 I),    noise ~ N(0, r t^2)
//
// so that its coefficients are compressed codes: A_j^T b_j is what the candidates of a choice are worth, and the sparse code that is
// recovered from b_j keeps the best of them. All columns take part, also those that no network has had: what two columns share, they
// learn together. There are m unknowns for a choice, however many candidates it has. Entries of b_j that the choices of a group share (see
// `withSharedKinds`) are one unknown for all of them.

import type { RandomStream } from "../base/random.js";
import { choleskyFactor, solveLower, solveLowerTransposed } from "./matrix.js";
import type { Measurement } from "./measurement.js";

/** S_j of every choice. */
export type Supports = readonly (readonly number[])[];

/** The compressed codes b_j of all choices, as one vector after another. */
export interface LossModel {
  /** The most probable codes. */
  readonly mean: readonly Float64Array[];
  /** r: the variance of the noise as a share of the variance of the codes' entries, that of the greatest evidence. */
  readonly noiseRatio: number;
  /**
   * Codes perturbed by what is not known of them: mean + scale * N(0, posterior covariance). With scale 1 a draw from the posterior
   * (Thompson 1933): what is in doubt is tried, what is settled is kept.
   */
  perturbed(scale: number, stream: RandomStream): Float64Array[];
  /** The expected score of a network, without the constant. */
  score(supports: Supports): number;
}

/** Where the entries of the compressed codes stand among the unknowns: those that choices share stand there once. */
function placesOf(measurements: readonly Measurement[]): { places: Int32Array[]; size: number } {
  const groups = new Map<string, number>();
  let size = 0;
  const places = measurements.map(({ rows, shared }) => {
    const common = shared?.rows ?? 0;
    let first = shared === undefined ? 0 : groups.get(shared.group);
    if (first === undefined) {
      first = size;
      groups.set(shared!.group, first);
      size += common;
    }
    const own = size;
    size += rows - common;
    return Int32Array.from({ length: rows }, (_, row) => (row < common ? first + row : own + row - common));
  });
  return { places, size };
}

/**
 * A_j 1_S of all choices, one after the other: the network of these supports, seen in the compressed space. Rows that choices share are
 * added up.
 */
export function measure(measurements: readonly Measurement[], supports: Supports): Float64Array {
  const { places, size } = placesOf(measurements);
  const whole = new Float64Array(size);
  for (const [choice, { rows, columns, data }] of measurements.entries())
    for (let row = 0; row < rows; row++)
      whole[places[choice][row]] += supports[choice].reduce(
        (sum, index) => sum + data[row * columns + index],
        0,
      );
  return whole;
}

/**
 * Scores of losses by their ranks alone: the lower the loss, the higher the quantile of the normal distribution. One network that fails
 * altogether says no more than that it is the worst. Equal losses have equal scores: the mean over their ranks.
 */
export function rankScores(losses: readonly number[]): Float64Array {
  const count = losses.length;
  const scores = new Float64Array(count);
  const order = [...losses.keys()].sort((a, b) => losses[b] - losses[a]);
  for (let start = 0, end = 0; start < count; start = end) {
    while (end < count && losses[order[end]] === losses[order[start]]) end++;
    const equal = order.slice(start, end);
    const sum = equal.reduce((total, _, place) => total + normalQuantile((start + place + 0.5) / count), 0);
    for (const index of equal) scores[index] = sum / equal.length;
  }
  return scores;
}

/** Ratios r that are tried: from hardly any noise to nothing but noise. */
const noiseRatios = [0.1, 0.3, 1, 3, 10, 30, 100, 300];

/**
 * The compressed codes that the scores of networks speak for.
 * @param scores the higher, the better; one for each of `supports`
 */
export function fitLossModel(
  measurements: readonly Measurement[],
  supports: readonly Supports[],
  scores: Float64Array,
): LossModel {
  const rows = supports.map((one) => measure(measurements, one));
  const { places, size } = placesOf(measurements);
  const count = rows.length;
  const centre = new Float64Array(size);
  for (const row of rows) for (let i = 0; i < size; i++) centre[i] += row[i] / count;
  const meanScore = scores.reduce((sum, score) => sum + score, 0) / count;

  const gram = new Float64Array(size * size);
  const moments = new Float64Array(size);
  let squares = 0;
  for (const [index, row] of rows.entries()) {
    const score = scores[index] - meanScore;
    squares += score ** 2;
    for (let i = 0; i < size; i++) {
      const deviation = row[i] - centre[i];
      moments[i] += deviation * score;
      for (let j = 0; j <= i; j++) gram[i * size + j] += deviation * (row[j] - centre[j]);
    }
  }

  // Losses that are all equal say nothing, not that there is nothing to know: the variance that scores have otherwise.
  if (squares === 0) squares = count;

  // The logarithm of the evidence, with the variance of the codes at its own most probable value.
  const fits = noiseRatios.map((noiseRatio) => {
    const shifted = gram.map((value, k) => (k % (size + 1) === 0 ? value + noiseRatio : value));
    // Positive definite: no variance is below the ratio.
    const lower = choleskyFactor({ rows: size, columns: size, data: shifted })!;
    const half = solveLower(lower, moments);
    const unexplained = squares - half.reduce((sum, value) => sum + value ** 2, 0);
    const variance = unexplained / noiseRatio / count;
    let logDeterminant = (count - size) * Math.log(noiseRatio);
    for (let i = 0; i < size; i++) logDeterminant += 2 * Math.log(lower.data[i * size + i]);
    const logEvidence = -(count * Math.log(variance) + logDeterminant) / 2;
    return { noiseRatio, lower, half, variance, logEvidence };
  });
  const { noiseRatio, lower, half, variance } = fits.reduce((best, one) =>
    one.logEvidence > best.logEvidence ? one : best,
  );
  const mean = solveLowerTransposed(lower, half);
  const deviation = Math.sqrt(variance * noiseRatio);

  const split = (whole: Float64Array): Float64Array[] =>
    places.map((own) => Float64Array.from(own, (place) => whole[place]));
  return {
    mean: split(mean),
    noiseRatio,
    perturbed(scale, stream) {
      const normals = Float64Array.from({ length: size }, () => stream.normal());
      const direction = solveLowerTransposed(lower, normals);
      return split(mean.map((value, index) => value + scale * deviation * direction[index]));
    },
    score: (one) => measure(measurements, one).reduce((sum, value, index) => sum + value * mean[index], 0),
  };
}

/** The standard normal quantile by bisection of its distribution function (Abramowitz and Stegun 26.2.17, error below 1e-7). */
function normalQuantile(probability: number): number {
  let [low, high] = [-8, 8];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (normalDistribution(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function normalDistribution(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return x > 0 ? 1 - tail : tail;
}
