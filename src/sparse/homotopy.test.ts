// The solution path: optimal and continuous all along, also where coordinates drop out, tie or depend on each other.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { anyProblem, drawProblem } from "../../test/support/lasso-problems.js";
import { RandomStream } from "../base/random.js";
import { homotopy, lassoPath, type PathSegment } from "./homotopy.js";
import { dualityGap } from "./lasso.js";
import { largestMagnitude, type Matrix, residualOf, transposedProduct } from "./matrix.js";
import { drawMeasurement } from "./measurement.js";

const follow = (matrix: Matrix, target: Float64Array, share: number): PathSegment[] => {
  const end = share * largestMagnitude(transposedProduct(matrix, target));
  return [...lassoPath(matrix, target, end)];
};

test("every knot is a solution for its lambda, and segments join", () => {
  fc.assert(
    fc.property(anyProblem, ({ matrix, target }) => {
      const segments = follow(matrix, target, 1e-4);
      expect(segments[0].upperLambda).toBeCloseTo(largestMagnitude(transposedProduct(matrix, target)), 12);
      for (const [index, segment] of segments.entries()) {
        const { lowerLambda: lambda, solution, active } = segment;
        expect(dualityGap({ matrix, target, lambda }, solution)).toBeLessThan(1e-11);
        for (const [column, value] of solution.entries()) if (!active.includes(column)) expect(value).toBe(0);
        expect(active).toEqual([...active].sort((a, b) => a - b));
        if (index === 0) continue;
        const before = segments[index - 1];
        expect(segment.upperLambda).toBe(before.lowerLambda);
        expect(Math.abs(active.length - before.active.length)).toBe(1);
      }
      const last = segments[segments.length - 1];
      const end = 1e-4 * largestMagnitude(transposedProduct(matrix, target));
      expect(last.lowerLambda).toBeCloseTo(end, 15);
    }),
    { numRuns: 200, seed: 4 },
  );
});

test("coordinates drop out on some paths", () => {
  const sizes = follow(
    drawProblem("uniform", 7, 35, 1, 2).matrix,
    drawProblem("uniform", 7, 35, 1, 2).target,
    1e-6,
  ).map(({ active }) => active.length);
  expect(sizes.some((size, index) => index > 0 && size < sizes[index - 1])).toBe(true);
});

test("copies of a column never join together, and the solution stays optimal", () => {
  fc.assert(
    fc.property(anyProblem, fc.constantFrom(1, -1), ({ matrix, target, lambda }, sign) => {
      const { rows, columns } = matrix;
      const data = new Float64Array(rows * columns * 2);
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
          data[row * 2 * columns + column] = matrix.data[row * columns + column];
          data[row * 2 * columns + columns + column] = sign * matrix.data[row * columns + column];
        }
      const doubled = { rows, columns: 2 * columns, data };
      for (const { active } of follow(doubled, target, 1e-3))
        for (const index of active) expect(active).not.toContain(index + columns);
      expect(homotopy({ matrix: doubled, target, lambda }).converged).toBe(true);
    }),
    { numRuns: 60, seed: 5 },
  );
});

test("coordinates that tie all join: orthonormal columns with equal correlations", () => {
  const matrix = {
    rows: 4,
    columns: 4,
    data: Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0)),
  };
  const target = Float64Array.of(1, -1, 1, 1);
  const result = homotopy({ matrix, target, lambda: 0.25 });
  expect(Array.from(result.solution)).toEqual([0.75, -0.75, 0.75, 0.75]);
  expect(result.dualityGap).toBe(0);
});

test("integer matrices, full of ties and dependent columns, are solved", () => {
  const entry = fc.integer({ min: -1, max: 1 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }).chain((rows) =>
        fc.record({
          rows: fc.constant(rows),
          columns: fc.array(
            fc
              .array(entry, { minLength: rows, maxLength: rows })
              .filter((column) => column.some((v) => v !== 0)),
            { minLength: 1, maxLength: 12 },
          ),
          target: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: rows, maxLength: rows }),
          lambda: fc.constantFrom(0.01, 0.25, 0.5, 1),
        }),
      ),
      ({ rows, columns, target, lambda }) => {
        const data = Float64Array.from(
          { length: rows * columns.length },
          (_, i) => columns[i % columns.length][Math.floor(i / columns.length)],
        );
        const matrix = { rows, columns: columns.length, data };
        expect(homotopy({ matrix, target: Float64Array.from(target), lambda }).converged).toBe(true);
      },
    ),
    { numRuns: 1000, seed: 6 },
  );
});

test("there is no path for b = 0 or from above lambda_max", () => {
  const { matrix, target } = drawProblem("gaussian", 7, 14, 1, 1);
  expect([...lassoPath(matrix, new Float64Array(7), 0)]).toEqual([]);
  expect(follow(matrix, target, 1.01)).toEqual([]);
});

test("with nonnegative codes every knot satisfies the conditions of Karush, Kuhn and Tucker", () => {
  fc.assert(
    fc.property(anyProblem, ({ matrix, target }) => {
      const largest = Math.max(...transposedProduct(matrix, target));
      if (largest <= 0) return;
      for (const { lowerLambda: lambda, solution } of lassoPath(matrix, target, 1e-3 * largest, true)) {
        const slack = transposedProduct(matrix, residualOf(matrix, solution, target));
        for (const [index, value] of solution.entries()) {
          expect(value).toBeGreaterThanOrEqual(-1e-12);
          expect(slack[index]).toBeLessThanOrEqual(lambda + 1e-8 * largest);
          if (value > 1e-9) expect(slack[index]).toBeGreaterThanOrEqual(lambda - 1e-8 * largest);
        }
      }
    }),
    { numRuns: 200, seed: 6 },
  );
});

test("nonnegative codes are those of either sign where these have no negative entry", () => {
  fc.assert(
    fc.property(anyProblem, ({ matrix, target }) => {
      const signed = follow(matrix, target, 1e-2);
      if (signed.some(({ solution }) => solution.some((value) => value < 0))) return;
      const end = signed.at(-1)!.lowerLambda;
      expect([...lassoPath(matrix, target, end, true)]).toEqual([...lassoPath(matrix, target, end)]);
    }),
    { numRuns: 300, seed: 7 },
  );
});

test("a path among the many ties of a regular frame comes to its end", () => {
  const stream = RandomStream.named(1, "frames");
  for (let draw = 0; draw < 400; draw++) {
    const columns = [14, 21, 28][draw % 3];
    const matrix = drawMeasurement("frame", 7, columns, RandomStream.named(draw % 12, "regular"));
    const target = Float64Array.from({ length: 7 }, () => stream.normal());
    const segments = follow(matrix, target, 1e-10);
    expect(segments.length).toBeLessThan(10 * columns);
    // Where it ended early, what it has is a solution all the same.
    const { lowerLambda: lambda, solution } = segments.at(-1)!;
    expect(dualityGap({ matrix, target, lambda }, solution)).toBeLessThan(1e-9);
    expect(lambda).toBeLessThan(1e-6);
  }
});
