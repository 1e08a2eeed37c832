// The architecture variables of a search: measurement, compressed code, recovery and optimiser state of every choice.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { type AdamOptions, type AdamState, adamStep, initialAdamState } from "./adam.js";
import { norm } from "./matrix.js";
import { drawMeasurement, type Measurement, type MeasurementKind } from "./measurement.js";
import { type Recovery, type RecoveryMethod, type RecoveryOptions, recover } from "./recovery.js";
import { compressedGradient, searchWeights } from "./weights.js";

/** A choice to be coded: s of n candidates. In a cell, the choice of a node's connections. */
export interface CodedChoice {
  /** Names the random streams. */
  readonly id: string;
  /** The predecessor of each of the n candidates. */
  readonly predecessors: readonly number[];
  /** s. */
  readonly kept: number;
  /** Whether the kept candidates must come from different predecessors. */
  readonly distinctPredecessors: boolean;
}

/** What a search knows of one choice. Nothing is changed in place: an update makes a new one. */
export interface ChoiceCode {
  readonly measurement: Measurement;
  /** b, of length m: the trained architecture variable. */
  readonly compressed: Float64Array;
  readonly recovery: Recovery;
  readonly adam: AdamState;
  /** A frozen choice is neither trained nor recovered any more: its weights w_S(b) are constants. */
  readonly frozen: boolean;
}

/** One for each choice, in the order of the choices. */
export type Codes = readonly ChoiceCode[];

export interface CodesOptions {
  readonly seed: number;
  readonly measurement: MeasurementKind;
  /** m. */
  readonly compressedLength: number;
  readonly choices: readonly CodedChoice[];
  readonly recovery: { readonly method: RecoveryMethod; readonly lambda: number };
}

/** How the sparse code of a choice is recovered. */
export function recoveryOptions(choice: CodedChoice, recovery: CodesOptions["recovery"]): RecoveryOptions {
  const { kept, predecessors, distinctPredecessors } = choice;
  return { ...recovery, sparsity: kept, ...(distinctPredecessors ? { distinct: predecessors } : {}) };
}

/** Scale of the initial compressed codes: b ~ 1e-3 * N(0, 1), as the authors' program draws them. */
export const initialScale = 1e-3;

function drawCode(
  options: CodesOptions,
  choice: CodedChoice,
  measurement: Measurement,
  stream: RandomStream,
): ChoiceCode {
  const compressed = Float64Array.from(
    { length: options.compressedLength },
    () => initialScale * stream.normal(),
  );
  return {
    measurement,
    compressed,
    recovery: recover(measurement, compressed, recoveryOptions(choice, options.recovery)),
    adam: initialAdamState(options.compressedLength),
    frozen: false,
  };
}

/**
 * Draws measurements and compressed codes and recovers every choice for the first time.
 * @param excess says by how much a network of these supports is over the size budget (0: not at all); choices are drawn again, in turn,
 * until it is not. Measurements are drawn once.
 * @throws BUDGET_IMPOSSIBLE if 10,000 draws found no start within the budget.
 */
export function initialCodes(
  options: CodesOptions,
  excess: (supports: readonly (readonly number[])[]) => number = () => 0,
): Codes {
  const { choices, seed } = options;
  const streams = choices.map(({ id }) => RandomStream.named(seed, `code/${id}`));
  let codes: Codes = choices.map((choice, index) => {
    const matrixStream = RandomStream.named(seed, `measurement/${choice.id}`);
    const { measurement: kind, compressedLength } = options;
    const measurement = drawMeasurement(kind, compressedLength, choice.predecessors.length, matrixStream);
    return drawCode(options, choice, measurement, streams[index]);
  });
  let over = excess(supportsOf(codes));
  for (let draw = 0; over > 0; draw++) {
    if (draw === 10_000)
      throw new IstaError(
        "BUDGET_IMPOSSIBLE",
        `initial codes: no network within the size budget in ${draw} draws; raise the budget or try another seed`,
      );
    const index = draw % choices.length;
    const candidate = drawCode(options, choices[index], codes[index].measurement, streams[index]);
    const trial: Codes = codes.with(index, candidate);
    const excessOfTrial = excess(supportsOf(trial));
    if (excessOfTrial > over) continue;
    codes = trial;
    over = excessOfTrial;
  }
  return codes;
}

/** The support of every choice: what is built, run and trained. */
export const supportsOf = (codes: Codes): (readonly number[])[] =>
  codes.map(({ recovery }) => recovery.support);

/** w_S(b) of every choice for its current b. */
export const weightsOf = (codes: Codes): Float64Array[] =>
  codes.map(({ measurement, recovery, compressed }) =>
    searchWeights(measurement, recovery.support, recovery.code, compressed),
  );

/** Adam step on b of every choice that is not frozen, from the gradients of the loss with respect to w_S. */
export function stepCodes(
  codes: Codes,
  weightGradients: readonly Float64Array[],
  options: AdamOptions,
): Codes {
  return codes.map((code, index) => {
    if (code.frozen) return code;
    const { measurement, recovery, compressed, adam } = code;
    const gradient = compressedGradient(measurement, recovery.support, weightGradients[index]);
    const { parameters, state } = adamStep(compressed, gradient, adam, options);
    return { ...code, compressed: parameters, adam: state };
  });
}

/**
 * Recovers every choice that is not frozen from its current b; frozen ones keep what they have.
 * @param perturbed what is recovered in place of b
 */
export const recoverCodes = (
  codes: Codes,
  options: readonly RecoveryOptions[],
  perturbed: (compressed: Float64Array) => Float64Array = (compressed) => compressed,
): Recovery[] =>
  codes.map((code, index) =>
    code.frozen ? code.recovery : recover(code.measurement, perturbed(code.compressed), options[index]),
  );

/** b + noise ||b|| / sqrt(m) N(0, I): as far from b, whatever its length, as `noise` says. */
export function perturbedCode(compressed: Float64Array, noise: number, stream: RandomStream): Float64Array {
  const deviation = (noise * norm(compressed)) / Math.sqrt(compressed.length);
  return compressed.map((value) => value + deviation * stream.normal());
}
