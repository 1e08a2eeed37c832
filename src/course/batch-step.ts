// One batch through a network: the loss to differentiate, and the figures to report.
import type { Batch } from "../data/index.js";
import { operators } from "../engine/operators.js";
import { Tensor } from "../engine/tensor.js";
import type { ForwardOptions, Network } from "../nn/network.js";

export interface LossOptions {
  readonly labelSmoothing: number;
  /** Weight of the auxiliary head's loss. */
  readonly auxiliaryWeight: number;
  /** Images that go through the network at once, at most; null or left out: the whole batch. */
  readonly microBatch?: number | null;
}

export interface BatchFigures {
  /** Mean cross-entropy of the main head. */
  readonly loss: number;
  /** Images whose most probable class is the right one. */
  readonly correct: number;
  readonly count: number;
}

/** The batch's images [N, C, H, W] and labels [N] on the network's device. */
export function batchTensors(network: Network, batch: Batch): { images: Tensor; labels: Tensor } {
  const { height, width, channels } = network.inputSize;
  const images = Tensor.from(batch.images, [batch.count, channels, height, width]);
  const labels = Tensor.from(BigInt64Array.from(batch.labels, BigInt));
  return { images: network.device.move(images), labels: network.device.move(labels) };
}

/**
 * A batch in parts of about the same size, of at most `largest` images; null: in one. No part is a single image unless that is what
 * was asked for, because batch norms need several: an odd batch in parts of 2 has one of 3.
 * @param sizes of all batches that are to have as many parts as this one; of this one where not given
 */
export function partsOf(
  batch: Batch,
  largest: number | null,
  { least, most }: { readonly least: number; readonly most: number } = {
    least: batch.count,
    most: batch.count,
  },
): Batch[] {
  const { count, images, labels, origins } = batch;
  if (largest === null || most <= largest) return [batch];
  const parts = largest === 1 ? least : Math.min(Math.ceil(most / largest), Math.floor(least / 2));
  const values = images.length / count;
  return Array.from({ length: parts }, (_, part) => {
    const [from, to] = [part, part + 1].map((edge) => Math.floor((edge * count) / parts));
    return {
      images: images.subarray(from * values, to * values),
      labels: labels.subarray(from, to),
      count: to - from,
      ...(origins === undefined ? {} : { origins: origins.slice(from, to) }),
    };
  });
}

const meanReduction = 1;
const ignoredLabel = -100;

export function crossEntropy(logits: Tensor, labels: Tensor, labelSmoothing = 0): Tensor {
  return operators.crossEntropy(logits, labels, null, meanReduction, ignoredLabel, labelSmoothing);
}

/**
 * For each row of [N, classes], how many entries are ahead of the one of its label: 0 means top-1. Of equal entries the first
 * is ahead, so that a network that tells nothing apart is not right everywhere; NaN is ahead of everything.
 */
export function ranksOfLabels(logits: Float32Array, labels: Int32Array): Int32Array {
  const classes = logits.length / labels.length;
  return labels.map((label, row) => {
    const position = row * classes + label;
    const own = logits[position];
    let ahead = 0;
    for (let i = row * classes; i < (row + 1) * classes; i++) {
      const behind = logits[i] < own || (logits[i] === own && i >= position);
      if (!behind) ahead += 1;
    }
    return ahead;
  });
}

/** Forward pass in a scope of the caller's. `loss` includes the auxiliary head's part. */
export function forwardLoss(
  network: Network,
  batch: Batch,
  forward: ForwardOptions,
  { labelSmoothing, auxiliaryWeight }: LossOptions,
): { loss: Tensor; figures: BatchFigures } {
  const { images, labels } = batchTensors(network, batch);
  const { logits, auxiliaryLogits } = network.forward(images, forward);
  const main = crossEntropy(logits, labels, labelSmoothing);
  const loss =
    auxiliaryLogits === null
      ? main
      : operators.add(
          main,
          operators.scale(crossEntropy(auxiliaryLogits, labels, labelSmoothing), auxiliaryWeight),
        );
  const ranks = ranksOfLabels(logits.toFloat32Array(), batch.labels);
  const correct = ranks.reduce((sum, rank) => sum + (rank === 0 ? 1 : 0), 0);
  return { loss, figures: { loss: main.item(), correct, count: batch.count } };
}
