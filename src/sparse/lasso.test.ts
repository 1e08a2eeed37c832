// The four LASSO solvers: optimality conditions, agreement, golden solutions, stopping, and what they refuse.

import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyProblem, drawProblem, optimalityError } from "../../test/support/lasso-problems.js";
import { IstaError } from "../base/errors.js";
import { defaultTolerance, dualityGap, type LassoProblem, objective } from "./lasso.js";
import { largestMagnitude, norm, product, squaredColumnNorms, transposedProduct } from "./matrix.js";
import { lassoSolvers } from "./recovery.js";

interface GoldenCase {
  rows: number;
  columns: number;
  matrix: number[];
  target: number[];
  lambda: number;
  solution: number[];
}

const golden = JSON.parse(readFileSync(new URL("../../test/golden/lasso.json", import.meta.url), "utf8")) as {
  lasso: GoldenCase[];
};

const solvers = Object.entries(lassoSolvers);

/** A gap of g in units of 1/2 ||b||^2 leaves the fit A z within sqrt(g) ||b|| of the best one. */
const fitTolerance = (problem: LassoProblem, gap: number): number =>
  2 * Math.sqrt(gap) * norm(problem.target);

describe.each(solvers)("%s", (name, solve) => {
  test("meets the optimality conditions on random problems", () => {
    const accuracy = name === "homotopy" ? 1e-16 : 1e-10;
    fc.assert(
      fc.property(anyProblem, (problem) => {
        const result = solve(problem);
        expect(result.converged).toBe(true);
        expect(result.dualityGap).toBeLessThanOrEqual(defaultTolerance);
        const columnLength = Math.sqrt(largestMagnitude(squaredColumnNorms(problem.matrix)));
        expect(optimalityError(problem, result.solution)).toBeLessThanOrEqual(
          fitTolerance(problem, accuracy) * columnLength,
        );
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  test.each(golden.lasso.map((value, index) => [index, value] as const))(
    "agrees with scikit-learn on problem %i",
    (_, { rows, columns, matrix, target, lambda, solution }) => {
      const problem = {
        matrix: { rows, columns, data: Float64Array.from(matrix) },
        target: Float64Array.from(target),
        lambda,
      };
      const result = solve(problem, { tolerance: 1e-13 });
      expect(result.converged).toBe(true);
      const error = result.solution.map((value, index) => value - solution[index]);
      expect(norm(error)).toBeLessThan(1e-4 * norm(Float64Array.from(solution)));
      expect(objective(problem, result.solution)).toBeLessThanOrEqual(
        objective(problem, Float64Array.from(solution)) + 1e-13 * norm(problem.target) ** 2,
      );
    },
  );

  test("returns 0 at once where lambda is at least lambda_max, and for b = 0", () => {
    for (const share of [1, 1.5]) {
      const result = solve(drawProblem("gaussian", 7, 14, share, 3), { tolerance: 1e-14 });
      expect(largestMagnitude(result.solution)).toBeLessThan(1e-16);
      expect(result.converged).toBe(true);
    }
    const problem = { ...drawProblem("gaussian", 7, 14, 0.5, 3), target: new Float64Array(7) };
    expect(solve(problem)).toEqual({
      solution: new Float64Array(14),
      iterations: 0,
      dualityGap: 0,
      converged: true,
    });
  });

  test("stops at the largest number of iterations and says that it has not converged", () => {
    const problem = drawProblem("uniform", 7, 35, 0.01, 4);
    const result = solve(problem, { maxIterations: 3 });
    expect(result.iterations).toBe(3);
    expect(result.converged).toBe(false);
    expect(result.dualityGap).toBeCloseTo(dualityGap(problem, result.solution), 12);
  });

  test("starts from a given point and leaves it unchanged", () => {
    const problem = drawProblem("gaussian", 7, 21, 0.1, 5);
    const initial = solve(problem).solution;
    const before = Float64Array.from(initial);
    const result = solve(problem, { initial });
    expect(initial).toEqual(before);
    if (name !== "homotopy") expect(result.iterations).toBe(0);
    expect(result.solution).toEqual(initial);
  });
});

test("all solvers reach the same objective and the same fit", () => {
  fc.assert(
    fc.property(anyProblem, (problem) => {
      const results = solvers.map(([, solve]) => solve(problem).solution);
      const exact = results[solvers.findIndex(([name]) => name === "homotopy")];
      const least = objective(problem, exact);
      for (const solution of results) {
        const excess = (objective(problem, solution) - least) / (norm(problem.target) ** 2 / 2);
        expect(Math.abs(excess)).toBeLessThanOrEqual(defaultTolerance);
        const fit = product(
          problem.matrix,
          solution.map((value, index) => value - exact[index]),
        );
        expect(norm(fit)).toBeLessThanOrEqual(fitTolerance(problem, defaultTolerance));
      }
    }),
    { numRuns: 60, seed: 2 },
  );
});

test("the duality gap bounds the distance to the minimum at any point", () => {
  fc.assert(
    fc.property(
      anyProblem,
      fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 1 }),
      (problem, draw) => {
        const point = Float64Array.from(
          { length: problem.matrix.columns },
          (_, i) => 1e-3 * draw[i % draw.length],
        );
        const least = objective(problem, lassoSolvers.homotopy(problem).solution);
        const excess = (objective(problem, point) - least) / (norm(problem.target) ** 2 / 2);
        expect(dualityGap(problem, point)).toBeGreaterThanOrEqual(excess - 1e-12);
      },
    ),
    { seed: 3 },
  );
});

test("a warm start from a neighbouring problem saves iterations", () => {
  const problem = drawProblem("uniform", 7, 35, 0.02, 6);
  const nearby = { ...problem, target: problem.target.map((value) => 1.001 * value) };
  const initial = lassoSolvers.fista(problem).solution;
  expect(lassoSolvers.fista(nearby, { initial }).iterations).toBeLessThan(
    lassoSolvers.fista(nearby).iterations,
  );
});

const sound = drawProblem("gaussian", 3, 4, 0.1, 7);
const withEntry = (index: number, value: number): Float64Array =>
  sound.matrix.data.map((old, i) => (i === index ? value : old));
const zeroColumn = sound.matrix.data.map((value, index) => (index % 4 === 2 ? 0 : value));

test.each<[string, Partial<LassoProblem>, string]>([
  ["no columns", { matrix: { rows: 3, columns: 0, data: new Float64Array(0) } }, "got 3 x 0"],
  ["no rows", { matrix: { rows: 0, columns: 4, data: new Float64Array(0) } }, "got 0 x 4"],
  ["too few entries", { matrix: { ...sound.matrix, data: new Float64Array(11) } }, "expected 12 entries"],
  ["NaN in A", { matrix: { ...sound.matrix, data: withEntry(6, NaN) } }, "got NaN in row 1, column 2"],
  ["infinity in A", { matrix: { ...sound.matrix, data: withEntry(0, Infinity) } }, "got Infinity in row 0"],
  [
    "a column of zeros",
    { matrix: { ...sound.matrix, data: zeroColumn } },
    "no column of zeros, got one at column 2",
  ],
  ["a short b", { target: new Float64Array(2) }, "expected b to have 3 values, one a row of A, got 2"],
  ["NaN in b", { target: Float64Array.of(0, NaN, 0) }, "finite values in b, got NaN at 1"],
  ["infinity in b", { target: Float64Array.of(0, 0, -Infinity) }, "got -Infinity at 2"],
  ["negative lambda", { lambda: -1 }, "lambda to be positive and finite, got -1"],
  ["lambda 0", { lambda: 0 }, "lambda to be positive and finite, got 0"],
  ["NaN for lambda", { lambda: NaN }, "got NaN"],
  ["infinite lambda", { lambda: Infinity }, "got Infinity"],
])("every solver refuses %s", (_, change, message) => {
  for (const [name, solve] of solvers) {
    const act = (): unknown => solve({ ...sound, ...change });
    expect(act).toThrow(IstaError);
    expect(act).toThrow(message);
    expect(act).toThrow(name.replace("-", " "));
  }
});

test("every solver refuses options that make no sense", () => {
  for (const [, solve] of solvers) {
    expect(() => solve(sound, { tolerance: -1 })).toThrow("tolerance to be at least 0, got -1");
    expect(() => solve(sound, { tolerance: NaN })).toThrow("got NaN");
    expect(() => solve(sound, { maxIterations: 1.5 })).toThrow("whole number, got 1.5");
    expect(() => solve(sound, { initial: new Float64Array(3) })).toThrow("expected 4 finite initial values");
    expect(() => solve(sound, { initial: Float64Array.of(0, 0, NaN, 0) })).toThrow("finite initial values");
  }
});

test("scaling b and lambda scales the solution", () => {
  const problem = drawProblem("gaussian", 7, 28, 0.05, 8);
  const scaled = { ...problem, target: problem.target.map((v) => 1e6 * v), lambda: 1e6 * problem.lambda };
  const [small, large] = [problem, scaled].map((p) => lassoSolvers.homotopy(p).solution);
  for (const [index, value] of large.entries()) expect(value).toBeCloseTo(1e6 * small[index], 6);
  expect(largestMagnitude(transposedProduct(problem.matrix, problem.target))).toBeGreaterThan(problem.lambda);
});
