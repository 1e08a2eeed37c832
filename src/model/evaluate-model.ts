// Evaluation of a trained network on a data set: what the command `eval` and the library call.
import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { RandomStream } from "../base/random.js";
import { confusionMatrix } from "../course/confusion.js";
import { type Evaluation, evaluate } from "../course/evaluate.js";
import { requireMemoryForUse } from "../course/memory.js";
import { withoutGradients } from "../engine/autograd.js";
import { Device, setThreads } from "../engine/device.js";
import { scope, Tensor } from "../engine/tensor.js";
import { networkOf, usableNetwork } from "../formats/model-file.js";
import type { Network } from "../nn/network.js";
import { countNetwork } from "../space/counts.js";
import { evaluationNetwork } from "../space/space.js";
import {
  type CalibrationBin,
  type ClassificationReport,
  type Mistake,
  MistakeCollector,
  reportOf,
} from "./classification.js";
import { type EvaluationImages, type ImagesRequest, openEvaluationImages } from "./evaluation-images.js";
import type { UsableModel } from "./open-model.js";

export interface EvaluationRequest extends ImagesRequest {
  /** How many mistakes are kept, those of which the network was surest; default none. */
  readonly mistakes?: number;
  /** 0: one per core. */
  readonly threads: number;
  readonly device: string;
}

export interface ModelEvaluation extends Omit<Evaluation, "confusion"> {
  /** confusion[c][p]: images of class c whose most probable class is p; null of more than `mostConfusedClasses`. */
  readonly confusion: readonly (readonly number[])[] | null;
  /** Images of each class. */
  readonly classImages: readonly number[];
  /** For each class the wrong one that was said most often, and how often; null where none was. */
  readonly takenFor: readonly ({ readonly label: number; readonly images: number } | null)[];
  /** The images that were taken. */
  readonly split: EvaluationImages["split"];
  /** What is to be known of them. */
  readonly notes: readonly string[];
  /** Broken pictures that were left out, with the reason. */
  readonly skipped: readonly string[];
  readonly classes: readonly string[];
  /** Share of each class's images that were classified right, 0..1; null for a class without images. */
  readonly classAccuracy: readonly (number | null)[];
  /** Precision, recall, F1 of each class, and their means. */
  readonly report: ClassificationReport;
  /** Share of images whose class is among the k most probable ones, for k = 1 to 5. */
  readonly topK: readonly number[];
  /** How often it was right, by how sure it was. */
  readonly calibration: readonly CalibrationBin[];
  /** Mean distance between both, by images, 0..1. */
  readonly calibrationError: number;
  /** As many as were asked for, the surest first. */
  readonly mistakes: readonly Mistake[];
  /** Of all images. */
  readonly mistakeCount: number;
  /** In batches, the forward pass alone. */
  readonly imagesPerSecond: number;
  /** Median over repeated forward passes of one image. */
  readonly latencySeconds: number;
  readonly parameters: number;
  readonly multiplyAdds: number;
}

const warmUps = 3;
const fewestRepeats = 10;

/** Median seconds of a forward pass of one image, repeated for about `seconds`. */
export function measureLatency(network: Network, seconds = 0.5): number {
  const { channels, height, width } = network.inputSize;
  const random = RandomStream.named(0, "latency");
  const pixels = Float32Array.from({ length: channels * height * width }, () => random.normal());
  return withoutGradients(() =>
    scope(() => {
      const onCpu = Tensor.from(pixels, [1, channels, height, width]);
      const image = network.device.move(onCpu);
      const times: number[] = [];
      const begun = performance.now();
      while (times.length < warmUps + fewestRepeats || performance.now() - begun < 1000 * seconds) {
        const started = performance.now();
        // Reading the result waits for devices that work on their own.
        scope(() => void network.forward(image, { training: false }).logits.toFloat32Array());
        times.push((performance.now() - started) / 1000);
      }
      const sorted = times.slice(warmUps).sort((a, b) => a - b);
      return sorted[sorted.length >> 1];
    }),
  );
}

/**
 * Prepares the engine for using a network.
 * @param images that will go through it together
 * @throws IstaError MEMORY_NEEDED, ENGINE_DEVICE, WEIGHTS_MISMATCH, WEIGHTS_NOT_FINITE
 */
export function networkForUse(model: UsableModel, threads: number, device: string, images = 1): Network {
  const found = Device.named(device);
  if (found.isHost) requireMemoryForUse(usableNetwork(model), model.path, images);
  setThreads(threads === 0 ? usefulThreads() : threads);
  return networkOf(model, found, model.path);
}

/** The first class of several that were said equally often. */
function commonMistake(row: ReadonlyMap<number, number>, label: number): ModelEvaluation["takenFor"][number] {
  const wrong = [...row]
    .filter(([said]) => said !== label)
    .sort(([a, most], [b, count]) => count - most || a - b);
  return wrong.length === 0 ? null : { label: wrong[0][0], images: wrong[0][1] };
}

/** Outputs of single images can overflow where those of others do not. @throws IstaError WEIGHTS_NOT_FINITE */
export function requireFinite(values: ArrayLike<number>, { path }: UsableModel, images: string): void {
  if (Array.from(values).every(Number.isFinite)) return;
  throw new IstaError(
    "WEIGHTS_NOT_FINITE",
    `${path}: expected finite outputs for ${images}, got others: its weights or statistics are far too large; take an earlier checkpoint or another file, or train again with a smaller --learning-rate`,
  );
}

/** @throws IstaError DATA_*, FILE_*, CONFIG_VALUE, USAGE, ENGINE_DEVICE, WEIGHTS_MISMATCH, WEIGHTS_NOT_FINITE */
export async function evaluateModel(
  model: UsableModel,
  request: EvaluationRequest,
  onBatch?: (done: number, total: number) => void,
): Promise<ModelEvaluation> {
  const network = networkForUse(model, request.threads, request.device);
  let opened: EvaluationImages | null = null;
  try {
    opened = await openEvaluationImages(model, request);
    const { source, split, notes } = opened;
    const together = Math.min(request.batchSize, source.exampleCount);
    if (network.device.isHost) requireMemoryForUse(usableNetwork(model), model.path, together);
    const total = source.batchCount;
    const collector = new MistakeCollector(request.mistakes ?? 0);
    const found = (await evaluate(network, source, {
      confusion: true,
      onLogits: (batch, logits) => collector.note(batch, logits),
      onBatch: (done) => onBatch?.(done, total),
    }))!;
    requireFinite([found.loss], model, "the images");
    const classImages = found.confusion.map((row) =>
      [...row.values()].reduce((sum, count) => sum + count, 0),
    );
    // Counted with the auxiliary head left out, as everywhere.
    const { params, multAdds } = countNetwork(
      evaluationNetwork(model.architecture, model.shape, model.norms),
    );
    return {
      ...found,
      split,
      notes,
      skipped: [...(source.broken?.values() ?? [])],
      classes: model.classes,
      report: reportOf(found.confusion, model.classes),
      topK: collector.topK,
      calibration: collector.calibration,
      calibrationError: collector.calibrationError,
      mistakes: collector.mistakes,
      mistakeCount: collector.mistakeCount,
      confusion: confusionMatrix(found),
      classImages,
      takenFor: found.confusion.map(commonMistake),
      classAccuracy: found.confusion.map((row, label) =>
        classImages[label] === 0 ? null : (row.get(label) ?? 0) / classImages[label],
      ),
      imagesPerSecond: found.count / found.seconds,
      latencySeconds: measureLatency(network),
      parameters: params,
      multiplyAdds: multAdds,
    };
  } finally {
    await opened?.source.close();
    network.dispose();
  }
}
