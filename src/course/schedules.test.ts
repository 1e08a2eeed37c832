// Learning rates and drop-path against their closed forms.
import { describe, expect, it } from "vitest";
import { trainConfig } from "../../test/support/courses.js";
import { learningRateOf } from "../training/training.js";
import { cosine, dropPathProbability, linear, warmup } from "./schedules.js";

describe("cosine", () => {
  it("goes from the start value to the end value along half a cosine", () => {
    expect(cosine(0, 50, 0.1, 0.001)).toBeCloseTo(0.1, 15);
    expect(cosine(50, 50, 0.1, 0.001)).toBeCloseTo(0.001, 15);
    expect(cosine(25, 50, 0.1, 0.001)).toBeCloseTo((0.1 + 0.001) / 2, 15);
    // cos(pi / 3) = 1 / 2
    expect(cosine(20, 60, 0.4, 0)).toBeCloseTo(0.3, 15);
  });

  it("falls from epoch to epoch, and is symmetric about its middle", () => {
    for (let epoch = 0; epoch < 30; epoch++) {
      const [now, next] = [cosine(epoch, 30, 0.025, 0.001), cosine(epoch + 1, 30, 0.025, 0.001)];
      expect(next).toBeLessThan(now);
      expect(now + cosine(30 - epoch, 30, 0.025, 0.001)).toBeCloseTo(0.026, 15);
    }
  });
});

describe("linear", () => {
  it("falls straight until five epochs before the end, and five times slower then", () => {
    const epochs = 250;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const expected = epoch < 245 ? (0.5 * (245 - epoch)) / 245 : (0.5 * (250 - epoch)) / (245 * 5);
      expect(linear(epoch, epochs, 0.5)).toBeCloseTo(expected, 15);
    }
    expect(linear(0, epochs, 0.5)).toBe(0.5);
    // The slow part begins where the fast one is at its last but one value.
    expect(linear(245, epochs, 0.5)).toBeCloseTo(linear(244, epochs, 0.5), 15);
  });

  it("is plainly linear, positive and finite in runs that have no room for the slow part", () => {
    expect([0, 1, 2].map((epoch) => linear(epoch, 3, 0.3))).toEqual([
      expect.closeTo(0.3, 12),
      expect.closeTo(0.2, 12),
      expect.closeTo(0.1, 12),
    ]);
    for (let epochs = 1; epochs < 20; epochs++) {
      let before = Number.POSITIVE_INFINITY;
      for (let epoch = 0; epoch < epochs; epoch++) {
        const rate = linear(epoch, epochs, 1);
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThanOrEqual(before);
        before = rate;
      }
    }
  });
});

it("warm-up rises in equal steps and then stays at 1", () => {
  expect([0, 1, 2, 3, 4, 5, 100].map((epoch) => warmup(epoch, 5))).toEqual([0.2, 0.4, 0.6, 0.8, 1, 1, 1]);
  expect(warmup(0, 0)).toBe(1);
});

it("drop-path rises linearly from 0", () => {
  expect([0, 150, 300, 599].map((epoch) => dropPathProbability(epoch, 600, 0.2))).toEqual([
    0,
    expect.closeTo(0.05, 12),
    expect.closeTo(0.1, 12),
    expect.closeTo((0.2 * 599) / 600, 12),
  ]);
});

describe("the rate of a training", () => {
  it("is the cosine to 0 of the CIFAR-10 recipe", () => {
    const config = trainConfig({ epochs: 600, learningRate: 0.025 });
    for (const epoch of [0, 1, 300, 599])
      expect(learningRateOf(config, epoch)).toBe(cosine(epoch, 600, 0.025, 0));
  });

  it("is the linear schedule times the warm-up of the ImageNet recipe", () => {
    const config = trainConfig({ epochs: 250, learningRate: 0.5, schedule: "linear", warmupEpochs: 5 });
    expect(learningRateOf(config, 0)).toBeCloseTo(0.1, 12);
    expect(learningRateOf(config, 3)).toBeCloseTo(((0.5 * 242) / 245) * 0.8, 12);
    expect(learningRateOf(config, 100)).toBeCloseTo((0.5 * 145) / 245, 12);
    expect(learningRateOf(config, 249)).toBeCloseTo(0.5 / (245 * 5), 12);
  });
});
