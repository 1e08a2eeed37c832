// What a control run learns from: noise of the same size, the same for the same seed, and nothing else changed.
import { describe, expect, it } from "vitest";
import { controlledGradients, controlledScore } from "./control.js";

const place = { epoch: 2, index: 5 };
const random = { control: "random-gradients", seed: 4 } as const;

describe("random gradients", () => {
  const gradients = [
    Float32Array.of(3, 4),
    new Float32Array(3),
    Float32Array.from({ length: 400 }, () => 0.5),
  ];

  it("have the length of the true ones, and no more of them", () => {
    const noise = controlledGradients(random, gradients, place);
    for (const [index, one] of noise.entries())
      expect(Math.hypot(...one)).toBeCloseTo(Math.hypot(...gradients[index]), 4);
    const cosine = noise[2].reduce((sum, value) => sum + value * 0.5, 0) / 100;
    expect(Math.abs(cosine)).toBeLessThan(0.2);
  });

  it("are the same for the same place and seed, and others elsewhere", () => {
    const noise = controlledGradients(random, gradients, place);
    expect(controlledGradients(random, gradients, { ...place })).toEqual(noise);
    expect(controlledGradients(random, gradients, { epoch: 2, index: 6 })).not.toEqual(noise);
    expect(controlledGradients({ ...random, seed: 5 }, gradients, place)).not.toEqual(noise);
  });

  it("judge architectures by chance", () => {
    const scores = [0, 1, 2, 3].map((index) => controlledScore(random, 0.9, `evaluation-${index}`));
    expect(new Set(scores).size).toBe(4);
    for (const score of scores) expect(score >= 0 && score < 1 && score !== 0.9).toBe(true);
  });

  it.each(["none", "shuffled-labels"] as const)("are not those of --control %s", (control) => {
    expect(controlledGradients({ control, seed: 4 }, gradients, place)).toBe(gradients);
    expect(controlledScore({ control, seed: 4 }, 0.9, place)).toBe(0.9);
  });
});
