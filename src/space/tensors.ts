// Every tensor of a network with its state-dict name and shape, from the graph alone.
import { type Layer, type LayerWithWeights, layersWithWeights, type Place } from "./graph.js";
import type { NetworkDescription } from "./space.js";

export type TensorKind =
  | "weight"
  | "bias"
  | "gamma"
  | "beta"
  | "running_mean"
  | "running_var"
  | "num_batches_tracked";

/** A tensor of a network. All are float32 but `num_batches_tracked`, an int64 scalar. */
export interface TensorEntry {
  /** State-dict name, as the PyTorch programs of the space's family call it. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: TensorKind;
  readonly place: Place;
}

/** Whether a tensor is trained and counted as parameters; the others are buffers of batch norms. */
export const isTrainable = (kind: TensorKind): boolean =>
  kind === "weight" || kind === "bias" || kind === "gamma" || kind === "beta";

/** The tensors of one layer, in state-dict order. */
export function layerTensors(layer: LayerWithWeights): TensorEntry[] {
  const { place } = layer;
  const entry = (suffix: string, kind: TensorKind, shape: readonly number[]): TensorEntry => ({
    name: `${layer.name}.${suffix}`,
    shape,
    kind,
    place,
  });
  const { channels } = layer.output;
  switch (layer.kind) {
    case "convolution": {
      const { inputChannels, groups, kernel } = layer;
      return [entry("weight", "weight", [channels, inputChannels / groups, kernel, kernel])];
    }
    case "norm":
      return [
        ...(layer.affine ? [entry("weight", "gamma", [channels]), entry("bias", "beta", [channels])] : []),
        entry("running_mean", "running_mean", [channels]),
        entry("running_var", "running_var", [channels]),
        entry("num_batches_tracked", "num_batches_tracked", []),
      ];
    case "linear":
      return [entry("weight", "weight", [channels, layer.inputFeatures]), entry("bias", "bias", [channels])];
  }
}

/** Every tensor of a network, parameters and buffers, in state-dict order. */
export function tensorList(network: NetworkDescription): TensorEntry[] {
  return layersWithWeights(network.space.graph(network)).flatMap(layerTensors);
}

/** The last batch norm of every kept candidate that has one: what its weight can be folded into. */
export function endingNorms(layers: readonly Layer[]): ReadonlySet<Layer> {
  const last = new Map<string, Layer>();
  for (const layer of layers) {
    const { choice, branch } = layer.place;
    if (layer.kind === "norm" && choice !== undefined && branch !== undefined) last.set(branch, layer);
  }
  return new Set(last.values());
}
