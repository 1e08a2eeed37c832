// Figures of classes and confidence against values worked out by hand and by definition.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MistakeCollector, reportOf } from "./classification.js";

const asMap = (row: readonly number[]): Map<number, number> =>
  new Map([...row.entries()].filter(([, count]) => count > 0));

describe("figures of classes", () => {
  it("are those of a worked example", () => {
    // 5 cats: 3 right, 2 taken for dogs; 4 dogs: 4 right; 1 owl taken for a cat; no yak.
    const confusion = [
      [3, 2, 0, 0],
      [0, 4, 0, 0],
      [1, 0, 0, 0],
      [0, 0, 0, 0],
    ];
    const { classes, macro, weighted } = reportOf(confusion.map(asMap), ["cat", "dog", "owl", "yak"]);
    const [cat, dog, owl, yak] = classes;
    expect(cat).toEqual({ name: "cat", support: 5, precision: 3 / 4, recall: 3 / 5, f1: 2 / 3 });
    expect(dog).toEqual({ name: "dog", support: 4, precision: 4 / 6, recall: 1, f1: 0.8 });
    expect(owl).toEqual({ name: "owl", support: 1, precision: null, recall: 0, f1: 0 });
    expect(yak).toEqual({ name: "yak", support: 0, precision: null, recall: null, f1: null });
    expect(macro.precision).toBeCloseTo((3 / 4 + 4 / 6 + 0) / 3, 12);
    expect(macro.recall).toBeCloseTo((3 / 5 + 1) / 3, 12);
    expect(weighted.f1).toBeCloseTo((5 * (2 / 3) + 4 * 0.8) / 10, 12);
    // The weighted recall is the accuracy.
    expect(weighted.recall).toBeCloseTo(7 / 10, 12);
  });

  it("lie between 0 and 1, F1 between precision and recall", () => {
    const matrix = fc.array(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 3, maxLength: 3 }), {
      minLength: 3,
      maxLength: 3,
    });
    const property = fc.property(matrix, (confusion) => {
      for (const { precision, recall, f1 } of reportOf(confusion.map(asMap), ["a", "b", "c"]).classes) {
        if (precision === null || recall === null) continue;
        expect(f1!).toBeLessThanOrEqual(Math.max(precision, recall) + 1e-12);
        expect(f1!).toBeGreaterThanOrEqual(Math.min(precision, recall) - 1e-12);
      }
    });
    fc.assert(property, { seed: 1 });
  });
});

describe("mistakes", () => {
  /** Logits whose softmax is the given probabilities. */
  const batchOf = (rows: readonly { truth: number; probabilities: number[]; origin: string | number }[]) => ({
    batch: {
      images: Float32Array.from(rows.flatMap((_, row) => [row, row + 0.5])),
      labels: Int32Array.from(rows, ({ truth }) => truth),
      count: rows.length,
      origins: rows.map(({ origin }) => origin),
    },
    logits: Float32Array.from(rows.flatMap(({ probabilities }) => probabilities.map(Math.log))),
  });
  const rows = [
    { truth: 0, probabilities: [0.7, 0.2, 0.1], origin: "a.png" },
    { truth: 0, probabilities: [0.3, 0.6, 0.1], origin: "b.png" },
    { truth: 2, probabilities: [0.95, 0.03, 0.02], origin: 7 },
    { truth: 1, probabilities: [0.1, 0.4, 0.5], origin: "d.png" },
  ];

  const collected = (most: number, split = 2) => {
    const collector = new MistakeCollector(most);
    for (const part of [rows.slice(0, split), rows.slice(split)]) {
      const { batch, logits } = batchOf(part);
      collector.note(batch, logits);
    }
    return collector;
  };

  it("are kept by how sure the network was, with the pixels that it saw", () => {
    const { mistakes, mistakeCount } = collected(2);
    expect(mistakeCount).toBe(3);
    expect(mistakes.map(({ origin, truth, guess }) => [origin, truth, guess])).toEqual([
      [7, 2, 0],
      ["b.png", 0, 1],
    ]);
    expect(mistakes[0].probability).toBeCloseTo(0.95, 5);
    expect(mistakes[0].truthProbability).toBeCloseTo(0.02, 5);
    expect([...mistakes[1].pixels]).toEqual([1, 1.5]);
    expect(collected(0).mistakes).toEqual([]);
    expect(collected(9, 3).mistakes.map(({ origin }) => origin)).toEqual([7, "b.png", "d.png"]);
  });

  it("come with top-k shares and the calibration by definition", () => {
    const { topK, calibration, calibrationError } = collected(2);
    expect(topK).toEqual([0.25, 0.75, 1, 1, 1]);
    expect(calibration.reduce((sum, { count }) => sum + count, 0)).toBe(4);
    for (const { low, high, count, confidence } of calibration)
      if (count > 0) expect(confidence >= low && confidence <= high).toBe(true);
    // Each image in a bin of its own: the mean of |right - probability|.
    expect(calibrationError).toBeCloseTo((0.3 + 0.6 + 0.95 + 0.5) / 4, 5);
  });
});
