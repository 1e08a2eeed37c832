// Softmaxes over candidates: their layout in both spaces, and the gradient through them.
import { describe, expect, it } from "vitest";
import { darts } from "../../space/darts/space.js";
import { nasBench201 } from "../../space/nas-bench-201/space.js";
import { initialLogits, type Logits, logitGradients, softmax, softmaxesOf, vectorsOf } from "./mixture.js";

const cases = [darts, nasBench201].flatMap((space) =>
  [false, true].map(
    (partial) => [`${space.name}${partial ? ", partial channels" : ""}`, space, partial] as const,
  ),
);

describe("the softmaxes of a space", () => {
  it("have a hidden column where nothing stands for no connection", () => {
    expect(new Set(softmaxesOf(darts, false).map(({ hidden }) => hidden))).toEqual(new Set([1]));
    expect(new Set(softmaxesOf(nasBench201, false).map(({ hidden }) => hidden))).toEqual(new Set([0]));
    // The predecessors are all there.
    const beta = softmaxesOf(darts, true).filter(({ predecessor }) => predecessor === null);
    expect(beta.map(({ hidden, entries }) => [hidden, entries.length])).toEqual(
      darts.choices.map((_, index) => [0, 2 + (index % 4)]),
    );
  });

  it.each(cases)("%s: every candidate is weighed once", (_, space, partial) => {
    const softmaxes = softmaxesOf(space, partial);
    for (const [choice, { candidates }] of space.choices.entries()) {
      const weighed = softmaxes.filter((one) => one.choice === choice).flatMap((one) => one.candidates);
      expect(weighed).toEqual([...candidates.keys()]);
    }
    const logits = initialLogits(space, softmaxes, 1);
    const vectors = vectorsOf(softmaxes, logits);
    const total = [...vectors.values()].reduce((sum, vector) => sum + vector.length, 0);
    expect(total).toBe(softmaxes.reduce((sum, { entries }) => sum + entries.length, 0));
    for (const vector of vectors.values()) for (const weight of vector) expect(weight).toBeGreaterThan(0);
  });

  it("begin near equal weights, with other logits for another seed", () => {
    const softmaxes = softmaxesOf(darts, false);
    const [first, again, other] = [1, 1, 2].map((seed) => initialLogits(darts, softmaxes, seed));
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    const all = first.flatMap(({ values }) => Array.from(values));
    expect(all).toHaveLength(2 * 14 * 8);
    expect(new Set(all).size).toBe(all.length);
    const deviation = Math.sqrt(all.reduce((sum, value) => sum + value ** 2, 0) / all.length);
    expect(deviation).toBeGreaterThan(0.8e-3);
    expect(deviation).toBeLessThan(1.2e-3);
  });
});

describe("the gradient", () => {
  it.each(cases)("%s: agrees with differences", (_, space, partial) => {
    const softmaxes = softmaxesOf(space, partial);
    // Logits that are not small, and a loss with a different slope for every weight.
    const logits = initialLogits(space, softmaxes, 3).map(
      (one): Logits => ({ ...one, values: one.values.map((value) => 1000 * value) }),
    );
    const slope = (index: number): number => Math.sin(3 * index + 1);
    const loss = (at: readonly Logits[]): number =>
      [...vectorsOf(softmaxes, at).values()].reduce(
        (sum, vector) => sum + vector.reduce((part, weight, index) => part + slope(index) * weight, 0),
        0,
      );
    const slopes = new Map(
      [...vectorsOf(softmaxes, logits)].map(([name, vector]) => [
        name,
        vector.map((_, index) => slope(index)),
      ]),
    );
    const found = logitGradients(softmaxes, logits, slopes);
    const step = 1e-6;
    for (const [index, { values }] of logits.entries())
      for (const column of values.keys()) {
        const moved = (by: number): readonly Logits[] =>
          logits.with(index, { ...logits[index], values: values.with(column, values[column] + by) });
        const difference = (loss(moved(step)) - loss(moved(-step))) / (2 * step);
        expect(found[index][column]).toBeCloseTo(difference, 8);
      }
  });

  it("of a vector that nothing depends on is zero", () => {
    const softmaxes = softmaxesOf(darts, false);
    const found = logitGradients(softmaxes, initialLogits(darts, softmaxes, 1), new Map());
    expect(found.every((gradient) => gradient.every((value) => value === 0))).toBe(true);
  });

  it("softmax does not overflow", () => {
    expect(Array.from(softmax(Float64Array.of(1000, 1000, -1000)))).toEqual([0.5, 0.5, 0]);
  });
});
