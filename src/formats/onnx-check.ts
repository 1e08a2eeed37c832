// The check of an ONNX file before it is believed: onnxruntime must compute what the engine computes.
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { withoutGradients } from "../engine/autograd.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { StateDict } from "../nn/tensor-store.js";
import { type ModelDescription, networkOf } from "./model-file.js";
import { type OnnxOptions, onnxInput, outputName } from "./onnx-network.js";
import { loadOnnxRuntime } from "./onnx-runtime.js";

/** Largest difference of a logit that is accepted, as a share of the largest logit (or of 1, if that is larger). */
export const onnxTolerance = 1e-4;

/** Images as planar bytes, one after another. */
export interface CheckImages {
  readonly pixels: Uint8Array;
  readonly count: number;
}

/** Images of smooth random colours, where there are no real ones. */
export function seededImages({ shape }: ModelDescription, count: number): CheckImages {
  const { inputChannels, imageHeight, imageWidth } = shape;
  const random = RandomStream.named(0, "onnx-check");
  const pixels = new Uint8Array(count * inputChannels * imageHeight * imageWidth);
  for (let at = 0; at < pixels.length; ) {
    const [level, steepness] = [random.integer(256), 8 * (random.uniform() - 0.5)];
    for (let x = 0; x < imageWidth; x++)
      pixels[at++] = Math.min(255, Math.max(0, level + steepness * x + 16 * random.normal()));
  }
  return { pixels, count };
}

/** The bytes as the network takes them. */
function normalised({ pixels, count }: CheckImages, { normalisation }: ModelDescription): Float32Array {
  const { mean, std } = normalisation;
  const area = pixels.length / (count * mean.length);
  return Float32Array.from(pixels, (value, i) => {
    const channel = Math.floor(i / area) % mean.length;
    return (value / 255 - mean[channel]) / std[channel];
  });
}

export interface OnnxCheck {
  readonly images: number;
  /** Largest difference of a logit, as a share of the largest logit or of 1. */
  readonly largestDifference: number;
}

/**
 * Runs the file with onnxruntime on the images, all at once and the first one alone, beside the engine.
 * @throws IstaError EXPORT_MISMATCH where they differ by more than the tolerance, WEIGHTS_MISMATCH
 */
export async function checkOnnx(
  bytes: Uint8Array,
  model: ModelDescription & { readonly weights: StateDict },
  images: CheckImages,
  options: OnnxOptions,
): Promise<OnnxCheck> {
  const input = onnxInput(model, options);
  const [, channels, height, width] = input.shape as number[];
  const values = normalised(images, model);
  const network = networkOf(model);
  let expected: Float32Array;
  try {
    expected = withoutGradients(() =>
      scope(() => {
        const batch = Tensor.from(values, [images.count, channels, height, width]);
        return network.forward(batch, { training: false }).logits.toFloat32Array();
      }),
    );
  } finally {
    network.dispose();
  }
  const runtime = loadOnnxRuntime();
  // Warnings of the runtime's own optimiser are none of the user's business.
  const session = await runtime.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  try {
    const scale = Math.max(1, ...expected.map(Math.abs));
    let largestDifference = 0;
    for (const count of new Set([images.count, 1])) {
      const length = count * channels * height * width;
      const shape = [count, channels, height, width];
      const tensor = options.withNormalisation
        ? new runtime.Tensor("uint8", images.pixels.slice(0, length), shape)
        : new runtime.Tensor("float32", values.slice(0, length), shape);
      const results = await session.run({ [input.name]: tensor });
      const logits = results[outputName].data as Float32Array;
      for (const [i, logit] of logits.entries()) {
        const difference = Math.abs(logit - expected[i]) / scale;
        largestDifference = Number.isNaN(difference)
          ? Number.POSITIVE_INFINITY
          : Math.max(largestDifference, difference);
      }
    }
    if (largestDifference > onnxTolerance) {
      throw new IstaError(
        "EXPORT_MISMATCH",
        `export: expected onnxruntime to compute the network's logits to ${onnxTolerance}, they differ by ${largestDifference}; nothing was written; weights that are not finite give this, else please report it`,
      );
    }
    return { images: images.count, largestDifference };
  } finally {
    await session.release();
  }
}
