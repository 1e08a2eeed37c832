// Random LASSO problems for tests.

import * as fc from "fast-check";
import { RandomStream } from "../../src/base/random.js";
import { type LassoProblem, softThreshold } from "../../src/sparse/lasso.js";
import { largestMagnitude, transposedProduct } from "../../src/sparse/matrix.js";
import { drawMeasurement, type MeasurementKind, measurementKinds } from "../../src/sparse/measurement.js";

/** A problem with lambda as a share of lambda_max. */
export function drawProblem(
  kind: MeasurementKind,
  rows: number,
  columns: number,
  share: number,
  seed: number,
): LassoProblem {
  const stream = RandomStream.named(seed, "problem");
  const matrix = drawMeasurement(kind, rows, columns, stream);
  const target = Float64Array.from({ length: rows }, () => 1e-3 * stream.normal());
  return { matrix, target, lambda: share * largestMagnitude(transposedProduct(matrix, target)) };
}

/** Sizes of the DARTS nodes and others, both kinds, lambda from 1 % of lambda_max to beyond it. */
export const anyProblem: fc.Arbitrary<LassoProblem> = fc
  .record({
    kind: fc.constantFrom(...measurementKinds),
    size: fc.oneof(
      fc.constantFrom([7, 14], [7, 21], [7, 28], [7, 35]),
      fc.tuple(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 48 })),
    ),
    exponent: fc.double({ min: -2, max: 0.1, noNaN: true }),
    seed: fc.nat(),
  })
  .map(({ kind, size: [rows, columns], exponent, seed }) =>
    drawProblem(kind, rows, columns, 10 ** exponent, seed),
  );

/** How far z is from its own proximal gradient step of length 1: 0 exactly at a minimum. */
export function optimalityError({ matrix, target, lambda }: LassoProblem, z: Float64Array): number {
  const residual = new Float64Array(matrix.rows);
  for (let row = 0; row < matrix.rows; row++) {
    residual[row] = target[row];
    for (let column = 0; column < matrix.columns; column++)
      residual[row] -= matrix.data[row * matrix.columns + column] * z[column];
  }
  let worst = 0;
  for (let column = 0; column < matrix.columns; column++) {
    let correlation = 0;
    for (let row = 0; row < matrix.rows; row++)
      correlation += matrix.data[row * matrix.columns + column] * residual[row];
    worst = Math.max(worst, Math.abs(z[column] - softThreshold(z[column] + correlation, lambda)));
  }
  return worst;
}
