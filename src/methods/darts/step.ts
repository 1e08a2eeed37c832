// The step of the logits: alpha -> softmax -> loss -> gradient -> alpha, first order (Liu et al. 2019, section 2.3, xi = 0).
import type { LossOptions } from "../../course/batch-step.js";
import { batchGradients, requireFinite, type StepPlace } from "../../course/descent.js";
import type { Batch } from "../../data/index.js";
import { Tensor } from "../../engine/tensor.js";
import type { Network } from "../../nn/network.js";
import type { AdamOptions } from "../../sparse/adam.js";
import { type Logits, logitGradients, type Softmax, stepLogits, vectorsOf } from "./mixture.js";

/** The network's vectors of weights by name, float32, made anew. */
export function weightTensors(softmaxes: readonly Softmax[], logits: readonly Logits[]): Map<string, Tensor> {
  return new Map(
    [...vectorsOf(softmaxes, logits)].map(([name, values]) => [name, Tensor.from(Float32Array.from(values))]),
  );
}

export interface LogitLearning {
  readonly adam: AdamOptions;
  readonly loss: LossOptions;
  readonly place: StepPlace;
  /** What the logits learn from in place of the gradients of the weights; for control runs. */
  controlled(gradients: readonly Float32Array[]): readonly Float32Array[];
}

/**
 * One batch through the network and back to the logits. To be called in a scope.
 * @returns the logits after their step
 * @throws IstaError RUN_DIVERGED when a loss or gradient is not finite; nothing has changed then
 */
export function learnFrom(
  network: Network,
  softmaxes: readonly Softmax[],
  logits: readonly Logits[],
  batch: Batch,
  { adam, loss, place, controlled }: LogitLearning,
): readonly Logits[] {
  const weights = weightTensors(softmaxes, logits);
  for (const leaf of weights.values()) leaf.setRequiresGrad(true);
  const names = [...weights.keys()];
  const { gradients } = batchGradients(
    network,
    batch,
    { training: true, weights },
    loss,
    [...weights.values()],
    place,
  );
  const found = new Map<string, Float32Array>();
  for (const [index, slope] of gradients.entries()) {
    requireFinite(slope, `the weights ${names[index]}`, place);
    if (slope !== null) found.set(names[index], slope.toFloat32Array());
  }
  const learnt = controlled([...found.values()]);
  const slopes = new Map([...found.keys()].map((name, index) => [name, learnt[index]]));
  return stepLogits(logits, logitGradients(softmaxes, logits, slopes), adam);
}
