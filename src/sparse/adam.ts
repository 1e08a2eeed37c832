// Adam on a Float64Array, for the compressed codes.

import { IstaError } from "../base/errors.js";

export interface AdamOptions {
  readonly learningRate: number;
  /** Decay rates of the running means of the gradient and of its square. */
  readonly betas: readonly [number, number];
  /** Added to the gradient as `weightDecay * parameter` (L2 regularisation, not the decoupled decay of AdamW). */
  readonly weightDecay: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
}

/** Plain numbers, so that a checkpoint can hold them. */
export interface AdamState {
  readonly step: number;
  readonly mean: readonly number[];
  readonly squareMean: readonly number[];
}

export function initialAdamState(length: number): AdamState {
  const zeros = (): number[] => Array.from({ length }, () => 0);
  return { step: 0, mean: zeros(), squareMean: zeros() };
}

/**
 * One step of Adam (Kingma and Ba 2015) as torch.optim.Adam takes it: nothing is changed in place.
 * @returns the new parameters and the new state.
 * @throws SPARSE_INPUT if lengths differ or the gradient is not finite.
 */
export function adamStep(
  parameters: Float64Array,
  gradient: Float64Array,
  state: AdamState,
  options: AdamOptions,
): { readonly parameters: Float64Array; readonly state: AdamState } {
  const { learningRate, weightDecay, epsilon = 1e-8 } = options;
  const [meanDecay, squareDecay] = options.betas;
  const length = parameters.length;
  if (gradient.length !== length || state.mean.length !== length || state.squareMean.length !== length)
    throw new IstaError(
      "SPARSE_INPUT",
      `adam: expected gradient and state to have the ${length} values of the parameters, got ${gradient.length} and ${state.mean.length}`,
    );
  const bad = gradient.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new IstaError(
      "SPARSE_INPUT",
      `adam: expected a finite gradient, got ${gradient[bad]} at ${bad}; the loss has diverged: lower the learning rates`,
    );
  const step = state.step + 1;
  const decayed = gradient.map((value, i) => value + weightDecay * parameters[i]);
  const mean = state.mean.map((value, i) => meanDecay * value + (1 - meanDecay) * decayed[i]);
  const squareMean = state.squareMean.map(
    (value, i) => squareDecay * value + (1 - squareDecay) * decayed[i] ** 2,
  );
  const stepSize = learningRate / (1 - meanDecay ** step);
  const correction = Math.sqrt(1 - squareDecay ** step);
  return {
    parameters: parameters.map(
      (value, i) => value - (stepSize * mean[i]) / (Math.sqrt(squareMean[i]) / correction + epsilon),
    ),
    state: { step, mean, squareMean },
  };
}
