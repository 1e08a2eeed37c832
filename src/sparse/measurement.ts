// Measurement matrices: drawn once from the seed, fixed for the whole run, never learned.

import { IstaError } from "../base/errors.js";
import type { RandomStream } from "../base/random.js";
import { columnsOf, dot, type Matrix, squaredColumnNorms } from "./matrix.js";

/**
 * `uniform`: entries uniform in [0, 1), as in the authors' program; its columns are nearly parallel.
 * `gaussian`: entries N(0, 1/m), whose columns are nearly orthogonal, as compressed sensing wants them.
 */
export const measurementKinds = ["uniform", "gaussian"] as const;

export type MeasurementKind = (typeof measurementKinds)[number];

/** The matrix A of m rows and n columns that compresses a node's code: b = A z (Yang et al. 2020, arXiv 2010.06176). */
export interface Measurement extends Matrix {
  readonly kind: MeasurementKind;
}

/**
 * Draws a measurement matrix.
 * @param rows m, the length of the compressed code b.
 * @param columns n, the number of candidate connections.
 * @throws SPARSE_INPUT if a size is not a positive whole number.
 */
export function drawMeasurement(
  kind: MeasurementKind,
  rows: number,
  columns: number,
  stream: RandomStream,
): Measurement {
  for (const [name, size] of Object.entries({ rows, columns }))
    if (!Number.isInteger(size) || size < 1)
      throw new IstaError(
        "SPARSE_INPUT",
        `measurement: expected ${name} to be a positive whole number, got ${size}`,
      );
  const deviation = 1 / Math.sqrt(rows);
  const draw = kind === "uniform" ? () => stream.uniform() : () => deviation * stream.normal();
  return { kind, rows, columns, data: Float64Array.from({ length: rows * columns }, draw) };
}

/**
 * Refuses a matrix that no sparse code can be recovered with: no entries, wrong length, entries that are not finite, or a
 * column of zeros (its connection could never be chosen).
 * @throws SPARSE_INPUT saying which.
 */
export function validateMatrix(matrix: Matrix, operation: string): void {
  const { rows, columns, data } = matrix;
  const refuse = (what: string): never => {
    throw new IstaError("SPARSE_INPUT", `${operation}: ${what}`);
  };
  if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows < 1 || columns < 1)
    refuse(`expected a matrix with at least one row and one column, got ${rows} x ${columns}`);
  if (data.length !== rows * columns)
    refuse(`expected ${rows * columns} entries for a ${rows} x ${columns} matrix, got ${data.length}`);
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    refuse(
      `expected finite matrix entries, got ${data[bad]} in row ${Math.floor(bad / columns)}, column ${bad % columns}`,
    );
  const zero = squaredColumnNorms(matrix).indexOf(0);
  if (zero >= 0) refuse(`expected no column of zeros, got one at column ${zero}; draw the matrix again`);
}

/** Mutual coherence: |cosine| between two different columns, mean and maximum over all pairs; 0 for a single column. */
export function coherence(matrix: Matrix): { readonly mean: number; readonly max: number } {
  validateMatrix(matrix, "coherence");
  const columns = Array.from({ length: matrix.columns }, (_, index) => columnsOf(matrix, [index]).data);
  const lengths = squaredColumnNorms(matrix).map(Math.sqrt);
  let sum = 0;
  let max = 0;
  for (let j = 1; j < columns.length; j++)
    for (let i = 0; i < j; i++) {
      const cosine = Math.abs(dot(columns[i], columns[j])) / (lengths[i] * lengths[j]);
      sum += cosine;
      max = Math.max(max, cosine);
    }
  const pairs = (columns.length * (columns.length - 1)) / 2;
  return { mean: pairs === 0 ? 0 : sum / pairs, max };
}
