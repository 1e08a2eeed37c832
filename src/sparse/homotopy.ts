// The LASSO solution path by homotopy: LARS with the lasso modification.

import { coordinateDescent } from "./coordinate-descent.js";
import {
  defaultMaxIterations,
  defaultTolerance,
  type LassoOptions,
  type LassoProblem,
  type LassoResult,
  lassoResult,
  validateProblem,
  validateTarget,
} from "./lasso.js";
import { columnsOf, type Matrix, normalEquations, product, residualOf, transposedProduct } from "./matrix.js";
import { validateMatrix } from "./measurement.js";

/** A stretch of the path on which the same coordinates are active and the solution is linear in lambda. */
export interface PathSegment {
  readonly upperLambda: number;
  readonly lowerLambda: number;
  /** Active coordinates, ascending. */
  readonly active: readonly number[];
  /** The solution at `lowerLambda`, of length n. At a segment that ends in a drop, one active value has come down to 0. */
  readonly solution: Float64Array;
}

type Sign = 1 | -1;

interface Event {
  readonly lambda: number;
  readonly index: number;
  /** Sign with which the coordinate joins, or null if it drops out. */
  readonly joins: Sign | null;
}

/** Slopes below this are rounding: such a coordinate moves along the boundary (a copy of an active column) and never crosses it. */
const flat = 1e-12;

/** On a segment z_S(lambda) = constant - lambda * slope and A^T (b - A z) = correlations + lambda * correlationSlopes. */
interface Line {
  readonly constant: Float64Array;
  readonly slope: Float64Array;
  readonly correlations: Float64Array;
  readonly correlationSlopes: Float64Array;
}

/** Solves the optimality conditions A_S^T (b - A_S z_S) = lambda sign(z_S); null if the active columns are dependent. */
function lineOf(
  matrix: Matrix,
  target: Float64Array,
  active: readonly number[],
  signs: ReadonlyMap<number, Sign>,
): Line | null {
  const chosen = columnsOf(matrix, active);
  const solve = normalEquations(chosen);
  if (solve === null) return null;
  const refined = (x: Float64Array, remainder: (x: Float64Array) => Float64Array): Float64Array => {
    const correction = solve(remainder(x));
    return x.map((value, index) => value + correction[index]);
  };
  const constant = refined(solve(transposedProduct(chosen, target)), (x) =>
    transposedProduct(chosen, residualOf(chosen, x, target)),
  );
  const directions = Float64Array.from(active, (index) => signs.get(index)!);
  const slope = refined(solve(directions), (x) => {
    const back = transposedProduct(chosen, product(chosen, x));
    return back.map((value, index) => directions[index] - value);
  });
  return {
    constant,
    slope,
    correlations: transposedProduct(matrix, residualOf(chosen, constant, target)),
    correlationSlopes: transposedProduct(matrix, product(chosen, slope)),
  };
}

/** The first event below `lambda`: an active value reaches 0, or a correlation reaches lambda in magnitude. Ties: drops first, then the lowest index. */
function nextEvent(
  line: Line,
  lambda: number,
  active: readonly number[],
  signs: ReadonlyMap<number, Sign>,
  mayJoin: (index: number, sign: Sign) => boolean,
): Event | null {
  let first: Event | null = null;
  const consider = (event: Event): void => {
    if (event.lambda > (first?.lambda ?? 0)) first = event;
  };
  for (const [position, index] of active.entries()) {
    const sign = signs.get(index)!;
    const growth = sign * line.slope[position];
    const magnitude = sign * (line.constant[position] - lambda * line.slope[position]);
    if (growth < 0) consider({ lambda: lambda - Math.max(0, magnitude) / -growth, index, joins: null });
  }
  for (let index = 0; index < line.correlations.length; index++) {
    if (signs.has(index)) continue;
    for (const sign of [1, -1] as const) {
      const slope = 1 - sign * line.correlationSlopes[index];
      if (slope <= flat || !mayJoin(index, sign)) continue;
      const slack = lambda - sign * (line.correlations[index] + lambda * line.correlationSlopes[index]);
      consider({ lambda: lambda - Math.max(0, slack) / slope, index, joins: sign });
    }
  }
  return first;
}

/**
 * Follows the solution of the LASSO from lambda_max = ||A^T b||_inf, where it leaves 0, down to `minimumLambda`
 * (Osborne et al. 2000; Efron et al. 2004, with the lasso modification). No segments if lambda_max <= minimumLambda.
 * With `nonnegative` that of the LASSO over z >= 0, which leaves 0 at lambda_max = max A^T b.
 * Every segment is solved afresh from its active set, so that errors do not build up along the path. Coordinates that tie join one
 * after the other, with segments of no length between them. Coordinates whose column depends on active ones stay out. Where many
 * columns tie all along, as in regular frames, rounding can send the path round in circles: it ends there.
 * @throws SPARSE_INPUT for an ill-posed problem.
 */
export function* lassoPath(
  matrix: Matrix,
  target: Float64Array,
  minimumLambda: number,
  nonnegative = false,
): Generator<PathSegment> {
  validateMatrix(matrix, "lasso path");
  validateTarget(matrix, target, "lasso path");
  const start = transposedProduct(matrix, target);
  const strength = (value: number): number => (nonnegative ? value : Math.abs(value));
  const largest = start.reduce(
    (best, value, index) => (strength(value) > strength(start[best]) ? index : best),
    0,
  );
  let lambda = strength(start[largest]);
  const signs = new Map<number, Sign>([[largest, start[largest] > 0 ? 1 : -1]]);
  let dropped: { index: number; sign: Sign } | null = null;
  let joined = largest;
  const dependent = new Set<number>();
  let stalled = 0;
  while (lambda > minimumLambda) {
    const active = [...signs.keys()].sort((a, b) => a - b);
    const line = lineOf(matrix, target, active, signs);
    if (line === null) {
      dependent.add(joined);
      signs.delete(joined);
      continue;
    }
    // What has just dropped sits on the boundary and would come straight back by rounding.
    const event = nextEvent(
      line,
      lambda,
      active,
      signs,
      (index, sign) =>
        !(nonnegative && sign < 0) &&
        !dependent.has(index) &&
        !(index === dropped?.index && sign === dropped.sign),
    );
    const lower = Math.max(minimumLambda, event?.lambda ?? 0);
    stalled = lambda - lower > flat * lambda ? 0 : stalled + 1;
    if (stalled > 2 * matrix.columns) return;
    const solution = new Float64Array(matrix.columns);
    for (const [position, index] of active.entries())
      solution[index] = line.constant[position] - lower * line.slope[position];
    yield { upperLambda: lambda, lowerLambda: lower, active, solution };
    if (event === null || event.lambda <= minimumLambda) return;
    // Two columns that tie and both depend on the active ones would take turns at being tried.
    if (lower < lambda || event.joins === null) dependent.clear();
    lambda = lower;
    if (event.joins === null) {
      dropped = { index: event.index, sign: signs.get(event.index)! };
      signs.delete(event.index);
    } else {
      dropped = null;
      joined = event.index;
      signs.set(event.index, event.joins);
    }
  }
}

/**
 * Solves the LASSO by following its path down to lambda: exact up to rounding, in about as many steps as the solution has nonzeros.
 * An iteration is a segment of the path. Stops at lambda; should ties have left the relative duality gap above the
 * tolerance there, coordinate descent finishes from that point.
 * @throws SPARSE_INPUT for an ill-posed problem.
 */
export function homotopy(problem: LassoProblem, options: LassoOptions = {}): LassoResult {
  validateProblem(problem, options, "homotopy");
  const { tolerance = defaultTolerance, maxIterations = defaultMaxIterations } = options;
  const limit = Math.min(maxIterations, segmentLimit(problem.matrix));
  let solution = new Float64Array(problem.matrix.columns);
  let segments = 0;
  for (const segment of lassoPath(problem.matrix, problem.target, problem.lambda)) {
    solution = segment.solution as Float64Array<ArrayBuffer>;
    if (++segments >= limit) break;
  }
  const result = lassoResult(problem, solution, segments, tolerance);
  if (result.converged || segments >= maxIterations) return result;
  const rest = { tolerance, maxIterations: maxIterations - segments, initial: solution };
  const finished = coordinateDescent(problem, rest);
  return { ...finished, iterations: segments + finished.iterations };
}

/** Segments after which a path is taken to go round in circles among ties; generic paths have about as many as rows. */
export const segmentLimit = (matrix: Matrix): number => 100 * (matrix.rows + matrix.columns);
