// The little linear algebra that sparse coding of a node needs: small dense matrices in row-major Float64Arrays.

/** A dense matrix; `data[row * columns + column]`. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const norm = (a: Float64Array): number => Math.sqrt(dot(a, a));

export function largestMagnitude(a: Float64Array): number {
  let largest = 0;
  for (const value of a) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** A x, of length `rows`. */
export function product(matrix: Matrix, x: Float64Array): Float64Array {
  const { rows, columns, data } = matrix;
  const result = new Float64Array(rows);
  for (let row = 0, k = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++, k++) sum += data[k] * x[column];
    result[row] = sum;
  }
  return result;
}

/** A^T y, of length `columns`. */
export function transposedProduct(matrix: Matrix, y: Float64Array): Float64Array {
  const { rows, columns, data } = matrix;
  const result = new Float64Array(columns);
  for (let row = 0, k = 0; row < rows; row++) {
    const factor = y[row];
    for (let column = 0; column < columns; column++, k++) result[column] += data[k] * factor;
  }
  return result;
}

/** b - A x. */
export function residualOf(matrix: Matrix, x: Float64Array, target: Float64Array): Float64Array {
  const fitted = product(matrix, x);
  for (let row = 0; row < fitted.length; row++) fitted[row] = target[row] - fitted[row];
  return fitted;
}

/** The matrix of the chosen columns, in the order given. */
export function columnsOf(matrix: Matrix, chosen: readonly number[]): Matrix {
  const data = new Float64Array(matrix.rows * chosen.length);
  for (let row = 0, k = 0; row < matrix.rows; row++)
    for (const column of chosen) data[k++] = matrix.data[row * matrix.columns + column];
  return { rows: matrix.rows, columns: chosen.length, data };
}

/** ||a_i||^2 of every column. */
export function squaredColumnNorms(matrix: Matrix): Float64Array {
  const norms = new Float64Array(matrix.columns);
  for (let k = 0; k < matrix.data.length; k++) norms[k % matrix.columns] += matrix.data[k] ** 2;
  return norms;
}

/** A^T A. */
export function gram(matrix: Matrix): Matrix {
  const { rows, columns, data } = matrix;
  const result = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++)
    for (let j = i; j < columns; j++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += data[row * columns + i] * data[row * columns + j];
      result[i * columns + j] = sum;
      result[j * columns + i] = sum;
    }
  return { rows: columns, columns, data: result };
}

export function transposed(matrix: Matrix): Matrix {
  const { rows, columns } = matrix;
  const data = new Float64Array(matrix.data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      data[column * rows + row] = matrix.data[row * columns + column];
  return { rows: columns, columns: rows, data };
}

/**
 * An upper bound of ||A||_2^2, at most 1 % above it for fewer than 20,000 rows or columns. For a positive semidefinite G of order k,
 * lambda_max(G) <= trace(G^p)^(1/p) <= k^(1/p) lambda_max(G); p = 1024 by ten squarings. A power iteration would only bound it from below,
 * and a step length from it could diverge.
 */
export function squaredSpectralNormBound(matrix: Matrix): number {
  let power = gram(matrix.rows < matrix.columns ? transposed(matrix) : matrix);
  const order = power.rows;
  let logarithm = 0;
  for (let squarings = 0; ; squarings++) {
    let trace = 0;
    for (let i = 0; i < order; i++) trace += power.data[i * order + i];
    if (trace === 0) return 0;
    logarithm += Math.log(trace) / 2 ** squarings;
    if (squarings === 10) return Math.exp(logarithm) * (1 + 1e-12);
    // Dividing by the trace keeps the powers in range; the logarithm remembers it.
    power = gram({ ...power, data: power.data.map((value) => value / trace) });
  }
}

/**
 * L with L L^T = G, in the lower triangle, from that of a positive definite G; the rest is 0.
 * Null if G is singular to within `1e-12` of an entry on its diagonal.
 */
export function choleskyFactor({ rows: size, data }: Matrix): Matrix | null {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) {
      let sum = data[i * size + j];
      for (let k = 0; k < j; k++) sum -= lower[i * size + k] * lower[j * size + k];
      if (i > j) lower[i * size + j] = sum / lower[j * size + j];
      else if (!(sum > 1e-12 * data[i * size + i])) return null;
      else lower[i * size + i] = Math.sqrt(sum);
    }
  return { rows: size, columns: size, data: lower };
}

/** Solves L x = y. */
export function solveLower({ rows: size, data }: Matrix, y: Float64Array): Float64Array {
  const x = Float64Array.from(y);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i] -= data[i * size + k] * x[k];
    x[i] /= data[i * size + i];
  }
  return x;
}

/** Solves L^T x = y. */
export function solveLowerTransposed({ rows: size, data }: Matrix, y: Float64Array): Float64Array {
  const x = Float64Array.from(y);
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i] -= data[k * size + i] * x[k];
    x[i] /= data[i * size + i];
  }
  return x;
}

/**
 * Solves (A^T A) x = y by Cholesky decomposition for a matrix of few, linearly independent columns.
 * Returns null if the columns are dependent to within `1e-12` of their squared length.
 */
export function normalEquations(matrix: Matrix): ((y: Float64Array) => Float64Array) | null {
  const lower = choleskyFactor(gram(matrix));
  return lower && ((y) => solveLowerTransposed(lower, solveLower(lower, y)));
}

/** Least squares: argmin ||A x - b|| for a matrix of few, linearly independent columns; null if they are dependent. */
export function leastSquares(matrix: Matrix, target: Float64Array): Float64Array | null {
  const solve = normalEquations(matrix);
  if (solve === null) return null;
  const x = solve(transposedProduct(matrix, target));
  // The normal equations square the condition number; one refinement step takes most of the loss back.
  const correction = solve(transposedProduct(matrix, residualOf(matrix, x, target)));
  return x.map((value, index) => value + correction[index]);
}
