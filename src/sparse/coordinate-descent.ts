// Cyclic coordinate descent for the LASSO.

import {
  iterate,
  type LassoOptions,
  type LassoProblem,
  type LassoResult,
  softThreshold,
  startingPoint,
  validateProblem,
} from "./lasso.js";
import { residualOf, squaredColumnNorms } from "./matrix.js";

/**
 * Minimises over one coordinate after the other, exactly (Friedman et al. 2007). An iteration is a sweep over all coordinates.
 * Stops when the relative duality gap, looked at every 5 sweeps, is within the tolerance.
 * @throws SPARSE_INPUT for an ill-posed problem.
 */
export function coordinateDescent(problem: LassoProblem, options: LassoOptions = {}): LassoResult {
  validateProblem(problem, options, "coordinate descent");
  const { matrix, target, lambda } = problem;
  const { rows, columns, data } = matrix;
  const squaredNorms = squaredColumnNorms(matrix);
  const start = startingPoint(problem, options);
  let sweeps = 0;
  let residual = residualOf(matrix, start, target);
  return iterate(problem, options, start, 5, (z) => {
    // Updates of the residual accumulate rounding errors; now and then it is computed afresh.
    if (sweeps++ % 100 === 99) residual = residualOf(matrix, z, target);
    for (let column = 0; column < columns; column++) {
      const before = z[column];
      let correlation = squaredNorms[column] * before;
      for (let row = 0; row < rows; row++) correlation += data[row * columns + column] * residual[row];
      const after = softThreshold(correlation, lambda) / squaredNorms[column];
      if (after === before) continue;
      for (let row = 0; row < rows; row++) residual[row] -= (after - before) * data[row * columns + column];
      z[column] = after;
    }
  });
}
