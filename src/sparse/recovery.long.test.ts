// Recovery over the whole course of a search: codes from their initial scale to far beyond, many seeds.

import { expect, test } from "vitest";
import { RandomStream } from "../base/random.js";
import { homotopy, lassoPath, segmentLimit } from "./homotopy.js";
import { largestMagnitude, transposedProduct } from "./matrix.js";
import { drawMeasurement, type Measurement, measurementKinds } from "./measurement.js";
import { recover } from "./recovery.js";

test.each(measurementKinds)(
  "%s: the path alone solves every problem, and every recovery has its two connections",
  (kind) => {
    const stream = RandomStream.named(1, `long/${kind}`);
    let longest = 0;
    // A frame of 140 columns takes a fifth of a second to draw: a few of each size will do.
    const frames = new Map<string, Measurement>();
    const drawn = (columns: number, draw: number): Measurement => {
      if (kind !== "frame") return drawMeasurement(kind, 7, columns, stream);
      const key = `${columns}/${draw % 60}`;
      const frame = frames.get(key) ?? drawMeasurement(kind, 7, columns, stream);
      frames.set(key, frame);
      return frame;
    };
    for (let draw = 0; draw < 8000; draw++) {
      const columns = [14, 21, 28, 35, 70, 140][draw % 6];
      const matrix = drawn(columns, draw);
      const scale = 10 ** (-5 + 7 * stream.uniform());
      const target = Float64Array.from({ length: 7 }, () => scale * stream.normal());
      const problem = { matrix, target, lambda: 1e-5 };
      const solved = homotopy(problem);
      expect(solved.converged).toBe(true);
      // Had ties or rounding stopped the path, coordinate descent would have added its sweeps.
      expect(solved.iterations).toBeLessThan(100);
      longest = Math.max(longest, solved.iterations);
      for (const method of ["top-s", "path"] as const)
        for (const distinct of [false, true]) {
          const found = recover(matrix, target, {
            method,
            sparsity: 2,
            lambda: 1e-5,
            ...(distinct ? { distinctPredecessors: { operationsPerPredecessor: 7 } } : {}),
          });
          expect(found.support).toHaveLength(2);
          expect(found.weights.every(Number.isFinite)).toBe(true);
          if (method === "path") expect(found.residual).toBeLessThan(1);
        }
      const end = 1e-10 * largestMagnitude(transposedProduct(matrix, target));
      expect([...lassoPath(matrix, target, end)].length).toBeLessThan(segmentLimit(matrix) / 10);
    }
    expect(longest).toBeGreaterThan(7);
  },
);
