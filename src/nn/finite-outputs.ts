// Whether a network from outside gives numbers: weights that are finite one by one can still overflow together.
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { normalisationTables } from "../data/image-set.js";
import type { Normalisation } from "../data/types.js";
import { withoutGradients } from "../engine/autograd.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { Network } from "./network.js";

const probes = ["black", "white", "noise"] as const;
type Probe = (typeof probes)[number];

const hasNumbers = (tensor: Tensor): boolean => tensor.toFloat32Array().every(Number.isFinite);

/**
 * An image [1, C, H, W], normalised: black, white, or noise by a seed.
 * @throws IstaError DATA_SIZE for a normalisation of other channels
 */
function probe({ inputSize, device }: Network, normalisation: Normalisation, kind: Probe): Tensor {
  const { channels, height, width } = inputSize;
  const tables = normalisationTables(normalisation, channels);
  const random = RandomStream.named(0, "finite outputs");
  const area = height * width;
  const pixels = new Float32Array(channels * area);
  for (let i = 0; i < pixels.length; i++) {
    const byte = kind === "noise" ? random.integer(256) : kind === "black" ? 0 : 255;
    pixels[i] = tables[Math.floor(i / area)][byte];
  }
  return device.move(Tensor.from(pixels, [1, channels, height, width]));
}

/**
 * Computes the outputs of a few images, in evaluation mode.
 * @param place where the weights are from
 * @throws IstaError WEIGHTS_NOT_FINITE that names the first layer whose result is not finite, where the outputs are not
 */
export function requireFiniteOutputs(network: Network, normalisation: Normalisation, place: string): void {
  for (const kind of probes)
    withoutGradients(() => scope(() => requireFinite(network, normalisation, kind, place)));
}

function requireFinite(network: Network, normalisation: Normalisation, kind: Probe, place: string): void {
  const image = probe(network, normalisation, kind);
  if (hasNumbers(network.forward(image, { training: false }).logits)) return;
  let first = "the outputs";
  network.forward(image, {
    training: false,
    inspect: (name, result) => {
      if (first === "the outputs" && !hasNumbers(result)) first = name;
    },
  });
  throw new IstaError(
    "WEIGHTS_NOT_FINITE",
    `${place}: expected a network with finite outputs, they overflow from ${first} on: weights or statistics there or before are far too large; take an earlier checkpoint or another file, or train again with a smaller --learning-rate`,
  );
}
