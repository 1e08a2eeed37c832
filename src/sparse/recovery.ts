// Recovery of a sparse code from its compressed form: the choice of a node's connections.

import { IstaError } from "../base/errors.js";
import { coordinateDescent } from "./coordinate-descent.js";
import { fista } from "./fista.js";
import { homotopy, lassoPath, segmentLimit } from "./homotopy.js";
import { ista } from "./ista.js";
import { type LassoSolver, validateTarget } from "./lasso.js";
import {
  columnsOf,
  largestMagnitude,
  leastSquares,
  type Matrix,
  norm,
  residualOf,
  transposedProduct,
} from "./matrix.js";
import { validateMatrix } from "./measurement.js";
import { searchWeights } from "./weights.js";

/** The solvers by name; all find the same minimum, see `bench/sparse.ts` for how fast. */
export const lassoSolvers = {
  ista,
  fista,
  "coordinate-descent": coordinateDescent,
  homotopy,
} as const satisfies Record<string, LassoSolver>;

export type SolverName = keyof typeof lassoSolvers;

/**
 * `top-s`: solve the LASSO for a fixed lambda and keep the s entries of largest magnitude, as the authors' program does.
 * `path`: follow the solution path from lambda_max down and take the last solution with exactly s nonzeros, so that nothing is
 * cut off; its values are refitted by least squares, which takes the shrinkage out.
 */
export const recoveryMethods = ["top-s", "path"] as const;

export type RecoveryMethod = (typeof recoveryMethods)[number];

export interface RecoveryOptions {
  readonly method: RecoveryMethod;
  /** s, the number of connections to keep. */
  readonly sparsity: number;
  /** Penalty of `top-s`. The path does not depend on it: scaling b scales its solutions and changes no support. */
  readonly lambda: number;
  /** Solver of `top-s`, default homotopy. */
  readonly solver?: SolverName;
  /** The predecessor of every candidate, where at most one may be kept of any predecessor. */
  readonly distinct?: readonly number[];
  /** Only z >= 0: a candidate is chosen for what speaks for it, never for what speaks against it. For `path` alone. */
  readonly nonnegative?: boolean;
}

export interface Recovery {
  /** z, of length n, zero outside the support. */
  readonly code: Float64Array;
  /** The LASSO solution that z was taken from, of length n: for `top-s` with what was cut off; for `path` it is z. */
  readonly solution: Float64Array;
  /** S: exactly s indices, ascending. */
  readonly support: readonly number[];
  /** w_S(b) at the b that was recovered from. */
  readonly weights: Float64Array;
  /** ||b - A_S z_S|| / ||b||; 0 if b is 0. How far the run is from the claim that b and z are equivalent. */
  readonly residual: number;
  /** Nonzeros of the LASSO solution that the support was taken from: above s, entries were cut off; below, some were added. */
  readonly nonzeros: number;
  /** Members of the support that the LASSO did not choose, with z = 0: those that would be next to enter. */
  readonly completed: number;
  /** The lambda of that solution. */
  readonly lambda: number;
}

/** Values of z on some columns, and where they came from. */
interface Selection {
  readonly values: ReadonlyMap<number, number>;
  /** With what was cut off; null where nothing was. */
  readonly solution: Float64Array | null;
  readonly nonzeros: number;
  readonly lambda: number;
}

/** The predecessor of a connection, or the connection itself where any two may go together. */
type Slot = (index: number) => number;

function validateOptions(matrix: Matrix, options: RecoveryOptions): Slot {
  const { sparsity, distinct, nonnegative, method } = options;
  const refuse = (what: string): never => {
    throw new IstaError("SPARSE_INPUT", `recovery: ${what}`);
  };
  if (!Number.isInteger(sparsity) || sparsity < 1 || sparsity > matrix.columns)
    refuse(`expected s from 1 to the ${matrix.columns} columns of A, got ${sparsity}`);
  if (nonnegative && method !== "path")
    refuse(`expected the recovery "path" for nonnegative codes, got ${JSON.stringify(method)}`);
  if (distinct === undefined) return (index) => index;
  if (distinct.length !== matrix.columns)
    refuse(`expected a predecessor for each of the ${matrix.columns} columns of A, got ${distinct.length}`);
  const predecessors = new Set(distinct).size;
  if (predecessors < sparsity)
    refuse(
      `expected at least ${sparsity} predecessors for connections from distinct ones, got ${predecessors}`,
    );
  return (index) => distinct[index];
}

/** Indices by falling magnitude of `scores`, or by falling value; equal ones by rising index. */
function byStrength(scores: Float64Array, signed = false): number[] {
  const strengths = signed ? scores : scores.map(Math.abs);
  return Array.from(scores.keys()).sort((a, b) => strengths[b] - strengths[a] || a - b);
}

/** The `count` first of `candidates`, one from any slot, besides those chosen already. */
function takeDistinct(
  candidates: readonly number[],
  count: number,
  slot: Slot,
  chosen: readonly number[],
): number[] {
  const used = new Set(chosen.map(slot));
  const taken: number[] = [];
  for (const index of candidates) {
    if (taken.length === count) break;
    if (used.has(slot(index))) continue;
    used.add(slot(index));
    taken.push(index);
  }
  return taken;
}

function selectTop(matrix: Matrix, target: Float64Array, options: RecoveryOptions, slot: Slot): Selection {
  const { lambda, solver = "homotopy", sparsity } = options;
  const result = lassoSolvers[solver]({ matrix, target, lambda });
  if (!result.converged)
    throw new IstaError(
      "SPARSE_INPUT",
      `recovery: ${solver} stopped after ${result.iterations} iterations at a relative duality gap of ${result.dualityGap.toExponential(1)}; raise lambda or take the homotopy solver`,
    );
  const { solution } = result;
  const nonzero = byStrength(solution).filter((index) => solution[index] !== 0);
  const kept = takeDistinct(nonzero, sparsity, slot, []);
  const values = new Map(kept.map((index) => [index, solution[index]]));
  return { values, solution, nonzeros: nonzero.length, lambda };
}

/** Where the path is taken to have ended, as a share of lambda_max: rounding errors of correlations are far below, all else above. */
const pathEnd = 1e-10;

/**
 * The last segment with `sparsity` active coordinates, or where there is none the last with fewer. A path of b in the span of
 * fewer than s columns never gets there.
 */
function lastOfSize(matrix: Matrix, target: Float64Array, sparsity: number, nonnegative: boolean) {
  const largest = largestMagnitude(transposedProduct(matrix, target));
  let best: { active: readonly number[]; solution: Float64Array; lowerLambda: number } | null = null;
  let segments = 0;
  for (const segment of lassoPath(matrix, target, pathEnd * largest, nonnegative)) {
    const size = segment.active.length;
    if (size === sparsity || (size < sparsity && (best === null || best.active.length <= size)))
      best = segment;
    if (++segments >= segmentLimit(matrix)) break;
  }
  return best;
}

function selectOnPath(matrix: Matrix, target: Float64Array, options: RecoveryOptions, slot: Slot): Selection {
  const { sparsity, nonnegative = false } = options;
  let allowed = Array.from({ length: matrix.columns }, (_, index) => index);
  for (;;) {
    const restricted = columnsOf(matrix, allowed);
    const last = lastOfSize(restricted, target, sparsity, nonnegative);
    if (last === null) return { values: new Map(), solution: null, nonzeros: 0, lambda: 0 };
    const ranked = byStrength(last.solution).filter((position) => last.active.includes(position));
    const members = ranked.map((position) => allowed[position]);
    const winners = takeDistinct(members, members.length, slot, []);
    if (winners.length === members.length) {
      // Members of an active set are independent; the refit fails by rounding, or has a sign that it must not: the LASSO values stand.
      const fitted = leastSquares(columnsOf(matrix, members), target);
      const refit = nonnegative && fitted?.some((value) => value < 0) ? null : fitted;
      const values = members.map((index, rank): [number, number] => [
        index,
        refit === null ? last.solution[ranked[rank]] : refit[rank],
      ]);
      return { values: new Map(values), solution: null, nonzeros: members.length, lambda: last.lowerLambda };
    }
    // Two members share a predecessor: the stronger one stays, its rivals leave the problem, and the path is followed anew.
    const lost = new Set(members.filter((index) => !winners.includes(index)).map(slot));
    allowed = allowed.filter((index) => !lost.has(slot(index)) || winners.includes(index));
  }
}

/**
 * Recovers the s-sparse code z of a node from its compressed code b (Yang et al. 2020, arXiv 2010.06176).
 * @param matrix A, m x n.
 * @param compressed b, of length m.
 * @throws SPARSE_INPUT if A, b or the options make no sense.
 */
export function recover(matrix: Matrix, compressed: Float64Array, options: RecoveryOptions): Recovery {
  validateMatrix(matrix, "recovery");
  validateTarget(matrix, compressed, "recovery");
  const slot = validateOptions(matrix, options);
  const select = options.method === "path" ? selectOnPath : selectTop;
  const { values, solution, nonzeros, lambda } = select(matrix, compressed, options, slot);
  const code = new Float64Array(matrix.columns);
  for (const [index, value] of values) code[index] = value;
  const remainder = residualOf(matrix, code, compressed);
  const chosen = [...values.keys()];
  const added = takeDistinct(
    byStrength(transposedProduct(matrix, remainder), options.nonnegative).filter(
      (index) => !values.has(index),
    ),
    options.sparsity - chosen.length,
    slot,
    chosen,
  );
  const support = [...chosen, ...added].sort((a, b) => a - b);
  const size = norm(compressed);
  return {
    code,
    solution: solution ?? code,
    support,
    weights: searchWeights(matrix, support, code, compressed),
    residual: size === 0 ? 0 : norm(remainder) / size,
    nonzeros,
    completed: added.length,
    lambda,
  };
}
