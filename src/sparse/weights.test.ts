// Search weights and their gradient: the identity of the paper and finite differences.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { anyProblem } from "../../test/support/lasso-problems.js";
import { columnsOf, dot, gram, product } from "./matrix.js";
import { compressedGradient, searchWeights } from "./weights.js";

/** A support of up to three columns, with values. */
const supported = fc
  .tuple(
    anyProblem,
    fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
    fc.nat(),
  )
  .map(([{ matrix, target }, values, choice]) => {
    const size = Math.min(3, matrix.columns);
    const support = Array.from({ length: size }, (_, i) =>
      Math.floor(((choice % 97) / 97 + i) * (matrix.columns / size)),
    );
    const code = new Float64Array(matrix.columns);
    for (const [i, index] of support.entries()) code[index] = values[i];
    return { matrix, target, support, code };
  });

test("w_S = z_S where b = A_S z_S", () => {
  fc.assert(
    fc.property(supported, ({ matrix, support, code }) => {
      const weights = searchWeights(matrix, support, code, product(matrix, code));
      for (const [position, index] of support.entries())
        expect(weights[position]).toBeCloseTo(code[index], 12);
    }),
  );
});

test("w_S = A_S^T b - E_SS z_S with E = A^T A - I", () => {
  fc.assert(
    fc.property(supported, ({ matrix, target, support, code }) => {
      const chosen = columnsOf(matrix, support);
      const products = gram(chosen).data;
      const weights = searchWeights(matrix, support, code, target);
      for (const i of support.keys()) {
        let expected = dot(columnsOf(matrix, [support[i]]).data, target);
        for (const [j, index] of support.entries())
          expected -= (products[i * support.length + j] - (i === j ? 1 : 0)) * code[index];
        expect(weights[i]).toBeCloseTo(expected, 10);
      }
    }),
  );
});

test("dL/db agrees with finite differences of a loss that is not linear in w", () => {
  fc.assert(
    fc.property(supported, ({ matrix, target, support, code }) => {
      const loss = (b: Float64Array): number =>
        searchWeights(matrix, support, code, b).reduce((sum, w, i) => sum + Math.sin((i + 1) * w), 0);
      const weights = searchWeights(matrix, support, code, target);
      const gradient = compressedGradient(
        matrix,
        support,
        weights.map((w, i) => (i + 1) * Math.cos((i + 1) * w)),
      );
      expect(gradient).toHaveLength(matrix.rows);
      for (let row = 0; row < matrix.rows; row++) {
        const moved = (step: number): Float64Array =>
          target.map((value, i) => (i === row ? value + step : value));
        const difference = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5;
        expect(gradient[row]).toBeCloseTo(difference, 6);
      }
    }),
    { seed: 1 },
  );
});

test("wrong lengths are refused", () => {
  const matrix = { rows: 2, columns: 3, data: Float64Array.of(1, 2, 3, 4, 5, 6) };
  expect(() => searchWeights(matrix, [0], new Float64Array(2), new Float64Array(2))).toThrow(
    "search weights: expected z to have 3 values, got 2",
  );
  expect(() => searchWeights(matrix, [0], new Float64Array(3), new Float64Array(3))).toThrow(
    "expected b to have 2",
  );
  expect(() => compressedGradient(matrix, [0, 1], new Float64Array(3))).toThrow(
    "gradient of b: expected the gradient of w to have 2 values, got 3",
  );
});
