// Whether the codes of a search by derivatives follow the loss or walk at random: figures of an epoch, none of which is learnt from.
import { z } from "zod";
import { RandomStream } from "../../base/random.js";
import type { Codes } from "../../sparse/codes.js";
import { columnsOf, dot, leastSquares, norm, product } from "../../sparse/matrix.js";
import type { Measurement } from "../../sparse/measurement.js";
import { type RecoveryOptions, recover } from "../../sparse/recovery.js";
import { compressedGradient } from "../../sparse/weights.js";

const vectors = z.array(z.array(z.number()));
const stateSchema = z.object({
  start: vectors,
  sums: vectors,
  squares: z.array(z.number()),
  steps: z.int().min(0),
});

export class CodeDiagnosis {
  /** b of every choice at the start of the epoch. */
  private start: readonly Float64Array[] = [];
  /** Sums over the steps of dL/db, and of its squared length. */
  private sums: readonly Float64Array[] = [];
  private squares: readonly number[] = [];
  private steps = 0;

  constructor(codes: Codes) {
    this.begin(codes);
  }

  private begin(codes: Codes): void {
    this.start = codes.map(({ compressed }) => compressed);
    this.sums = codes.map(({ compressed }) => new Float64Array(compressed.length));
    this.squares = codes.map(() => 0);
    this.steps = 0;
  }

  /** The gradients of a step with respect to w_S, for the codes that it began with. */
  note(codes: Codes, weightGradients: readonly Float64Array[]): void {
    const gradients = codes.map(({ measurement, recovery }, choice) =>
      compressedGradient(measurement, recovery.support, weightGradients[choice]),
    );
    this.sums = this.sums.map((sum, choice) => sum.map((value, row) => value + gradients[choice][row]));
    this.squares = this.squares.map((sum, choice) => sum + dot(gradients[choice], gradients[choice]));
    this.steps += 1;
  }

  /**
   * The figures of the epoch, one set for each choice; the next epoch begins.
   * @param codes as they were trained in the epoch, before they are recovered
   */
  end(codes: Codes) {
    const figures = codes.map(({ measurement, recovery, compressed }, choice) => {
      const change = compressed.map((value, row) => value - this.start[choice][row]);
      const chosen = columnsOf(measurement, recovery.support);
      const within = leastSquares(chosen, change);
      const length = norm(change);
      return {
        codeChange: length,
        // 1: b has moved within the span of the columns of its support, 0: across it.
        changeInSpan: length === 0 || within === null ? null : norm(product(chosen, within)) / length,
        gradientSignal: this.signal(choice),
      };
    });
    this.begin(codes);
    return figures;
  }

  /** |mean gradient|^2 as a multiple of what noise alone would leave of it; about 1 where there is no signal. Null with fewer than 2 steps. */
  private signal(choice: number): number | null {
    const { steps } = this;
    if (steps < 2) return null;
    const square = dot(this.sums[choice], this.sums[choice]) / steps ** 2;
    const variance = (this.squares[choice] / steps - square) * (steps / (steps - 1));
    return variance <= 0 ? null : square / (variance / steps);
  }

  save() {
    const { squares, steps } = this;
    const numbers = (parts: readonly Float64Array[]) => parts.map((part) => Array.from(part));
    return { start: numbers(this.start), sums: numbers(this.sums), squares: [...squares], steps };
  }

  /** State of a checkpoint that has none, or another one, begins at the present codes. */
  restore(state: unknown, codes: Codes): void {
    this.begin(codes);
    const found = stateSchema.safeParse(state);
    if (!found.success) return;
    const { start, sums, squares, steps } = found.data;
    const fits = (parts: number[][]) =>
      parts.length === codes.length && parts.every((part, i) => part.length === codes[i].compressed.length);
    if (!fits(start) || !fits(sums) || squares.length !== codes.length) return;
    this.start = start.map((part) => Float64Array.from(part));
    this.sums = sums.map((part) => Float64Array.from(part));
    this.squares = squares;
    this.steps = steps;
  }
}

/** Codes that are drawn for each choice; a candidate in none of so many supports is chosen less than once in 50 with certainty of 98 %. */
const draws = 200;

/** Candidates that no recovery of codes drawn evenly from all directions chooses: they can hardly ever be tried. */
export function deadColumns(
  measurements: readonly Measurement[],
  options: readonly RecoveryOptions[],
  seed: number,
): number[][] {
  return measurements.map((measurement, choice) => {
    const stream = RandomStream.named(seed, `dead-columns/${choice}`);
    const seen = new Set<number>();
    for (let draw = 0; draw < draws && seen.size < measurement.columns; draw++) {
      // Of the length of codes at the start, on which the support of `top-s` may depend.
      const code = Float64Array.from({ length: measurement.rows }, () => 1e-3 * stream.normal());
      for (const index of recover(measurement, code, options[choice]).support) seen.add(index);
    }
    return [...Array(measurement.columns).keys()].filter((index) => !seen.has(index));
  });
}
