// Benchmark of sparse coding on one core: recovery of all 8 nodes of a search, and the four LASSO solvers side by side.

import { cpus } from "node:os";
import { RandomStream } from "../src/base/random.js";
import { darts } from "../src/space/darts/space.js";
import { initialCodes, recoverCodes, recoveryOptions } from "../src/sparse/codes.js";
import { drawMeasurement, type MeasurementKind, measurementKinds } from "../src/sparse/measurement.js";
import { lassoSolvers, recoveryMethods } from "../src/sparse/recovery.js";

const lambda = 1e-5;
const compressedSize = 7;
const candidateCounts = [14, 21, 28, 35];
const choices = darts.choices.map(({ id, candidates, kept }) => ({
  id,
  predecessors: candidates.map(({ predecessor }) => predecessor),
  kept,
  distinctPredecessors: false,
}));

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Milliseconds of each of `repeats` calls. */
function times(repeats: number, call: (repeat: number) => unknown): number[] {
  return Array.from({ length: repeats }, (_, repeat) => {
    const start = performance.now();
    call(repeat);
    return performance.now() - start;
  });
}

const cells = (values: readonly (string | number)[], widths: readonly number[]): string =>
  values
    .map((value, index) =>
      index === 0 ? String(value).padEnd(widths[0]) : String(value).padStart(widths[index]),
    )
    .join("");

function benchmarkRecovery(): void {
  const seeds = 100;
  const widths = [26, 10, 10, 10, 10, 12];
  console.log(
    `Recovery of all 8 nodes (n = ${candidateCounts.join(", ")}; m = ${compressedSize}; s = 2), ms, ${seeds} seeds, b as drawn`,
  );
  console.log(cells(["method, measurement", "first", "median", "slowest", "residual", "nonzeros"], widths));
  for (const method of recoveryMethods)
    for (const measurement of measurementKinds) {
      const recovery = { method, lambda };
      const codes = Array.from({ length: seeds }, (_, seed) =>
        initialCodes({ seed, measurement, compressedLength: compressedSize, choices, recovery }),
      );
      const options = choices.map((choice) => recoveryOptions(choice, recovery));
      const taken = times(seeds, (seed) => recoverCodes(codes[seed], options));
      const found = codes.flatMap((one) => one.map(({ recovery: recovered }) => recovered));
      const mean = (pick: (one: (typeof found)[number]) => number): number =>
        found.reduce((sum, one) => sum + pick(one), 0) / found.length;
      const row = [taken[0], median(taken), Math.max(...taken)].map((value) => value.toFixed(2));
      console.log(
        cells(
          [
            `${method}, ${measurement}`,
            ...row,
            mean(({ residual }) => residual).toFixed(2),
            mean(({ nonzeros }) => nonzeros).toFixed(1),
          ],
          widths,
        ),
      );
    }
}

function drawProblem(kind: MeasurementKind, columns: number, seed: number) {
  const stream = RandomStream.named(seed, `bench/${kind}/${columns}`);
  const matrix = drawMeasurement(kind, compressedSize, columns, stream);
  return {
    matrix,
    target: Float64Array.from({ length: compressedSize }, () => 1e-3 * stream.normal()),
    lambda,
  };
}

function benchmarkSolvers(): void {
  const seeds = 15;
  const widths = [30, 6, 14, 12, 12];
  console.log(
    `\nSolvers, lambda = ${lambda}, relative duality gap 1e-10, medians of ${seeds} problems; warm: b moved by 1 % since`,
  );
  console.log(cells(["solver, measurement", "n", "iterations", "ms", "ms, warm"], widths));
  for (const kind of measurementKinds)
    for (const columns of candidateCounts) {
      const problems = Array.from({ length: seeds }, (_, seed) => drawProblem(kind, columns, seed));
      const moved = problems.map((problem) => ({
        ...problem,
        target: problem.target.map((b, i) => b * (1 + 0.01 * Math.sin(i))),
      }));
      for (const [name, solve] of Object.entries(lassoSolvers)) {
        const results = problems.map((problem) => solve(problem));
        const cold = times(seeds, (i) => solve(problems[i]));
        const warm = times(seeds, (i) => solve(moved[i], { initial: results[i].solution }));
        const iterations = median(results.map((result) => result.iterations));
        console.log(
          cells(
            [`${name}, ${kind}`, columns, iterations, median(cold).toFixed(3), median(warm).toFixed(3)],
            widths,
          ),
        );
      }
    }
}

console.log(`${cpus()[0]?.model ?? "unknown processor"}, one thread, Node ${process.versions.node}`);
benchmarkRecovery();
benchmarkSolvers();
