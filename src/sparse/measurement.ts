// Measurement matrices: drawn once from the seed, fixed for the whole run, never learned.

import { IstaError } from "../base/errors.js";
import type { RandomStream } from "../base/random.js";
import { columnsOf, dot, type Matrix, squaredColumnNorms } from "./matrix.js";

/**
 * `uniform`: entries uniform in [0, 1), as in the authors' program; its columns are nearly parallel.
 * `gaussian`: entries N(0, 1/m), whose columns are nearly orthogonal, as compressed sensing wants them.
 * `frame`: columns of length 1, drawn evenly from all directions and then pushed apart: low coherence, and no column that
 * stands back behind others (a frame in the sense of compressed sensing).
 */
export const measurementKinds = ["uniform", "gaussian", "frame"] as const;

export type MeasurementKind = (typeof measurementKinds)[number];

/** The matrix A of m rows and n columns that compresses a node's code: b = A z (Yang et al. 2020, arXiv 2010.06176). */
export interface Measurement extends Matrix {
  readonly kind: MeasurementKind;
  /** The first rows of b, if any, that this choice has in common with all choices of its group. */
  readonly shared?: { readonly rows: number; readonly group: string };
}

/**
 * The measurement with rows on top that tell kinds of columns apart, and that all choices of a group have in common: what is learnt of
 * a kind in one choice is known in the others. Column i is (sqrt(share) e_kind(i), sqrt(1 - share) a_i), of length 1 where a_i is.
 * @param kinds of each column, from 0
 * @param count of all kinds of the group
 * @param share 0 < share < 1: how much of a column is its kind
 */
export function withSharedKinds(
  { kind, rows, columns, data }: Measurement,
  { kinds, count, share, group }: { kinds: readonly number[]; count: number; share: number; group: string },
): Measurement {
  const whole = new Float64Array((count + rows) * columns);
  for (const [column, own] of kinds.entries()) whole[own * columns + column] = Math.sqrt(share);
  for (const [index, value] of data.entries()) whole[count * columns + index] = Math.sqrt(1 - share) * value;
  return { kind, rows: count + rows, columns, data: whole, shared: { rows: count, group } };
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
  if (kind === "frame") return { kind, rows, columns, data: drawFrame(rows, columns, stream) };
  const deviation = 1 / Math.sqrt(rows);
  const draw = kind === "uniform" ? () => stream.uniform() : () => deviation * stream.normal();
  return { kind, rows, columns, data: Float64Array.from({ length: rows * columns }, draw) };
}

/** Steps in which columns are pushed apart, and the length of the first and the last one; coherence hardly falls any more after them. */
const pushes = 400;
const firstPush = 0.3;
const lastPush = 0.003;
const disorder = 0.003;

/**
 * Unit columns that lie far apart: descends the sum over all pairs of cos^6, which the closest pairs rule, along the sphere.
 * @returns the entries of an m x n matrix, row by row
 */
function drawFrame(rows: number, columns: number, stream: RandomStream): Float64Array {
  const unit = (column: Float64Array): Float64Array => {
    const length = Math.sqrt(dot(column, column));
    return column.map((value) => value / length);
  };
  let frame = Array.from({ length: columns }, () =>
    unit(Float64Array.from({ length: rows }, () => stream.normal())),
  );
  for (let push = 0; push < pushes; push++) {
    const size = firstPush * (lastPush / firstPush) ** (push / (pushes - 1));
    const slopes = frame.map((column) => {
      const slope = new Float64Array(rows);
      for (const other of frame) {
        if (other === column) continue;
        const cosine = dot(column, other);
        for (let row = 0; row < rows; row++) slope[row] += cosine ** 5 * other[row];
      }
      return slope;
    });
    // One length for all: the closest pairs move most.
    const steepest = Math.max(...slopes.map((slope) => Math.sqrt(dot(slope, slope))));
    if (steepest < 1e-9) break;
    frame = frame.map((column, index) =>
      unit(column.map((value, row) => value - (size * slopes[index][row]) / steepest)),
    );
  }
  // The best frames are regular, with columns that depend on few others: ties on every path. A little disorder undoes them.
  frame = frame.map((column) => unit(column.map((value) => value + disorder * stream.normal())));
  const data = new Float64Array(rows * columns);
  for (const [index, column] of frame.entries())
    for (let row = 0; row < rows; row++) data[row * columns + index] = column[row];
  return data;
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
