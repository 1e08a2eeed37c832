// Recovery of sparse codes: both methods, exact sparsity whatever the input, distinct predecessors.

import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyProblem, drawProblem } from "../../test/support/lasso-problems.js";
import { RandomStream } from "../base/random.js";
import { homotopy, lassoPath } from "./homotopy.js";
import { columnsOf, type Matrix, norm, product, residualOf, transposedProduct } from "./matrix.js";
import { drawMeasurement, type MeasurementKind, measurementKinds } from "./measurement.js";
import { type RecoveryOptions, recover, recoveryMethods, type SolverName } from "./recovery.js";

const lambda = 1e-5;

/** A node of the DARTS space with a code at the initial scale. */
const anyNode = fc
  .record({
    kind: fc.constantFrom<MeasurementKind>(...measurementKinds),
    predecessors: fc.integer({ min: 2, max: 5 }),
    seed: fc.nat(),
    sparsity: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ kind, predecessors, seed, sparsity }) => ({
    ...drawProblem(kind, 7, 7 * predecessors, 1, seed),
    sparsity,
    predecessors,
  }));

/** The predecessor of every candidate, 7 operations on each. */
const sevenOnEach = (columns: number): number[] =>
  Array.from({ length: columns }, (_, index) => Math.floor(index / 7));

const predecessorsOf = (support: readonly number[]): number[] =>
  support.map((index) => Math.floor(index / 7));

describe.each(recoveryMethods)("%s", (method) => {
  test("gives exactly s connections, and numbers that belong together", () => {
    fc.assert(
      fc.property(anyNode, fc.boolean(), ({ matrix, target, sparsity, predecessors }, distinct) => {
        if (distinct && sparsity > predecessors) return;
        const options: RecoveryOptions = {
          method,
          sparsity,
          lambda,
          ...(distinct ? { distinct: sevenOnEach(matrix.columns) } : {}),
        };
        const { code, support, weights, residual, nonzeros, completed } = recover(matrix, target, options);
        expect(support).toHaveLength(sparsity);
        expect(support).toEqual([...new Set(support)].sort((a, b) => a - b));
        for (const [index, value] of code.entries()) if (!support.includes(index)) expect(value).toBe(0);
        if (distinct) expect(new Set(predecessorsOf(support)).size).toBe(sparsity);
        const remainder = residualOf(matrix, code, target);
        expect(residual).toBeCloseTo(norm(remainder) / norm(target), 12);
        const step = transposedProduct(matrix, remainder);
        for (const [position, index] of support.entries())
          expect(weights[position]).toBeCloseTo(code[index] + step[index], 12);
        expect(nonzeros).toBeGreaterThanOrEqual(sparsity - completed);
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("finds an s-sparse code again where columns are nearly orthogonal", () => {
    // 200 rows for 35 columns: far more than the theory of sparse recovery asks for.
    const matrix = drawMeasurement("gaussian", 200, 35, RandomStream.named(1, "recovery"));
    const code = new Float64Array(35);
    code[3] = 0.5;
    code[31] = -0.25;
    const found = recover(matrix, product(matrix, code), { method, sparsity: 2, lambda: 1e-8 });
    expect(found.support).toEqual([3, 31]);
    for (const [index, value] of found.code.entries()) expect(value).toBeCloseTo(code[index], 6);
    expect(found.residual).toBeLessThan(1e-6);
    expect(found.weights[0]).toBeCloseTo(0.5, 6);
  });

  test("b = 0 leaves a code of zeros on the first connections, and no NaN", () => {
    const { matrix } = drawProblem("gaussian", 7, 14, 1, 1);
    expect(recover(matrix, new Float64Array(7), { method, sparsity: 2, lambda })).toMatchObject({
      code: new Float64Array(14),
      support: [0, 1],
      weights: new Float64Array(2),
      residual: 0,
      nonzeros: 0,
      completed: 2,
    });
    const distinct = sevenOnEach(14);
    const found = recover(matrix, new Float64Array(7), { method, sparsity: 2, lambda, distinct });
    expect(found.support).toEqual([0, 7]);
  });

  test("b along one column is completed by the connection next to enter", () => {
    const { matrix } = drawProblem("gaussian", 7, 14, 1, 2);
    const target = columnsOf(matrix, [5]).data.map((value) => 3 * value);
    const found = recover(matrix, target, { method, sparsity: 2, lambda: 0.01 });
    expect(found.support).toContain(5);
    expect(found.nonzeros).toBe(1);
    expect(found.completed).toBe(1);
    const added = found.support.find((index) => index !== 5)!;
    expect(found.code[added]).toBe(0);
  });

  test("exact ties are broken by the lowest index", () => {
    const matrix = { rows: 3, columns: 3, data: Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1) };
    const found = recover(matrix, Float64Array.of(1, 1, -1), { method, sparsity: 2, lambda: 0.01 });
    expect(found.support).toEqual([0, 1]);
  });

  test("dependent columns do no harm", () => {
    const entry = fc.integer({ min: -1, max: 1 });
    const column = fc
      .array(entry, { minLength: 3, maxLength: 3 })
      .filter((values) => values.some((v) => v !== 0));
    const columns = fc.array(column, { minLength: 2, maxLength: 14 });
    const target = fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(columns, target, (chosen, b) => {
        const data = Float64Array.from(
          { length: 3 * chosen.length },
          (_, i) => chosen[i % chosen.length][Math.floor(i / chosen.length)],
        );
        const matrix: Matrix = { rows: 3, columns: chosen.length, data };
        const found = recover(matrix, Float64Array.from(b), { method, sparsity: 2, lambda: 0.01 });
        expect(found.support).toHaveLength(2);
        expect(found.code.every(Number.isFinite)).toBe(true);
        // Cutting off may leave more than b itself; least squares never does.
        expect(found.residual).toBeLessThanOrEqual(method === "path" ? 1 + 1e-12 : 10);
      }),
      { numRuns: 500, seed: 2 },
    );
  });

  test.each<[string, Partial<RecoveryOptions>, string]>([
    ["s = 0", { sparsity: 0 }, "expected s from 1 to the 14 columns of A, got 0"],
    ["s above n", { sparsity: 15 }, "got 15"],
    ["s = 1.5", { sparsity: 1.5 }, "got 1.5"],
    [
      "predecessors of too few columns",
      { distinct: sevenOnEach(13) },
      "a predecessor for each of the 14 columns of A, got 13",
    ],
    ["predecessors of too many columns", { distinct: sevenOnEach(15) }, "14 columns of A, got 15"],
    ["no predecessors", { distinct: [] }, "got 0"],
    [
      "too few predecessors",
      { sparsity: 3, distinct: sevenOnEach(14) },
      "at least 3 predecessors for connections from distinct ones, got 2",
    ],
  ])("refuses %s", (_, change, message) => {
    const { matrix, target } = drawProblem("gaussian", 7, 14, 1, 1);
    expect(() => recover(matrix, target, { method, sparsity: 2, lambda, ...change })).toThrow(message);
    expect(() => recover(matrix, target.subarray(1), { method, sparsity: 2, lambda })).toThrow(
      "b to have 7 values",
    );
  });
});

describe("top-s", () => {
  test("keeps the largest of the LASSO solution, unchanged, with any solver", () => {
    fc.assert(
      fc.property(anyNode, ({ matrix, target, sparsity }) => {
        const full = homotopy({ matrix, target, lambda }).solution;
        const found = recover(matrix, target, { method: "top-s", sparsity, lambda });
        const magnitudes = Array.from(full, Math.abs).sort((a, b) => b - a);
        for (const index of found.support) {
          expect(found.code[index]).toBe(full[index]);
          expect(Math.abs(full[index])).toBeGreaterThanOrEqual(magnitudes[sparsity - 1]);
        }
        expect(found.nonzeros).toBe(full.filter((value) => value !== 0).length);
      }),
      { seed: 3 },
    );
    const { matrix, target } = drawProblem("gaussian", 7, 28, 1, 4);
    const supports = (["ista", "fista", "coordinate-descent", "homotopy"] as SolverName[]).map(
      (solver) => recover(matrix, target, { method: "top-s", sparsity: 2, lambda, solver }).support,
    );
    for (const support of supports) expect(support).toEqual(supports[0]);
  });

  test("needs a sensible lambda", () => {
    const { matrix, target } = drawProblem("gaussian", 7, 14, 1, 1);
    expect(() => recover(matrix, target, { method: "top-s", sparsity: 2, lambda: -1 })).toThrow("lambda");
  });
});

describe("path", () => {
  const golden = JSON.parse(
    readFileSync(new URL("../../test/golden/lasso.json", import.meta.url), "utf8"),
  ) as {
    lasso: { rows: number; columns: number; matrix: number[]; target: number[]; pathSupport: number[] }[];
  };

  test.each(golden.lasso)("takes the support of scikit-learn's path, $rows x $columns", (problem) => {
    const { rows, columns, pathSupport } = problem;
    const matrix = { rows, columns, data: Float64Array.from(problem.matrix) };
    const found = recover(matrix, Float64Array.from(problem.target), { method: "path", sparsity: 2, lambda });
    expect(found.support).toEqual(pathSupport);
  });

  test("takes the last stretch with s active coordinates and refits them by least squares", () => {
    fc.assert(
      fc.property(anyNode, ({ matrix, target, sparsity }) => {
        const end = 1e-10 * Math.max(...transposedProduct(matrix, target).map(Math.abs));
        const fitting = [...lassoPath(matrix, target, end)].filter(
          ({ active }) => active.length === sparsity,
        );
        const found = recover(matrix, target, { method: "path", sparsity, lambda });
        const last = fitting[fitting.length - 1];
        expect(found.support).toEqual(last.active);
        expect(found.lambda).toBe(last.lowerLambda);
        expect(found.completed).toBe(0);
        const along = transposedProduct(
          columnsOf(matrix, found.support),
          residualOf(matrix, found.code, target),
        );
        expect(norm(along)).toBeLessThan(1e-9 * norm(target));
        // With the residual orthogonal to the support, the weights are the code itself.
        for (const [position, index] of found.support.entries())
          expect(found.weights[position]).toBeCloseTo(found.code[index], 10);
      }),
      { seed: 4 },
    );
  });

  test("does not depend on the scale of b, nor on lambda", () => {
    fc.assert(
      fc.property(anyProblem, ({ matrix, target }) => {
        const sparsity = Math.min(2, matrix.columns);
        const options = { method: "path", sparsity, lambda } as const;
        // A power of two scales every number exactly.
        const scaled = recover(
          matrix,
          target.map((value) => 1024 * value),
          { ...options, lambda: 1 },
        );
        const found = recover(matrix, target, options);
        expect(scaled.support).toEqual(found.support);
        expect(scaled.code).toEqual(found.code.map((value) => 1024 * value));
      }),
      { seed: 5 },
    );
  });

  test("with distinct predecessors it only differs where two connections shared one", () => {
    let differed = 0;
    fc.assert(
      fc.property(anyNode, ({ matrix, target }) => {
        const options = { method: "path", sparsity: 2, lambda } as const;
        const free = recover(matrix, target, options);
        const distinct = recover(matrix, target, { ...options, distinct: sevenOnEach(matrix.columns) });
        const shared = new Set(predecessorsOf(free.support)).size < 2;
        if (shared) differed++;
        else expect(distinct).toEqual(free);
        expect(distinct.completed).toBe(0);
      }),
      { seed: 6 },
    );
    expect(differed).toBeGreaterThan(5);
  });

  test("leaves less of b than top-s does, on average, where columns are nearly parallel", () => {
    let [top, path] = [0, 0];
    for (let seed = 0; seed < 50; seed++) {
      const { matrix, target } = drawProblem("uniform", 7, 28, 1, seed);
      top += recover(matrix, target, { method: "top-s", sparsity: 2, lambda }).residual / 50;
      path += recover(matrix, target, { method: "path", sparsity: 2, lambda }).residual / 50;
    }
    expect(path).toBeLessThan(top);
  });
});
