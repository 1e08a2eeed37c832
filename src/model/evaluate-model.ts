// Evaluation of a trained network on a data set: what the command `eval` and the library call.

import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { RandomStream } from "../base/random.js";
import { dataFolder } from "../config/config.js";
import { type Evaluation, evaluate } from "../course/evaluate.js";
import { limited, splitTraining } from "../course/sources.js";
import { type BatchSource, batchShape, openBatchSource, openDataset, prefetch } from "../data/index.js";
import { withoutGradients } from "../engine/autograd.js";
import { Device, setThreads } from "../engine/device.js";
import { scope, Tensor } from "../engine/tensor.js";
import { networkOf } from "../formats/model-file.js";
import type { Network } from "../nn/network.js";
import { countNetwork } from "../space/counts.js";
import { evaluationNetwork } from "../space/space.js";
import type { UsableModel } from "./open-model.js";

export interface EvaluationRequest {
  /** Folder with the images; the one that the model's run was trained on where not given. */
  readonly data?: string;
  /** The test images, the training images as they are, or those that the model's run held out. */
  readonly split: "test" | "train" | "validation";
  readonly batchSize: number;
  readonly limit: number | null;
  /** 0: one per core. */
  readonly threads: number;
  readonly device: string;
  readonly skipBroken: boolean;
}

export interface ModelEvaluation extends Evaluation {
  readonly classes: readonly string[];
  /** Share of each class's images that were classified right, 0..1; null for a class without images. */
  readonly classAccuracy: readonly (number | null)[];
  /** In batches, the forward pass alone. */
  readonly imagesPerSecond: number;
  /** Median over repeated forward passes of one image. */
  readonly latencySeconds: number;
  readonly parameters: number;
  readonly multiplyAdds: number;
}

/** What a run says of its data; files come without. */
const defaults = { data: null, seed: 0, limitTrain: null, validationFraction: 0, imageSize: null } as const;

/**
 * The images to evaluate on, prepared as the model expects them, with its numbers for the classes.
 * @throws IstaError DATA_*, FILE_*, CONFIG_VALUE, USAGE
 */
export async function openEvaluationSource(
  model: UsableModel,
  request: Omit<EvaluationRequest, "threads" | "device">,
): Promise<BatchSource> {
  const { shape, run, normalisation, resizeRatio } = model;
  const config = run === null ? defaults : run.config(run.meta.kind);
  const { seed } = config;
  const dataset = await openDataset(dataFolder(request.data ?? config.data), {
    // Small pictures of one size were taken as they are, padded where need be: the same again for the run's own.
    stream: run === null || config.imageSize !== null || (request.data ?? config.data) !== config.data,
    seed,
    skipBroken: request.skipBroken,
  });
  const heldOut = splitTraining(dataset.train.labels, config).heldOut;
  if (request.split === "validation" && heldOut.length === 0) {
    throw new IstaError(
      "USAGE",
      `--split validation: expected a run that held images out, ${model.path} did not`,
    );
  }
  const part = request.split === "test" ? dataset.test : dataset.train;
  if (part === undefined) {
    throw new IstaError(
      "DATA_EMPTY",
      `eval: expected test images in ${dataset.directory}, it has none; evaluate with --split train or add val/`,
    );
  }
  const labels = labelsOfModel(model, dataset.classes, part.labels, dataset.directory);
  const options = {
    batchSize: request.batchSize,
    seed,
    shuffle: false,
    name: "evaluation",
    indices:
      request.split === "validation"
        ? limitedOf(heldOut, labels, request.limit, seed)
        : limited(labels, request.limit, seed, "limit-test"),
    normalisation,
    size: shape.imageHeight,
    resizeRatio,
    skipBroken: request.skipBroken,
    relabelled: { labels, classes: model.classes },
  };
  const { channels, height, width } = batchShape(dataset, shape.imageHeight);
  if (channels !== shape.inputChannels || height !== shape.imageHeight || width !== shape.imageWidth) {
    throw new IstaError(
      "DATA_SIZE",
      `eval: expected images of ${shape.inputChannels} x ${shape.imageHeight} x ${shape.imageWidth}, got ${channels} x ${height} x ${width} from ${dataset.directory}`,
    );
  }
  return prefetch(openBatchSource(dataset, request.split === "test" ? "test" : "train", options), 2);
}

function limitedOf(indices: Int32Array, labels: Int32Array, limit: number | null, seed: number): Int32Array {
  const own = Int32Array.from(indices, (image) => labels[image]);
  return Int32Array.from(limited(own, limit, seed, "limit-test"), (position) => indices[position]);
}

/** The data set's labels as the model numbers its classes: by name, or one to one where the model has no names. */
function labelsOfModel(
  model: UsableModel,
  names: readonly string[],
  labels: Int32Array,
  directory: string,
): Int32Array {
  const refuse = (what: string): never => {
    throw new IstaError(
      "DATA_CLASSES",
      `eval: expected the classes of the network in ${directory}, ${what}; it knows ${model.classes.length}: ${model.classes.slice(0, 20).join(", ")}`,
    );
  };
  if (!model.classesAreNamed) {
    if (names.length !== model.classes.length) refuse(`there are ${names.length}`);
    return labels;
  }
  const numbers = names.map((name) => model.classes.indexOf(name));
  const unknown = names.filter((_, index) => numbers[index] < 0);
  if (unknown.length > 0) refuse(`it does not know ${unknown.slice(0, 20).join(", ")}`);
  return labels.map((label) => numbers[label]);
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

/** Prepares the engine for using a network. @throws IstaError ENGINE_DEVICE, WEIGHTS_MISMATCH */
export function networkForUse(model: UsableModel, threads: number, device: string): Network {
  const found = Device.named(device);
  setThreads(threads === 0 ? usefulThreads() : threads);
  return networkOf(model, found);
}

/** @throws IstaError DATA_*, FILE_*, CONFIG_VALUE, USAGE, ENGINE_DEVICE, WEIGHTS_MISMATCH */
export async function evaluateModel(
  model: UsableModel,
  request: EvaluationRequest,
  onBatch?: (done: number, total: number) => void,
): Promise<ModelEvaluation> {
  const network = networkForUse(model, request.threads, request.device);
  let source: BatchSource | null = null;
  try {
    source = await openEvaluationSource(model, request);
    const total = source.batchCount;
    const found = (await evaluate(network, source, {
      confusion: true,
      onBatch: (done) => onBatch?.(done, total),
    }))!;
    // Counted with the auxiliary head left out, as everywhere.
    const { params, multAdds } = countNetwork(
      evaluationNetwork(model.architecture, model.shape, model.norms),
    );
    return {
      ...found,
      classes: model.classes,
      classAccuracy: found.confusion.map((row, label) => {
        const images = row.reduce((sum, count) => sum + count, 0);
        return images === 0 ? null : row[label] / images;
      }),
      imagesPerSecond: found.count / found.seconds,
      latencySeconds: measureLatency(network),
      parameters: params,
      multiplyAdds: multAdds,
    };
  } finally {
    await source?.close();
    network.dispose();
  }
}
