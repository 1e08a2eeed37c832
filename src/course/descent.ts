// Gradients of a batch and the step down them, with an answer to where numbers stopped being finite.
import { IstaError } from "../base/errors.js";
import type { Batch } from "../data/index.js";
import { gradients, withoutGradients } from "../engine/autograd.js";
import { operators } from "../engine/operators.js";
import { gradientSums, sums as sumsOfProcesses } from "../engine/processes.js";
import type { Sgd, SgdSettings } from "../engine/sgd.js";
import { scope, type Tensor } from "../engine/tensor.js";
import { type ForwardOptions, type Network, usualMomentum } from "../nn/network.js";
import { type BatchFigures, batchTensors, forwardLoss, type LossOptions, partsOf } from "./batch-step.js";
import { ownImages, partSizes, processCount, withNormsOf } from "./processes.js";

/** Where in the run a batch is, for messages. */
export interface StepPlace {
  /** Epoch and step, counted from 0. */
  readonly epoch: number;
  readonly index: number;
  readonly learningRate: number;
}

export interface BatchGradients {
  readonly figures: BatchFigures;
  /** In the order of the inputs; null where the loss does not depend on one. */
  readonly gradients: (Tensor | null)[];
}

/** Name of the first parameter, or else of the first layer of the forward pass, with a number that is not finite. */
function firstNonFinite(network: Network, batch: Batch, forward: ForwardOptions): string | null {
  return withoutGradients(() =>
    scope(() => {
      if (!batch.images.every(Number.isFinite)) return "the images";
      for (const [name, parameter] of network.trainable)
        if (!operators.allFinite(parameter)) return `the weights ${name}`;
      let found: string | null = null;
      const inspect = (name: string, result: Tensor): void => {
        if (found === null && !operators.allFinite(result)) found = `the output of ${name}`;
      };
      network.forward(batchTensors(network, batch).images, { ...forward, inspect });
      return found;
    }),
  );
}

function diverged(what: string, where: string | null, { epoch, index, learningRate }: StepPlace): IstaError {
  return new IstaError(
    "RUN_DIVERGED",
    `training: ${what} at step ${index + 1} of epoch ${epoch + 1}, learning rate ${learningRate}; it began in ${where ?? "the loss"}; the last checkpoint is as it was: go on from it, or start again with a lower --learning-rate`,
  );
}

/**
 * Of what is differentiated at once.
 * @param place null where a loss that is not finite is found later
 * @param share of its loss in the whole
 */
function partGradients(
  network: Network,
  batch: Batch,
  forward: ForwardOptions,
  lossOptions: LossOptions,
  inputs: readonly Tensor[],
  place: StepPlace | null,
  share = 1,
): BatchGradients {
  const { loss, figures } = forwardLoss(network, batch, forward, lossOptions);
  const value = loss.item();
  if (place !== null && !Number.isFinite(value))
    throw diverged(`the loss became ${value}`, firstNonFinite(network, batch, forward), place);
  return { figures, gradients: gradients(share === 1 ? loss : operators.scale(loss, share), inputs) };
}

/** The sum; the first one is freed. */
function added(sum: Tensor | null, slope: Tensor | null): Tensor | null {
  if (sum === null || slope === null) return sum ?? slope;
  const both = operators.add(sum, slope);
  sum.dispose();
  return both;
}

/**
 * Gradients of parts of a batch, added up.
 * @param first position of the first image of them among the `images` of the whole batch
 * @param gradientsOf a part, whose loss has this share in that of all of them
 */
function summedParts(
  parts: readonly Batch[],
  { first, images }: { readonly first: number; readonly images: number },
  forward: ForwardOptions,
  gradientsOf: (part: Batch, forward: ForwardOptions, share: number) => BatchGradients,
): BatchGradients {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const momentum = 1 - (1 - (forward.momentum ?? usualMomentum)) ** (1 / parts.length);
  const { dropPath } = forward;
  const drawn = dropPath?.random.state;
  const figures = { loss: 0, correct: 0, count: 0 };
  let sums: (Tensor | null)[] | null = null;
  for (const part of parts) {
    if (dropPath !== undefined) dropPath.random.state = drawn!;
    const partOf = { first: first + figures.count, images };
    const ownForward = { ...forward, momentum, ...(dropPath && { dropPath: { ...dropPath, partOf } }) };
    const share = part.count / count;
    const found = scope(() => gradientsOf(part, ownForward, share));
    sums = sums === null ? found.gradients : sums.map((sum, index) => added(sum, found.gradients[index]));
    figures.loss += share * found.figures.loss;
    figures.correct += found.figures.correct;
    figures.count += part.count;
  }
  return { figures, gradients: sums! };
}

/** Of the part of a batch that this process takes; summed with those of the others. */
function gradientsOfProcesses(
  network: Network,
  batch: Batch,
  forward: ForwardOptions,
  lossOptions: LossOptions,
  inputs: readonly Tensor[],
  place: StepPlace,
): BatchGradients {
  const own = ownImages(batch);
  const { first, labels, share } = own.partOf;
  const images = labels.length;
  // Where all take all of the images, their figures count as much as the gradients do.
  const isWhole = own.count === images;
  const parts = partsOf(own, lossOptions.microBatch ?? null, partSizes(images));
  const weighed = ({ loss, correct }: BatchFigures): Float64Array =>
    Float64Array.of(share * loss, isWhole ? share * correct : correct);
  const aside = { averaged: network.runningStatistics, weight: share };
  const { values, gradients } = withNormsOf(!isWhole, () => {
    if (parts.length > 1) {
      const found = summedParts(parts, { first, images }, forward, (part, ownForward, partShare) =>
        partGradients(network, part, ownForward, lossOptions, inputs, null, share * partShare),
      );
      const values = weighed(found.figures);
      return { values, gradients: sumsOfProcesses(found.gradients, { ...aside, values }) };
    }
    const { dropPath } = forward;
    const masks = dropPath && { dropPath: { ...dropPath, partOf: { first, images } } };
    const { loss, figures } = forwardLoss(network, own, { ...forward, ...masks }, lossOptions);
    const values = weighed(figures);
    return { values, gradients: gradientSums(operators.scale(loss, share), inputs, { ...aside, values }) };
  });
  const [loss, correct] = values;
  if (!Number.isFinite(loss))
    throw diverged(`the loss became ${loss}`, firstNonFinite(network, own, forward), place);
  return { figures: { loss, correct: Math.round(correct), count: images }, gradients };
}

/**
 * Loss of a batch and its gradients with respect to `inputs`. To be called in a scope.
 *
 * With `microBatch` the batch goes through the network in parts, and their gradients are added up: to rounding those of the whole, but
 * that batch norms normalise each part by its own statistics. Each part counts in the running statistics by as much less as there
 * are more of them, and drop-path drops what it drops of the whole batch.
 *
 * Where several processes compute the run, each takes its part of the batch, and all get gradients and figures of the whole.
 * @throws IstaError RUN_DIVERGED when the loss is not finite, before any weight is changed; PROCESSES_LOST
 */
export function batchGradients(
  network: Network,
  batch: Batch,
  forward: ForwardOptions,
  lossOptions: LossOptions,
  inputs: readonly Tensor[],
  place: StepPlace,
): BatchGradients {
  if (processCount() > 1) return gradientsOfProcesses(network, batch, forward, lossOptions, inputs, place);
  const parts = partsOf(batch, lossOptions.microBatch ?? null);
  if (parts.length === 1) return partGradients(network, batch, forward, lossOptions, inputs, place);
  return summedParts(parts, { first: 0, images: batch.count }, forward, (part, ownForward, share) =>
    partGradients(network, part, ownForward, lossOptions, inputs, place, share),
  );
}

/** @throws IstaError RUN_DIVERGED when a gradient is not finite; `what` says what it is the gradient of */
export function requireFinite(slope: Tensor | null, what: string, place: StepPlace): void {
  if (slope !== null && !operators.allFinite(slope))
    throw diverged("the gradient is not finite any more", `the gradient of ${what}`, place);
}

/**
 * One step of SGD on the network's parameters. To be called in a scope.
 * @throws IstaError RUN_DIVERGED when the gradient is not finite; the parameters are as before then
 */
export function descend(
  network: Network,
  sgd: Sgd,
  slopes: readonly (Tensor | null)[],
  settings: SgdSettings,
  place: StepPlace,
): void {
  const norm = sgd.step(network.trainable, slopes, settings);
  if (Number.isFinite(norm)) return;
  const names = [...network.trainable.keys()];
  const worst = slopes.findLastIndex((slope) => slope !== null && !operators.allFinite(slope));
  throw diverged(
    `the gradient's norm became ${norm}`,
    worst < 0 ? null : `the gradient of ${names[worst]}`,
    place,
  );
}
