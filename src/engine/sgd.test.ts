// SGD against PyTorch, by its closed form, and when gradients are not finite.
import { describe, expect, it } from "vitest";
import { expectGolden, goldenCases, type Results } from "../../test/support/golden.js";
import { Device } from "./device.js";
import { operators } from "./operators.js";
import { Sgd } from "./sgd.js";
import { liveTensorCount, scope, Tensor } from "./tensor.js";

interface OptimiserFields {
  readonly optimiser: string;
  readonly clip: number | null;
  readonly learning_rates: readonly number[];
  readonly momentum: number;
  readonly weight_decay: number;
}

const cases = goldenCases<OptimiserFields>("optimisers").filter(
  ({ description }) => description.optimiser === "SGD",
);
const names = ["p0", "p1", "p2"];
const plain = { learningRate: 0.5, momentum: 0.9, weightDecay: 0.01, gradientClip: 0 };

describe("three steps as torch.optim.SGD after clip_grad_norm_", () => {
  it.each(cases.map((golden) => [golden.name, golden] as const))("%s", (_, golden) => {
    const { clip, learning_rates: rates, momentum, weight_decay: weightDecay } = golden.description;
    scope(() => {
      const tensor = (key: string): Tensor => Tensor.from(golden.floats(key), golden.tensor(key).shape);
      const parameters = new Map(names.map((name) => [name, tensor(`parameter.${name}`)]));
      const sgd = new Sgd();
      const results: Results = new Map();
      for (const [step, learningRate] of rates.entries()) {
        const slopes = names.map((name) => tensor(`input.gradient.${step}.${name}`));
        const settings = { learningRate, momentum, weightDecay, gradientClip: clip ?? 0 };
        results.set(`output.norm.${step}`, [sgd.step(parameters, slopes, settings)]);
        for (const [name, parameter] of parameters)
          results.set(`after.${step}.parameter.${name}`, parameter.toFloat32Array());
      }
      sgd.dispose();
      expectGolden(golden, results);
    });
  });
});

/** sgd_step in both precisions: float32 is the fused kernel, float64 the composition. */
const precisions = [
  ["float32", (values: number[]) => Tensor.from(Float32Array.from(values))],
  ["float64", (values: number[]) => Tensor.from(Float64Array.from(values))],
] as const;

describe.each(precisions)("ista::sgd_step in %s", (_, tensor) => {
  it("follows the closed form over large tensors, whatever their size", () => {
    scope(() => {
      const size = 40_001;
      const start = Array.from({ length: size }, (_, i) => Math.fround(Math.sin(i)));
      const slope = Array.from({ length: size }, (_, i) => Math.fround(Math.cos(i)));
      const [parameter, momentum, small] = [tensor(start), tensor(Array(size).fill(0.25)), tensor([2])];
      const norm = operators.sgdStep(
        [parameter, small],
        [tensor(slope), tensor([3])],
        [momentum, tensor([0])],
        0.5,
        0.9,
        0.01,
        1,
      );
      const expected = Math.sqrt(slope.reduce((sum, value) => sum + value ** 2, 9));
      expect(norm / expected).toBeCloseTo(1, 6);
      const scale = 1 / (expected + 1e-6);
      const velocity = (i: number): number => 0.9 * 0.25 + scale * slope[i] + 0.01 * start[i];
      const [after, momenta] = [parameter.toArray(), momentum.toArray()].map((data) =>
        Array.from(data, Number),
      );
      expect(Math.max(...momenta.map((value, i) => Math.abs(value - velocity(i))))).toBeLessThan(1e-6);
      expect(
        Math.max(...after.map((value, i) => Math.abs(value - (start[i] - 0.5 * velocity(i))))),
      ).toBeLessThan(1e-6);
      expect(small.item()).toBeCloseTo(2 - 0.5 * (scale * 3 + 0.02), 6);
    });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("changes nothing when a gradient is %d", (bad) => {
    scope(() => {
      for (const maximalNorm of [0, 5]) {
        const parameters = [tensor([1, 2]), tensor([3])];
        const momenta = [tensor([4, 5]), tensor([6])];
        const norm = operators.sgdStep(
          parameters,
          [tensor([0.1, 0.2]), tensor([bad])],
          momenta,
          0.1,
          0.9,
          0.01,
          maximalNorm,
        );
        expect(Number.isFinite(norm)).toBe(false);
        expect([...parameters, ...momenta].flatMap((one) => Array.from(one.toArray(), Number))).toEqual([
          1, 2, 3, 4, 5, 6,
        ]);
      }
    });
  });
});

describe("Sgd", () => {
  it("leaves parameters without gradient, and their momenta, as they are", () => {
    scope(() => {
      const sgd = new Sgd();
      const parameters = new Map(["a", "b"].map((name) => [name, Tensor.from(Float32Array.of(1))]));
      const one = (): Tensor => Tensor.from(Float32Array.of(1));
      sgd.step(parameters, [one(), one()], plain);
      const before = sgd.stateDict();
      const value = parameters.get("b")!.item();
      sgd.step(parameters, [one(), null], plain);
      expect(parameters.get("b")!.item()).toBe(value);
      expect(sgd.stateDict().get("b")).toEqual(before.get("b"));
      expect(sgd.stateDict().get("a")).not.toEqual(before.get("a"));
      sgd.dispose();
    });
  });

  it("goes on bit for bit from a saved state, and frees momenta that are not retained", () => {
    const live = liveTensorCount();
    scope(() => {
      const start = Float32Array.of(0.3, -0.7);
      const slope = (step: number): Tensor => Tensor.from(Float32Array.of(0.1 * step, 1 / (step + 1)));
      const run = (sgd: Sgd, parameter: Tensor, from: number, to: number): void => {
        for (let step = from; step < to; step++) sgd.step(new Map([["p", parameter]]), [slope(step)], plain);
      };
      const [whole, first, second] = [new Sgd(), new Sgd(), new Sgd()];
      const unbroken = Tensor.from(start);
      run(whole, unbroken, 0, 6);
      const parameter = Tensor.from(start);
      run(first, parameter, 0, 3);
      second.loadStateDict(first.stateDict(), Device.cpu);
      run(second, parameter, 3, 6);
      expect(parameter.toFloat32Array()).toEqual(unbroken.toFloat32Array());
      second.retain(new Set(["other"]));
      expect(second.stateDict().size).toBe(0);
      for (const sgd of [whole, first]) sgd.dispose();
    });
    expect(liveTensorCount()).toBe(live);
  });
});
