// How fast the machine multiplies matrices: the yardstick of everything else.
import { operators } from "./operators.js";
import { scope, Tensor } from "./tensor.js";

/** Best rate of some float32 products of size x size matrices, in GFLOP/s, with the threads set at present. */
export function matrixProductRate(size = 1536, repetitions = 6): number {
  return scope(() => {
    const values = Float32Array.from({ length: size * size }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
    const matrix = Tensor.from(values, [size, size]);
    let best = 0;
    for (let i = 0; i < repetitions; i++) {
      const started = performance.now();
      scope(() => void operators.matmul(matrix, matrix));
      best = Math.max(best, (2 * size ** 3) / (performance.now() - started) / 1e6);
    }
    return best;
  });
}
