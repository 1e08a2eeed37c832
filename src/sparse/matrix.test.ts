// The linear algebra of sparse coding.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { anyProblem } from "../../test/support/lasso-problems.js";
import {
  columnsOf,
  dot,
  gram,
  leastSquares,
  type Matrix,
  norm,
  normalEquations,
  product,
  residualOf,
  squaredColumnNorms,
  squaredSpectralNormBound,
  transposed,
  transposedProduct,
} from "./matrix.js";

const example: Matrix = { rows: 2, columns: 3, data: Float64Array.of(1, 2, 3, 4, 5, 6) };

test("products, columns and residuals of a small matrix", () => {
  expect(product(example, Float64Array.of(1, 0, -1))).toEqual(Float64Array.of(-2, -2));
  expect(transposedProduct(example, Float64Array.of(1, -1))).toEqual(Float64Array.of(-3, -3, -3));
  expect(residualOf(example, Float64Array.of(1, 1, 1), Float64Array.of(7, 14))).toEqual(
    Float64Array.of(1, -1),
  );
  expect(columnsOf(example, [2, 0]).data).toEqual(Float64Array.of(3, 1, 6, 4));
  expect(squaredColumnNorms(example)).toEqual(Float64Array.of(17, 29, 45));
  expect(gram(example).data).toEqual(Float64Array.of(17, 22, 27, 22, 29, 36, 27, 36, 45));
  expect(transposed(example).data).toEqual(Float64Array.of(1, 4, 2, 5, 3, 6));
});

/** The largest eigenvalue of A^T A by many power iterations, from below. */
function squaredSpectralNorm(matrix: Matrix): number {
  let x = Float64Array.from({ length: matrix.columns }, (_, i) => 1 + 0.1 * Math.sin(i));
  for (let i = 0; i < 3000; i++) {
    const y = transposedProduct(matrix, product(matrix, x));
    const length = norm(y);
    x = y.map((value) => value / length);
  }
  const image = product(matrix, x);
  return dot(image, image);
}

test("the bound of the spectral norm is above it by at most a hundredth, at any scale", () => {
  fc.assert(
    fc.property(anyProblem, fc.integer({ min: -100, max: 100 }), ({ matrix }, exponent) => {
      const scale = 2 ** exponent;
      const scaled = { ...matrix, data: matrix.data.map((value) => scale * value) };
      const exact = squaredSpectralNorm(matrix) * scale ** 2;
      const bound = squaredSpectralNormBound(scaled);
      expect(bound).toBeGreaterThanOrEqual(exact);
      expect(bound).toBeLessThanOrEqual(1.01 * exact);
    }),
    { numRuns: 50, seed: 1 },
  );
});

test("least squares leaves a residual that is orthogonal to the columns", () => {
  fc.assert(
    fc.property(anyProblem, ({ matrix, target }) => {
      const chosen = columnsOf(
        matrix,
        Array.from({ length: Math.min(matrix.rows, matrix.columns, 4) }, (_, i) => i),
      );
      const x = leastSquares(chosen, target);
      if (x === null) return;
      const along = transposedProduct(chosen, residualOf(chosen, x, target));
      expect(norm(along)).toBeLessThan(1e-9 * norm(target) * Math.sqrt(squaredSpectralNormBound(chosen)));
    }),
    { seed: 2 },
  );
});

test("dependent columns have no solution", () => {
  const dependent = { rows: 3, columns: 2, data: Float64Array.of(1, 2, 1, 2, 3, 6) };
  expect(normalEquations(dependent)).toBeNull();
  expect(leastSquares(dependent, Float64Array.of(1, 2, 3))).toBeNull();
  expect(normalEquations({ ...example })).toBeNull();
});
