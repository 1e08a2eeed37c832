// The trip of a compressed code through a step: b -> w -> loss -> gradient -> b, in this order.

import type { BatchFigures, LossOptions } from "../../course/batch-step.js";
import { batchGradients, requireFinite, type StepPlace } from "../../course/descent.js";
import type { Batch } from "../../data/index.js";
import { Tensor } from "../../engine/tensor.js";
import type { ForwardOptions, Network } from "../../nn/network.js";
import { vectorNames } from "../../space/mixture.js";
import type { Choice } from "../../space/space.js";
import type { AdamOptions } from "../../sparse/adam.js";
import { type Codes, stepCodes, weightsOf } from "../../sparse/codes.js";

/** What of a step learns: the codes, the network's weights, or both. */
export interface Learning {
  /** Adam on b; null where the codes are held. */
  readonly codes: AdamOptions | null;
  /** What the codes learn from in place of dL/dw_S; for control runs. */
  readonly controlled?: (gradients: readonly Float32Array[]) => readonly Float32Array[];
  /** The network's parameters whose gradients are wanted. */
  readonly parameters: readonly Tensor[];
}

/** Weights of the candidates of every choice as the network takes them: vectors of float32 [s]. */
export const vectorsOf = (
  choices: readonly Choice[],
  weights: readonly ArrayLike<number>[],
): Map<string, Tensor> =>
  new Map(
    choices.map((choice, index) => [
      vectorNames.candidates(choice),
      Tensor.from(Float32Array.from(weights[index])),
    ]),
  );

/** w_S(b) of every choice (paper, section 3.2). */
export const weightVectors = (choices: readonly Choice[], codes: Codes): Map<string, Tensor> =>
  vectorsOf(choices, weightsOf(codes));

export interface Trip {
  readonly figures: BatchFigures;
  /** Of the parameters, in their order. */
  readonly gradients: (Tensor | null)[];
  /** After their step. */
  readonly codes: Codes;
  /** dL/dw_S of every choice, zero where it is frozen; null where the codes were held. */
  readonly codeGradients: readonly Float64Array[] | null;
}

/**
 * One batch through the network and back. To be called in a scope.
 * @throws IstaError RUN_DIVERGED when a loss or gradient is not finite; nothing has changed then
 */
export function takeTrip(
  network: Network,
  codes: Codes,
  batch: Batch,
  learning: Learning,
  forward: Omit<ForwardOptions, "weights">,
  loss: LossOptions,
  place: StepPlace,
): Trip {
  const { choices } = network.description.space;

  // b -> w: one ISTA step from z, without the threshold. Those that learn are leaves for gradients.
  const weights = weightVectors(choices, codes);
  const active = [...codes.keys()].filter((index) => learning.codes !== null && !codes[index].frozen);
  const leaves = active.map((index) =>
    weights.get(vectorNames.candidates(choices[index]))!.setRequiresGrad(true),
  );

  // w -> loss -> dL/dw: only the kept connections are in the network.
  const inputs = [...learning.parameters, ...leaves];
  const { figures, gradients } = batchGradients(network, batch, { ...forward, weights }, loss, inputs, place);
  const slopes = gradients.splice(learning.parameters.length);
  if (learning.codes === null) return { figures, gradients, codes, codeGradients: null };

  // dL/dw -> dL/db = A_S dL/dw -> b. A choice that the loss does not depend on has the gradient zero.
  const codeGradients = codes.map(({ recovery }) => new Float64Array(recovery.support.length));
  const found = active.map((index, position) => {
    requireFinite(slopes[position], `the weights of ${choices[index].name}`, place);
    return slopes[position]?.toFloat32Array() ?? new Float32Array(codeGradients[index].length);
  });
  const learnt = learning.controlled?.(found) ?? found;
  for (const [position, index] of active.entries()) codeGradients[index].set(learnt[position]);
  return { figures, gradients, codes: stepCodes(codes, codeGradients, learning.codes), codeGradients };
}
