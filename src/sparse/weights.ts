// From the compressed code b to the search weights w, and from the gradient of the weights back to b.

import { IstaError } from "../base/errors.js";
import { columnsOf, type Matrix, product, residualOf, transposedProduct } from "./matrix.js";

function requireLength(operation: string, name: string, expected: number, got: number): void {
  if (got !== expected)
    throw new IstaError(
      "SPARSE_INPUT",
      `${operation}: expected ${name} to have ${expected} values, got ${got}`,
    );
}

/**
 * w_S(b) = A_S^T b - E_SS z_S with E = A^T A - I, which is z_S + A_S^T (b - A_S z_S): one ISTA step from z without the threshold
 * (Yang et al. 2020, arXiv 2010.06176). Where b = A_S z_S, w_S is z_S.
 * @param support S, ascending indices of columns.
 * @param code z, of length n, zero outside S.
 * @param compressed b, of length m.
 * @returns w_S, one weight for each member of the support.
 */
export function searchWeights(
  matrix: Matrix,
  support: readonly number[],
  code: Float64Array,
  compressed: Float64Array,
): Float64Array {
  requireLength("search weights", "z", matrix.columns, code.length);
  requireLength("search weights", "b", matrix.rows, compressed.length);
  const chosen = columnsOf(matrix, support);
  const kept = Float64Array.from(support, (index) => code[index]);
  const step = transposedProduct(chosen, residualOf(chosen, kept, compressed));
  return kept.map((value, position) => value + step[position]);
}

/**
 * dL/db = A_S dL/dw_S, since w_S depends on b through A_S^T b alone while z is held (Yang et al. 2020, arXiv 2010.06176).
 * @returns the gradient with respect to b, of length m.
 */
export function compressedGradient(
  matrix: Matrix,
  support: readonly number[],
  weightGradient: Float64Array,
): Float64Array {
  requireLength("gradient of b", "the gradient of w", support.length, weightGradient.length);
  return product(columnsOf(matrix, support), weightGradient);
}
