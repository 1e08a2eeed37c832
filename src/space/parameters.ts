// Every layer and every tensor of a network with its state-dict name and shape, from the layout alone.

import type { Primitive } from "./darts.js";
import {
  auxiliaryChannels,
  type CellLayout,
  type EdgeLayout,
  type FeatureSize,
  type NetworkDescription,
  networkLayout,
} from "./layout.js";

/** Which part of a network a layer is in; layers of cells carry the cell's index, those of an edge its node. */
export interface LayerPlace {
  readonly part: "stem" | "cell" | "auxiliary" | "classifier";
  readonly cell?: number;
  readonly edge?: EdgeLayout;
}

/** A convolution without bias, a batch norm, or a linear layer with bias. Nothing else has weights. */
export type Layer = LayerPlace & { readonly name: string } & (
    | {
        readonly kind: "convolution";
        readonly inputChannels: number;
        readonly outputChannels: number;
        readonly kernel: number;
        readonly groups: number;
        readonly outputHeight: number;
        readonly outputWidth: number;
      }
    | { readonly kind: "norm"; readonly channels: number; readonly affine: boolean }
    | { readonly kind: "linear"; readonly inputs: number; readonly outputs: number }
  );

export type ParameterKind =
  | "weight"
  | "bias"
  | "gamma"
  | "beta"
  | "running_mean"
  | "running_var"
  | "num_batches_tracked";

/** A tensor of a network. All are float32 but `num_batches_tracked`, an int64 scalar. */
export interface ParameterEntry extends LayerPlace {
  /** State-dict name, as the PyTorch programs of the DARTS family call it. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: ParameterKind;
}

/** Whether a tensor is trained and counted as parameters; the others are buffers of batch norms. */
export const isTrainable = (kind: ParameterKind): boolean =>
  kind === "weight" || kind === "bias" || kind === "gamma" || kind === "beta";

/** Collects layers that share a place. */
class LayerList {
  readonly layers: Layer[] = [];

  convolution(
    place: LayerPlace,
    name: string,
    inputChannels: number,
    output: FeatureSize,
    kernel: number,
    groups = 1,
  ): void {
    this.layers.push({
      ...place,
      kind: "convolution",
      name,
      inputChannels,
      outputChannels: output.channels,
      kernel,
      groups,
      outputHeight: output.height,
      outputWidth: output.width,
    });
  }

  norm(place: LayerPlace, name: string, channels: number, affine = true): void {
    this.layers.push({ ...place, kind: "norm", name, channels, affine });
  }

  linear(place: LayerPlace, name: string, inputs: number, outputs: number): void {
    this.layers.push({ ...place, kind: "linear", name, inputs, outputs });
  }

  /** Two 1x1 convolutions of stride 2, each to half the channels, then a batch norm. Channels are even wherever one is. */
  factorizedReduce(
    place: LayerPlace,
    prefix: string,
    inputChannels: number,
    output: FeatureSize,
    affine: boolean,
  ): void {
    const half = { ...output, channels: output.channels / 2 };
    this.convolution(place, `${prefix}.conv_1`, inputChannels, half, 1);
    this.convolution(place, `${prefix}.conv_2`, inputChannels, half, 1);
    this.norm(place, `${prefix}.bn`, output.channels, affine);
  }

  /** Depthwise k x k, pointwise 1x1, batch norm, at positions `first` and following of a sequence. */
  separable(
    place: LayerPlace,
    prefix: string,
    first: number,
    output: FeatureSize,
    kernel: number,
    affine: boolean,
  ): void {
    this.convolution(place, `${prefix}.op.${first}`, output.channels, output, kernel, output.channels);
    this.convolution(place, `${prefix}.op.${first + 1}`, output.channels, output, 1);
    this.norm(place, `${prefix}.op.${first + 2}`, output.channels, affine);
  }
}

const kernelOf = (operation: Primitive): number => (operation.endsWith("5x5") ? 5 : 3);

function addStem(list: LayerList, description: NetworkDescription): void {
  const { channels, inputChannels, imageHeight, imageWidth, stem } = description.shape;
  const place: LayerPlace = { part: "stem" };
  const output = (outputChannels: number, divisor: number): FeatureSize => ({
    channels: outputChannels,
    height: imageHeight / divisor,
    width: imageWidth / divisor,
  });
  if (stem === "cifar") {
    list.convolution(place, "stem.0", inputChannels, output(3 * channels, 1), 3);
    list.norm(place, "stem.1", 3 * channels);
    return;
  }
  list.convolution(place, "stem0.0", inputChannels, output(channels / 2, 2), 3);
  list.norm(place, "stem0.1", channels / 2);
  list.convolution(place, "stem0.3", channels / 2, output(channels, 4), 3);
  list.norm(place, "stem0.4", channels);
  list.convolution(place, "stem1.1", channels, output(channels, 8), 3);
  list.norm(place, "stem1.2", channels);
}

function addEdge(list: LayerList, description: NetworkDescription, cell: CellLayout, edge: EdgeLayout): void {
  const place: LayerPlace = { part: "cell", cell: cell.index, edge };
  const { afterPool, afterSkip, affine } = description.norms;
  const output: FeatureSize = { ...cell.output, channels: cell.channels };
  switch (edge.operation) {
    case "max_pool_3x3":
    case "avg_pool_3x3":
      if (afterPool) list.norm(place, `${edge.name}.1`, cell.channels, affine);
      return;
    case "skip_connect":
      if (edge.stride === 2) list.factorizedReduce(place, edge.name, cell.channels, output, affine);
      else if (afterSkip) list.norm(place, `${edge.name}.1`, cell.channels, affine);
      return;
    case "sep_conv_3x3":
    case "sep_conv_5x5":
      list.separable(place, edge.name, 1, output, kernelOf(edge.operation), affine);
      list.separable(place, edge.name, 5, output, kernelOf(edge.operation), affine);
      return;
    case "dil_conv_3x3":
    case "dil_conv_5x5":
      list.separable(place, edge.name, 1, output, kernelOf(edge.operation), affine);
  }
}

function addCell(list: LayerList, description: NetworkDescription, cell: CellLayout): void {
  const place: LayerPlace = { part: "cell", cell: cell.index };
  const { affine } = description.norms;
  const [older, newer] = cell.inputs;
  const prefix = `cells.${cell.index}`;
  // Both inputs come to the newer one's size; the edges of a reduction cell halve it.
  const preprocessed: FeatureSize = { ...newer, channels: cell.channels };
  if (cell.reductionPrevious) {
    list.factorizedReduce(place, `${prefix}.preprocess0`, older.channels, preprocessed, affine);
  } else {
    list.convolution(place, `${prefix}.preprocess0.op.1`, older.channels, preprocessed, 1);
    list.norm(place, `${prefix}.preprocess0.op.2`, cell.channels, affine);
  }
  list.convolution(place, `${prefix}.preprocess1.op.1`, newer.channels, preprocessed, 1);
  list.norm(place, `${prefix}.preprocess1.op.2`, cell.channels, affine);
  for (const edge of cell.edges) addEdge(list, description, cell, edge);
}

/** All layers with weights, in the order of the modules. */
export function layerList(description: NetworkDescription): Layer[] {
  const layout = networkLayout(description);
  const { classes } = description.shape;
  const list = new LayerList();
  addStem(list, description);
  for (const cell of layout.cells) addCell(list, description, cell);
  if (layout.auxiliary) {
    const place: LayerPlace = { part: "auxiliary" };
    const [first, second] = auxiliaryChannels;
    const prefix = "auxiliary_head.features";
    list.convolution(
      place,
      `${prefix}.2`,
      layout.auxiliary.input.channels,
      { channels: first, height: 2, width: 2 },
      1,
    );
    list.norm(place, `${prefix}.3`, first);
    list.convolution(place, `${prefix}.5`, first, { channels: second, height: 1, width: 1 }, 2);
    if (layout.auxiliary.secondNorm) list.norm(place, `${prefix}.6`, second);
    list.linear(place, "auxiliary_head.classifier", second, classes);
  }
  list.linear({ part: "classifier" }, "classifier", layout.classifierInputs, classes);
  return list.layers;
}

/** The tensors of one layer, in state-dict order. */
export function layerParameters(layer: Layer): ParameterEntry[] {
  const { part, cell, edge } = layer;
  const entry = (suffix: string, kind: ParameterKind, shape: readonly number[]): ParameterEntry => ({
    name: `${layer.name}.${suffix}`,
    shape,
    kind,
    part,
    ...(cell === undefined ? {} : { cell }),
    ...(edge === undefined ? {} : { edge }),
  });
  switch (layer.kind) {
    case "convolution": {
      const { outputChannels, inputChannels, groups, kernel } = layer;
      return [entry("weight", "weight", [outputChannels, inputChannels / groups, kernel, kernel])];
    }
    case "norm": {
      const shape = [layer.channels];
      return [
        ...(layer.affine ? [entry("weight", "gamma", shape), entry("bias", "beta", shape)] : []),
        entry("running_mean", "running_mean", shape),
        entry("running_var", "running_var", shape),
        entry("num_batches_tracked", "num_batches_tracked", []),
      ];
    }
    case "linear":
      return [
        entry("weight", "weight", [layer.outputs, layer.inputs]),
        entry("bias", "bias", [layer.outputs]),
      ];
  }
}

/** Every tensor of a network, parameters and buffers, in state-dict order. */
export function parameterList(description: NetworkDescription): ParameterEntry[] {
  return layerList(description).flatMap(layerParameters);
}
