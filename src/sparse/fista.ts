// FISTA: ISTA with Nesterov's momentum.

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
 * FISTA (Beck and Teboulle 2009) with the gradient restart of O'Donoghue and Candes (2015): momentum that points uphill is dropped.
 * Stops when the relative duality gap, looked at every 10 iterations, is within the tolerance.
 * @throws SPARSE_INPUT for an ill-posed problem.
 */
export function fista(problem: LassoProblem, options: LassoOptions = {}): LassoResult {
  validateProblem(problem, options, "fista");
  const { matrix, target, lambda } = problem;
  const lipschitz = squaredSpectralNormBound(matrix);
  const start = startingPoint(problem, options);
  const extrapolated = Float64Array.from(start);
  let momentum = 1;
  return iterate(problem, options, start, 10, (z) => {
    const descent = transposedProduct(matrix, residualOf(matrix, extrapolated, target));
    const nextMomentum = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const factor = (momentum - 1) / nextMomentum;
    let uphill = 0;
    for (let i = 0; i < z.length; i++) {
      const next = softThreshold(extrapolated[i] + descent[i] / lipschitz, lambda / lipschitz);
      const step = next - z[i];
      uphill += (extrapolated[i] - next) * step;
      extrapolated[i] = next + factor * step;
      z[i] = next;
    }
    momentum = nextMomentum;
    if (uphill > 0) {
      momentum = 1;
      extrapolated.set(z);
    }
  });
}
