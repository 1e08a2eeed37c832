// Predictions of a trained network for picture files.
import { IstaError } from "../base/errors.js";
import { imagesTogether } from "../course/memory.js";
import { decodeImage } from "../data/index.js";
import { withoutGradients } from "../engine/autograd.js";
import { scope, Tensor } from "../engine/tensor.js";
import { usableNetwork } from "../formats/model-file.js";
import type { Network } from "../nn/network.js";
import { networkForUse, requireFinite } from "./evaluate-model.js";
import { pictureRecipe, type UsableModel } from "./open-model.js";

export interface Prediction {
  readonly picture: string;
  /** The most probable classes, first the most probable one. */
  readonly classes: readonly { readonly name: string; readonly probability: number }[];
}

export interface PredictionOptions {
  /** Classes for each picture, at most. */
  readonly top: number;
  /** 0: one per core. */
  readonly threads: number;
  readonly device: string;
  /** Told of pictures that cannot be read, which are left out then; without it the first one is thrown. */
  readonly onBroken?: (picture: string, error: IstaError) => void;
  /** Told how many pictures are behind. */
  readonly onBatch?: (done: number) => void;
}

/** Pictures that go through the network together, at most. */
const largestBatch = 16;

/** Logits [N, classes], row-major, of normalised images [N, C, H, W]. */
export function logitsOf(network: Network, images: Float32Array): Float32Array {
  const { channels, height, width } = network.inputSize;
  const count = images.length / (channels * height * width);
  return withoutGradients(() =>
    scope(() => {
      const onCpu = Tensor.from(images, [count, channels, height, width]);
      const tensor = network.device.move(onCpu);
      return network.forward(tensor, { training: false }).logits.toFloat32Array();
    }),
  );
}

/** Probabilities of one row of logits. */
export function softmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/**
 * Classifies pictures, each prepared as the model's test images were.
 * @throws IstaError DATA_PICTURE, DATA_LIMIT, FILE_* that name the picture; ENGINE_DEVICE, WEIGHTS_MISMATCH, WEIGHTS_NOT_FINITE, MODEL_FILE
 */
export async function predictPictures(
  model: UsableModel,
  pictures: readonly string[],
  { top, threads, device, onBroken, onBatch }: PredictionOptions,
): Promise<Prediction[]> {
  const recipe = pictureRecipe(model);
  const batchSize = imagesTogether(usableNetwork(model), largestBatch);
  const network = networkForUse(model, threads, device, batchSize);
  const predictions: Prediction[] = [];
  try {
    for (let start = 0; start < pictures.length; start += batchSize) {
      const wanted = pictures.slice(start, start + batchSize);
      const settled = await Promise.allSettled(wanted.map((name) => decodeImage(name, recipe)));
      for (const [index, one] of settled.entries()) {
        if (one.status === "fulfilled") continue;
        if (onBroken === undefined || !(one.reason instanceof IstaError)) throw one.reason;
        onBroken(wanted[index], one.reason);
      }
      onBatch?.(start + wanted.length);
      const decoded = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      if (decoded.length === 0) continue;
      const names = wanted.filter((_, index) => settled[index].status === "fulfilled");
      const values = decoded[0].length;
      const images = new Float32Array(names.length * values);
      for (const [index, image] of decoded.entries()) images.set(image, index * values);
      const logits = logitsOf(network, images);
      const classes = model.classes.length;
      for (const [index, picture] of names.entries()) {
        const row = logits.subarray(index * classes, (index + 1) * classes);
        requireFinite(row, model, picture);
        const probabilities = softmax(row);
        const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
        predictions.push({
          picture,
          classes: order
            .slice(0, top)
            .map((label) => ({ name: model.classes[label], probability: probabilities[label] })),
        });
      }
    }
  } finally {
    network.dispose();
  }
  return predictions;
}
