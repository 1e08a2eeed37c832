// ISTA, the iterative shrinkage-thresholding algorithm that the method is named after.

import {
  iterate,
  type LassoOptions,
  type LassoProblem,
  type LassoResult,
  softThreshold,
  startingPoint,
  validateProblem,
} from "./lasso.js";
import { residualOf, squaredSpectralNormBound, transposedProduct } from "./matrix.js";

/**
 * z <- soft(z - A^T (A z - b) / L, lambda / L) with L >= ||A||_2^2 (Daubechies et al. 2004; Yang et al. 2020, arXiv 2010.06176).
 * Stops when the relative duality gap, looked at every 10 iterations, is within the tolerance.
 * @throws SPARSE_INPUT for an ill-posed problem.
 */
export function ista(problem: LassoProblem, options: LassoOptions = {}): LassoResult {
  validateProblem(problem, options, "ista");
  const { matrix, target, lambda } = problem;
  const lipschitz = squaredSpectralNormBound(matrix);
  return iterate(problem, options, startingPoint(problem, options), 10, (z) => {
    const descent = transposedProduct(matrix, residualOf(matrix, z, target));
    for (let i = 0; i < z.length; i++)
      z[i] = softThreshold(z[i] + descent[i] / lipschitz, lambda / lipschitz);
  });
}
