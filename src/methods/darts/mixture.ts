// Mixtures of candidates: logits whose softmax weighs them, and the gradient back through it. No tensors.
//
// alpha of a choice has a softmax for each predecessor, over the candidates on it. Where the space has no candidate that passes
// nothing on, a hidden first column stands for one: it takes its share and is dropped, so that the others need not add up to 1
// (Liu et al. 2019, section 2.2). beta (Xu et al. 2020, PC-DARTS, section 3.3) is one softmax over the predecessors of a choice.
import { RandomStream } from "../../base/random.js";
import { vectorNames } from "../../space/mixture.js";
import { passesNothing } from "../../space/operation.js";
import { type Choice, predecessorsOf, type Space } from "../../space/space.js";
import { type AdamOptions, type AdamState, adamStep, initialAdamState } from "../../sparse/adam.js";

/** One softmax, and where its weights go. */
export interface Softmax {
  /** Number of the choice in the space. */
  readonly choice: number;
  /** The candidates on this predecessor are weighed; null where it is the predecessors themselves. */
  readonly predecessor: number | null;
  /** Those candidates, by their numbers in the choice; none where predecessors are weighed. */
  readonly candidates: readonly number[];
  /** Columns before those of the candidates, whose weights are dropped. */
  readonly hidden: number;
  /** The network's vector of weights, and which of its entries the other columns are. */
  readonly vector: string;
  readonly entries: readonly number[];
}

/** What a softmax is of, and Adam's state for it. */
export interface Logits {
  /** [hidden + entries] */
  readonly values: Float64Array;
  readonly adam: AdamState;
}

const mayPassNothing = ({ candidates }: Choice): boolean =>
  candidates.some(({ operation }) => passesNothing(operation));

/**
 * The softmaxes of a space, choice by choice: of each predecessor, ascending, and with partial channels of the predecessors at last.
 */
export function softmaxesOf({ choices }: Space, partial: boolean): Softmax[] {
  const hidden = choices.some(mayPassNothing) ? 0 : 1;
  return choices.flatMap((one, choice) => {
    const predecessors = predecessorsOf(one);
    const ofCandidates = predecessors.map((predecessor): Softmax => {
      const candidates = [...one.candidates.keys()].filter(
        (index) => one.candidates[index].predecessor === predecessor,
      );
      const [vector, entries] = partial
        ? [vectorNames.onPredecessor(one, predecessor), [...candidates.keys()]]
        : [vectorNames.candidates(one), candidates];
      return { choice, predecessor, candidates, hidden, vector, entries };
    });
    if (!partial) return ofCandidates;
    const vector = vectorNames.predecessors(one);
    const entries = [...predecessors.keys()];
    return [...ofCandidates, { choice, predecessor: null, candidates: [], hidden: 0, vector, entries }];
  });
}

/** Standard deviation of the logits at the beginning. */
const initialScale = 1e-3;

/** Logits at the beginning, 1e-3 N(0, 1), from streams that are named after the choices. */
export function initialLogits(
  { choices }: Space,
  softmaxes: readonly Softmax[],
  seed: number,
): readonly Logits[] {
  const streams = new Map<string, RandomStream>();
  return softmaxes.map(({ choice, predecessor, hidden, entries }) => {
    const name = `${predecessor === null ? "beta" : "alpha"}/${choices[choice].id}`;
    const stream = streams.get(name) ?? RandomStream.named(seed, name);
    streams.set(name, stream);
    const values = Float64Array.from(
      { length: hidden + entries.length },
      () => initialScale * stream.normal(),
    );
    return { values, adam: initialAdamState(values.length) };
  });
}

/** exp(v_i) / sum over j of exp(v_j). */
export function softmax(values: Float64Array): Float64Array {
  const largest = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** dL/dv from p = softmax(v) and dL/dp: p_i (dL/dp_i - sum over j of p_j dL/dp_j). */
export function softmaxGradient(weights: Float64Array, slopes: Float64Array): Float64Array {
  const mean = weights.reduce((sum, weight, index) => sum + weight * slopes[index], 0);
  return weights.map((weight, index) => weight * (slopes[index] - mean));
}

/** The network's vectors of weights by name. */
export function vectorsOf(
  softmaxes: readonly Softmax[],
  logits: readonly Logits[],
): Map<string, Float64Array> {
  const vectors = new Map<string, number[]>();
  for (const [index, { vector, hidden, entries }] of softmaxes.entries()) {
    const weights = softmax(logits[index].values);
    const whole = vectors.get(vector) ?? [];
    for (const [column, entry] of entries.entries()) whole[entry] = weights[hidden + column];
    vectors.set(vector, whole);
  }
  return new Map([...vectors].map(([name, values]) => [name, Float64Array.from(values)]));
}

/** Gradients with respect to the logits, from those with respect to the vectors; a vector that is not there has the gradient zero. */
export function logitGradients(
  softmaxes: readonly Softmax[],
  logits: readonly Logits[],
  slopes: ReadonlyMap<string, ArrayLike<number>>,
): Float64Array[] {
  return softmaxes.map(({ vector, hidden, entries }, index) => {
    const { values } = logits[index];
    const slope = new Float64Array(values.length);
    const found = slopes.get(vector);
    if (found !== undefined)
      for (const [column, entry] of entries.entries()) slope[hidden + column] = found[entry];
    return softmaxGradient(softmax(values), slope);
  });
}

/** One step of Adam on all logits. */
export function stepLogits(
  logits: readonly Logits[],
  gradients: readonly Float64Array[],
  options: AdamOptions,
): readonly Logits[] {
  return logits.map(({ values, adam }, index) => {
    const { parameters, state } = adamStep(values, gradients[index], adam, options);
    return { values: parameters, adam: state };
  });
}
