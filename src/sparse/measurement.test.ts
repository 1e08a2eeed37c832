// Measurement matrices: their distributions, their seed, their coherence, and what is refused.

import { expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { squaredColumnNorms } from "./matrix.js";
import { coherence, drawMeasurement, type MeasurementKind, validateMatrix } from "./measurement.js";

const draw = (kind: MeasurementKind, rows: number, columns: number, seed = 1) =>
  drawMeasurement(kind, rows, columns, RandomStream.named(seed, "measurement"));

test("entries have the distribution that the kind promises", () => {
  const moments = (data: Float64Array) => {
    const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
    return { mean, variance: data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length };
  };
  const uniform = draw("uniform", 100, 400).data;
  expect(moments(uniform).mean).toBeCloseTo(0.5, 2);
  expect(moments(uniform).variance).toBeCloseTo(1 / 12, 2);
  expect(uniform.every((value) => value >= 0 && value < 1)).toBe(true);
  const gaussian = draw("gaussian", 100, 400).data;
  expect(moments(gaussian).mean).toBeCloseTo(0, 2);
  expect(100 * moments(gaussian).variance).toBeCloseTo(1, 1);
  expect(Math.max(...gaussian)).toBeGreaterThan(0.35);
});

test("the same seed draws the same matrix, another seed another", () => {
  expect(draw("gaussian", 7, 14)).toEqual(draw("gaussian", 7, 14));
  expect(draw("gaussian", 7, 14).data).not.toEqual(draw("gaussian", 7, 14, 2).data);
});

test("coherence of known columns", () => {
  // Columns (1, 0), (0, 2), (3, -3): cosines 0, 1/sqrt 2, -1/sqrt 2.
  const matrix = { rows: 2, columns: 3, data: Float64Array.of(1, 0, 3, 0, 2, -3) };
  const { mean, max } = coherence(matrix);
  expect(max).toBeCloseTo(Math.SQRT1_2, 12);
  expect(mean).toBeCloseTo((2 * Math.SQRT1_2) / 3, 12);
  expect(coherence({ rows: 2, columns: 1, data: Float64Array.of(1, 1) })).toEqual({ mean: 0, max: 0 });
});

test("uniform columns are nearly parallel, gaussian ones are not", () => {
  let [uniform, gaussian] = [0, 0];
  for (let seed = 0; seed < 20; seed++) {
    uniform += coherence(draw("uniform", 7, 35, seed)).mean / 20;
    gaussian += coherence(draw("gaussian", 7, 35, seed)).mean / 20;
  }
  expect(uniform).toBeGreaterThan(0.7);
  expect(uniform).toBeLessThan(0.8);
  expect(gaussian).toBeLessThan(0.35);
});

test("a frame has unit columns, and they lie farther apart than any that are drawn", () => {
  for (const [rows, columns] of [
    [7, 14],
    [7, 35],
    [12, 15],
  ]) {
    const frame = draw("frame", rows, columns);
    for (const square of squaredColumnNorms(frame)) expect(square).toBeCloseTo(1, 12);
    const drawn = Array.from(
      { length: 20 },
      (_, seed) => coherence(draw("gaussian", rows, columns, seed)).max,
    );
    expect(coherence(frame).max).toBeLessThan(Math.min(...drawn));
    // No n unit columns can be closer to orthogonal than the Welch bound, and these are within a half of it.
    const welch = Math.sqrt((columns - rows) / (rows * (columns - 1)));
    expect(coherence(frame).max).toBeGreaterThanOrEqual(welch - 1e-12);
    expect(coherence(frame).max).toBeLessThan(1.6 * welch);
  }
});

test("as many columns of a frame as rows are orthogonal", () => {
  expect(coherence(draw("frame", 7, 7)).max).toBeLessThan(0.05);
});

test.each([
  [0, 4],
  [3, 0],
  [2.5, 4],
  [3, NaN],
])("refuses a matrix of %d x %d", (rows, columns) => {
  const act = (): unknown => draw("uniform", rows, columns);
  expect(act).toThrow(IstaError);
  expect(act).toThrow("positive whole number");
});

test("validation names the operation", () => {
  expect(() => validateMatrix({ rows: 1, columns: 1, data: Float64Array.of(0) }, "some operation")).toThrow(
    "some operation: expected no column of zeros, got one at column 0",
  );
  expect(() => coherence({ rows: 1, columns: 2, data: Float64Array.of(1, 0) })).toThrow("coherence");
});
