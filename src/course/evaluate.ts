// Evaluation of a network on a set of images.
import { IstaError } from "../base/errors.js";
import type { Batch, BatchSource } from "../data/index.js";
import { withoutGradients } from "../engine/autograd.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { ForwardOptions, Network } from "../nn/network.js";
import { batchTensors, crossEntropy, partsOf, ranksOfLabels } from "./batch-step.js";
import { ownImages, processCount, wholeLogits } from "./processes.js";

export interface Evaluation {
  readonly count: number;
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of images whose class is the most probable one, 0..1. */
  readonly top1: number;
  /** Share of images whose class is among the five most probable ones; 1 with five classes or fewer. */
  readonly top5: number;
  /** For each class how many of its images have which most probable class; empty where it was not asked for. */
  readonly confusion: readonly ReadonlyMap<number, number>[];
  /** Seconds in the network, data loading left out. */
  readonly seconds: number;
}

interface EvaluatedBatch {
  readonly loss: number;
  readonly logits: Float32Array;
}

/** Logits [N, classes], row-major, and the mean loss of one batch in evaluation mode. */
export function evaluateBatch(
  network: Network,
  batch: Batch,
  weights?: ForwardOptions["weights"],
): EvaluatedBatch {
  return withoutGradients(() =>
    scope(() => {
      const { images, labels } = batchTensors(network, batch);
      const { logits } = network.forward(images, { training: false, weights });
      return { loss: crossEntropy(logits, labels).item(), logits: logits.toFloat32Array() };
    }),
  );
}

interface EvaluateOptions {
  readonly weights?: ForwardOptions["weights"];
  readonly microBatch?: number | null;
}

/** One that goes through the network at once, with its labels. */
const evaluateOne = (network: Network, batch: Batch, { weights }: EvaluateOptions) => ({
  ...evaluateBatch(network, batch, weights),
  labels: batch.labels,
});

/** A batch that several processes share: each computes the logits of its part, and all get all of them. */
function evaluateTogether(network: Network, batch: Batch, { weights, microBatch }: EvaluateOptions) {
  const own = ownImages(batch);
  const { labels } = own.partOf;
  const found = partsOf(own, microBatch ?? null).map((part) => evaluateBatch(network, part, weights).logits);
  const logits = wholeLogits(Float32Array.from(found.flatMap((one) => Array.from(one))), own);
  const loss = scope(() =>
    crossEntropy(
      Tensor.from(logits, [labels.length, logits.length / labels.length]),
      Tensor.from(BigInt64Array.from(labels, BigInt)),
    ).item(),
  );
  return { loss, logits, labels };
}

/**
 * Runs every batch of epoch 0 of the source once; the event loop gets a turn after each.
 * @returns null when it was stopped
 */
export async function evaluate(
  network: Network,
  source: BatchSource,
  options: {
    weights?: ForwardOptions["weights"];
    /** Asked after every batch; true ends the evaluation. */
    stop?: () => boolean;
    onBatch?: (done: number) => void;
    /** Whether to count which class is taken for which. */
    confusion?: boolean;
    /** Images that go through the network at once, at most; null: whole batches. */
    microBatch?: number | null;
    /**
     * Told of every batch, or part of one, with its logits [N, classes], row-major. Where several processes share it, of whole batches:
     * the source must not make parts of them.
     */
    onLogits?: (batch: Batch, logits: Float32Array) => void;
  } = {},
): Promise<Evaluation | null> {
  const classes = source.classes.length;
  // Of ten thousand classes a matrix has a hundred million entries, nearly all of them zero.
  const confusion = Array.from({ length: options.confusion ? classes : 0 }, () => new Map<number, number>());
  const sums = { count: 0, loss: 0, top1: 0, top5: 0, seconds: 0 };
  for (let index = 0; index < source.batchCount; index++) {
    const batch = await source.batch(0, index);
    for (const part of processCount() > 1 ? [batch] : partsOf(batch, options.microBatch ?? null)) {
      const started = performance.now();
      const { loss, logits, labels } =
        processCount() > 1 ? evaluateTogether(network, part, options) : evaluateOne(network, part, options);
      sums.seconds += (performance.now() - started) / 1000;
      sums.count += labels.length;
      sums.loss += loss * labels.length;
      for (const [row, rank] of ranksOfLabels(logits, labels).entries()) {
        if (rank === 0) sums.top1 += 1;
        if (rank < 5) sums.top5 += 1;
        if (!options.confusion) continue;
        const said = mostProbable(logits.subarray(row * classes, (row + 1) * classes));
        const counts = confusion[labels[row]];
        counts.set(said, (counts.get(said) ?? 0) + 1);
      }
      options.onLogits?.(part, logits);
    }
    options.onBatch?.(index + 1);
    await new Promise(setImmediate);
    if (options.stop?.()) return null;
  }
  if (sums.count === 0) throw new IstaError("DATA_EMPTY", "evaluate: expected images, the set has none");
  const { count, loss, top1, top5, seconds } = sums;
  return { count, loss: loss / count, top1: top1 / count, top5: top5 / count, confusion, seconds };
}

/** Index of the largest entry; the first one of several. */
export function mostProbable(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
  return best;
}
