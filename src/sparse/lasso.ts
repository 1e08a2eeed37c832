// The LASSO problem, its duality gap, and what its four solvers have in common.

import { IstaError } from "../base/errors.js";
import { dot, largestMagnitude, type Matrix, residualOf, transposedProduct } from "./matrix.js";
import { validateMatrix } from "./measurement.js";

/** min_z 1/2 ||A z - b||^2 + lambda ||z||_1 (Yang et al. 2020, arXiv 2010.06176). */
export interface LassoProblem {
  /** A, m x n. */
  readonly matrix: Matrix;
  /** b, of length m. */
  readonly target: Float64Array;
  /** Positive. With lambda = 0 the minimiser is neither sparse nor, for n > m, unique. */
  readonly lambda: number;
}

export interface LassoOptions {
  /** Stops when the duality gap is at most this share of the objective at z = 0, which is 1/2 ||b||^2. Default 1e-10. */
  readonly tolerance?: number;
  /** Iterations (ISTA, FISTA), sweeps over all coordinates (coordinate descent) or path steps (homotopy). Default 1,000,000. */
  readonly maxIterations?: number;
  /** Where to start, of length n; default 0. The homotopy always starts from lambda_max and has no use for it. */
  readonly initial?: Float64Array;
}

export interface LassoResult {
  /** z, of length n. */
  readonly solution: Float64Array;
  readonly iterations: number;
  /** (primal - dual objective) / (1/2 ||b||^2): an upper bound of how far the objective is from its minimum. */
  readonly dualityGap: number;
  /** Whether the gap is within the tolerance. */
  readonly converged: boolean;
}

export type LassoSolver = (problem: LassoProblem, options?: LassoOptions) => LassoResult;

export const defaultTolerance = 1e-10;
export const defaultMaxIterations = 1_000_000;

/** The proximal operator of `threshold * |x|`. */
export function softThreshold(x: number, threshold: number): number {
  return x > threshold ? x - threshold : x < -threshold ? x + threshold : 0;
}

/** Throws SPARSE_INPUT unless b has one finite value a row. */
export function validateTarget(matrix: Matrix, target: Float64Array, operation: string): void {
  if (target.length !== matrix.rows)
    throw new IstaError(
      "SPARSE_INPUT",
      `${operation}: expected b to have ${matrix.rows} values, one a row of A, got ${target.length}`,
    );
  const bad = target.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new IstaError(
      "SPARSE_INPUT",
      `${operation}: expected finite values in b, got ${target[bad]} at ${bad}`,
    );
}

/** Throws SPARSE_INPUT for a problem or options that no solver can work with. */
export function validateProblem(problem: LassoProblem, options: LassoOptions, operation: string): void {
  const { matrix, target, lambda } = problem;
  const refuse = (what: string): never => {
    throw new IstaError("SPARSE_INPUT", `${operation}: ${what}`);
  };
  validateMatrix(matrix, operation);
  validateTarget(matrix, target, operation);
  if (!Number.isFinite(lambda) || lambda <= 0)
    refuse(`expected lambda to be positive and finite, got ${lambda}`);
  const { tolerance = defaultTolerance, maxIterations = defaultMaxIterations, initial } = options;
  if (!(tolerance >= 0)) refuse(`expected the tolerance to be at least 0, got ${tolerance}`);
  if (!Number.isInteger(maxIterations) || maxIterations < 0)
    refuse(`expected the largest number of iterations to be a whole number, got ${maxIterations}`);
  if (initial !== undefined && (initial.length !== matrix.columns || !initial.every(Number.isFinite)))
    refuse(`expected ${matrix.columns} finite initial values, one a column of A, got ${initial.length}`);
}

/** 1/2 ||A z - b||^2 + lambda ||z||_1. */
export function objective(problem: LassoProblem, solution: Float64Array): number {
  const residual = residualOf(problem.matrix, solution, problem.target);
  return (
    dot(residual, residual) / 2 + problem.lambda * solution.reduce((sum, value) => sum + Math.abs(value), 0)
  );
}

/**
 * The relative duality gap of a point z. The dual is max b^T t - 1/2 ||t||^2 over ||A^T t||_inf <= lambda; the dual point is the
 * residual r = b - A z scaled to be feasible, by the factor that makes the dual largest.
 */
export function dualityGap(problem: LassoProblem, solution: Float64Array): number {
  const { matrix, target, lambda } = problem;
  const scale = dot(target, target) / 2;
  if (scale === 0) return solution.every((value) => value === 0) ? 0 : Infinity;
  const residual = residualOf(matrix, solution, target);
  const squared = dot(residual, residual);
  const largest = largestMagnitude(transposedProduct(matrix, residual));
  const limit = largest > 0 ? lambda / largest : Infinity;
  const best = squared > 0 ? dot(target, residual) / squared : 0;
  const factor = Math.max(-limit, Math.min(limit, best));
  const dual = factor * dot(target, residual) - (factor * factor * squared) / 2;
  return Math.max(0, (objective(problem, solution) - dual) / scale);
}

/** Wraps a point up with its gap. */
export function lassoResult(
  problem: LassoProblem,
  solution: Float64Array,
  iterations: number,
  tolerance: number,
): LassoResult {
  const gap = dualityGap(problem, solution);
  return { solution, iterations, dualityGap: gap, converged: gap <= tolerance };
}

/**
 * The loop that the three iterative solvers share: `advance` improves z in place, and the gap, which costs about as much as an
 * iteration, is looked at every `interval` iterations.
 */
export function iterate(
  problem: LassoProblem,
  options: LassoOptions,
  solution: Float64Array,
  interval: number,
  advance: (solution: Float64Array) => void,
): LassoResult {
  const { tolerance = defaultTolerance, maxIterations = defaultMaxIterations } = options;
  let result = lassoResult(problem, solution, 0, tolerance);
  while (!result.converged && result.iterations < maxIterations) {
    const count = Math.min(interval, maxIterations - result.iterations);
    for (let i = 0; i < count; i++) advance(solution);
    result = lassoResult(problem, solution, result.iterations + count, tolerance);
  }
  return result;
}

/** A copy of the initial point, or zeros. */
export function startingPoint(problem: LassoProblem, options: LassoOptions): Float64Array {
  return options.initial ? Float64Array.from(options.initial) : new Float64Array(problem.matrix.columns);
}
