// Adam against torch.optim.Adam and against a step worked out by hand.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import { adamStep, initialAdamState } from "./adam.js";

interface GoldenAdam {
  options: { lr: number; betas: [number, number]; weight_decay: number };
  start: number[];
  gradients: number[][];
  sequence: number[][];
}

const golden = JSON.parse(readFileSync(new URL("../../test/golden/lasso.json", import.meta.url), "utf8")) as {
  adam: GoldenAdam[];
};

test.each(golden.adam)(
  "takes the steps of torch.optim.Adam with $options",
  ({ options, start, gradients, sequence }) => {
    let parameters: Float64Array = Float64Array.from(start);
    let state = initialAdamState(start.length);
    const { lr: learningRate, betas, weight_decay: weightDecay } = options;
    for (const [step, gradient] of gradients.entries()) {
      // A checkpoint in between must make no difference.
      state = JSON.parse(JSON.stringify(state));
      ({ parameters, state } = adamStep(parameters, Float64Array.from(gradient), state, {
        learningRate,
        betas,
        weightDecay,
      }));
      for (const [index, value] of parameters.entries())
        expect(Math.abs(value - sequence[step][index])).toBeLessThan(1e-15 + 1e-13 * Math.abs(value));
    }
    expect(state.step).toBe(gradients.length);
  },
);

test("the first step by hand: its size is the learning rate, whatever the gradient", () => {
  const options = { learningRate: 0.1, betas: [0.5, 0.999], weightDecay: 0.5, epsilon: 0 } as const;
  const start = Float64Array.of(2, -2, 0);
  const gradient = Float64Array.of(3, 0.5, -1e-6);
  const { parameters, state } = adamStep(start, gradient, initialAdamState(3), options);
  // Decay is added to the gradient: 3 + 1 = 4, 0.5 - 1 = -0.5, -1e-6.
  expect(state.mean).toEqual([2, -0.25, -5e-7]);
  expect(state.squareMean[0]).toBeCloseTo(0.016, 12);
  for (const [index, expected] of [1.9, -1.9, 0.1].entries())
    expect(parameters[index]).toBeCloseTo(expected, 12);
  expect(start).toEqual(Float64Array.of(2, -2, 0));
});

test("wrong lengths and gradients that are not finite are refused", () => {
  const options = { learningRate: 0.1, betas: [0.5, 0.999], weightDecay: 0 } as const;
  const act =
    (gradient: number[], length = 2) =>
    (): unknown =>
      adamStep(new Float64Array(2), Float64Array.from(gradient), initialAdamState(length), options);
  expect(act([1])).toThrow(IstaError);
  expect(act([1])).toThrow("the 2 values of the parameters, got 1 and 2");
  expect(act([1, 1], 3)).toThrow("got 2 and 3");
  expect(act([1, NaN])).toThrow("expected a finite gradient, got NaN at 1; the loss has diverged");
});
