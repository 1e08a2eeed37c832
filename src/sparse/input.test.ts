// Sparse-coding problems that make no sense are refused by name, by every solver and by the recovery.
import { describe, expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { drawMeasurement } from "./measurement.js";
import { lassoSolvers, recover } from "./recovery.js";

const matrix = drawMeasurement("gaussian", 3, 5, RandomStream.named(0, "input"));
const target = Float64Array.of(1, 2, 3);

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(IstaError);
    expect((error as IstaError).code).toBe("SPARSE_INPUT");
    return (error as IstaError).message;
  }
  throw new Error("expected an error");
}

const withZeroColumn = { ...matrix, data: matrix.data.map((value, i) => (i % 5 === 2 ? 0 : value)) };
const withNaN = { ...matrix, data: matrix.data.map((value, i) => (i === 4 ? Number.NaN : value)) };

describe.each(Object.entries(lassoSolvers))("%s", (_name, solve) => {
  it.each([
    ["another length of b", { matrix, target: Float64Array.of(1, 2), lambda: 1 }],
    ["a value of b that is no number", { matrix, target: Float64Array.of(1, Number.NaN, 3), lambda: 1 }],
    ["lambda 0", { matrix, target, lambda: 0 }],
    ["infinite lambda", { matrix, target, lambda: Number.POSITIVE_INFINITY }],
    ["a column of zeros", { matrix: withZeroColumn, target, lambda: 1 }],
    ["an entry that is no number", { matrix: withNaN, target, lambda: 1 }],
    ["a matrix of another size than it says", { matrix: { ...matrix, rows: 4 }, target, lambda: 1 }],
  ])("refuses %s", (_what, problem) => {
    expect(refusal(() => solve(problem))).not.toContain("\n");
  });
});

it.each([0, 6, 1.5, Number.NaN])("recovery refuses a sparsity of %d", (sparsity) => {
  const options = { method: "top-s", lambda: 1e-3, sparsity } as const;
  expect(refusal(() => recover(matrix, target, options))).toContain("expected s from 1 to the 5 columns");
});

it.each([0, -1, 1.5])("no measurement has %d rows", (rows) => {
  expect(refusal(() => drawMeasurement("uniform", rows, 5, RandomStream.named(0, "x")))).toContain(
    `got ${rows}`,
  );
});
