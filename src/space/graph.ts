// A network as a graph of layers: what execution, counting, memory estimates, ONNX and state dicts read.

export interface FeatureSize {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Index of a layer, and so of its result. */
export type Value = number;

/** Where in the network a layer is. */
export interface Place {
  readonly part: "stem" | "cell" | "auxiliary" | "classifier";
  /** Index of the cell, and what kind of cell it is, such as "reduction". */
  readonly cell?: number;
  readonly cellType?: string;
  /** Of a layer that belongs to a kept candidate: the choice and the candidate. */
  readonly choice?: number;
  readonly candidate?: number;
  /** Of a layer that belongs to one term of a sum: the prefix of the names of the term's tensors. */
  readonly branch?: string;
}

interface LayerBase {
  readonly inputs: readonly Value[];
  /** Of a linear layer and of global pooling, height and width are 1. */
  readonly output: FeatureSize;
  readonly place: Place;
  /** State-dict name of a layer with weights; otherwise a word for messages. */
  readonly name: string;
}

export interface Convolution extends LayerBase {
  /** Without bias. */
  readonly kind: "convolution";
  readonly inputChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly groups: number;
}

export interface Norm extends LayerBase {
  /** Batch norm. */
  readonly kind: "norm";
  readonly affine: boolean;
}

export interface Linear extends LayerBase {
  /** With bias, on the flattened features. */
  readonly kind: "linear";
  readonly inputFeatures: number;
}

export interface Pool extends LayerBase {
  readonly kind: "pool";
  /** Padding is not counted in means. */
  readonly pooling: "max" | "average";
  /** [height, width] */
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: number;
}

export interface Scale extends LayerBase {
  /** Times entry `index` of the vector of this name that the forward pass is given; as it is where none is given. */
  readonly kind: "scale";
  readonly vector: string;
  readonly index: number;
}

export interface Slice extends LayerBase {
  /** The channels from `from` up to, not including, `to`. */
  readonly kind: "slice";
  readonly from: number;
  readonly to: number;
}

export interface Shuffle extends LayerBase {
  /** Channels of several groups, taken in turn from each. */
  readonly kind: "shuffle";
  readonly groups: number;
}

export interface SimpleLayer extends LayerBase {
  /**
   * shift: one pixel up and left, an odd side filled up with zeros. zeros: as large as the input. drop-path: zero for some samples
   * of a training batch. global-pool: the mean of every channel.
   */
  readonly kind: "images" | "relu" | "shift" | "zeros" | "add" | "concatenate" | "drop-path" | "global-pool";
}

export type Layer = Convolution | Norm | Linear | Pool | Scale | Slice | Shuffle | SimpleLayer;
export type LayerWithWeights = Convolution | Norm | Linear;

export interface Graph {
  /** Every layer after its inputs; layer 0 is the images. */
  readonly layers: readonly Layer[];
  readonly logits: Value;
  readonly auxiliaryLogits: Value | null;
}

export const hasWeights = (layer: Layer): layer is LayerWithWeights =>
  layer.kind === "convolution" || layer.kind === "norm" || layer.kind === "linear";

const partOrder: readonly Place["part"][] = ["stem", "cell", "auxiliary", "classifier"];

/** The layers with weights, in the order of the modules: an auxiliary head comes after all cells. */
export const layersWithWeights = ({ layers }: Graph): LayerWithWeights[] =>
  layers.filter(hasWeights).sort((a, b) => partOrder.indexOf(a.place.part) - partOrder.indexOf(b.place.part));

export interface ConvolutionOptions {
  readonly kernel?: number;
  readonly stride?: number;
  readonly dilation?: number;
  /** Default: what keeps the size at stride 1. */
  readonly padding?: number;
  /** Every channel for itself. */
  readonly depthwise?: boolean;
}

type New<T> = T extends Layer ? Omit<T, "place" | "inputs" | "output" | "name"> : never;

/** Adds layers to a graph one after another. */
export class GraphBuilder {
  readonly layers: Layer[] = [];
  private place: Place = { part: "stem" };
  private readonly rectified = new Map<Value, Value>();

  constructor(images: FeatureSize) {
    this.push({ kind: "images" }, [], images, "images");
  }

  /** The images. */
  readonly images: Value = 0;

  private push(layer: New<Layer>, inputs: readonly Value[], output: FeatureSize, name: string): Value {
    this.layers.push({ ...layer, inputs, output, name, place: this.place } as Layer);
    return this.layers.length - 1;
  }

  size(value: Value): FeatureSize {
    return this.layers[value].output;
  }

  /** Layers that `build` adds are at this place. */
  within<T>(place: Place, build: () => T): T {
    const around = this.place;
    this.place = place;
    try {
      return build();
    } finally {
      this.place = around;
    }
  }

  /** The same, for the layers of one term of a sum, which may be a kept candidate of a choice. */
  branch<T>(prefix: string, build: () => T, of: Pick<Place, "choice" | "candidate"> = {}): T {
    return this.within({ ...this.place, ...of, branch: prefix }, build);
  }

  convolution(input: Value, name: string, channels: number, options: ConvolutionOptions = {}): Value {
    const { kernel = 1, stride = 1, dilation = 1, depthwise = false } = options;
    const padding = options.padding ?? (dilation * (kernel - 1)) / 2;
    const { channels: inputChannels, height, width } = this.size(input);
    const side = (size: number): number =>
      Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
    const groups = depthwise ? inputChannels : 1;
    const output = { channels, height: side(height), width: side(width) };
    return this.push(
      { kind: "convolution", inputChannels, kernel, stride, padding, dilation, groups },
      [input],
      output,
      name,
    );
  }

  norm(input: Value, name: string, affine = true): Value {
    return this.push({ kind: "norm", affine }, [input], this.size(input), name);
  }

  /** Once for each input: several operations begin with it. */
  relu(input: Value): Value {
    const known = this.rectified.get(input);
    if (known !== undefined) return known;
    const made = this.push({ kind: "relu" }, [input], this.size(input), "relu");
    this.rectified.set(input, made);
    return made;
  }

  pool(
    input: Value,
    pooling: Pool["pooling"],
    kernel: readonly [number, number],
    stride: readonly [number, number],
    padding = 0,
  ): Value {
    const { channels, height, width } = this.size(input);
    const side = (size: number, axis: 0 | 1): number =>
      Math.floor((size + 2 * padding - kernel[axis]) / stride[axis]) + 1;
    const output = { channels, height: side(height, 0), width: side(width, 1) };
    return this.push({ kind: "pool", pooling, kernel, stride, padding }, [input], output, `${pooling} pool`);
  }

  zeros(input: Value): Value {
    return this.push({ kind: "zeros" }, [input], this.size(input), "zeros");
  }

  add(inputs: readonly Value[], name: string): Value {
    return this.push({ kind: "add" }, inputs, this.size(inputs[0]), name);
  }

  concatenate(inputs: readonly Value[], name: string): Value {
    const channels = inputs.reduce((sum, input) => sum + this.size(input).channels, 0);
    return this.push({ kind: "concatenate" }, inputs, { ...this.size(inputs[0]), channels }, name);
  }

  scale(input: Value, vector: string, index: number): Value {
    return this.push({ kind: "scale", vector, index }, [input], this.size(input), `${vector}[${index}]`);
  }

  dropPath(input: Value): Value {
    return this.push({ kind: "drop-path" }, [input], this.size(input), "drop-path");
  }

  slice(input: Value, from: number, to: number): Value {
    return this.push(
      { kind: "slice", from, to },
      [input],
      { ...this.size(input), channels: to - from },
      "slice",
    );
  }

  shuffle(input: Value, groups: number): Value {
    return this.push({ kind: "shuffle", groups }, [input], this.size(input), "shuffle");
  }

  linear(input: Value, name: string, outputs: number): Value {
    const { channels, height, width } = this.size(input);
    const output = { channels: outputs, height: 1, width: 1 };
    return this.push({ kind: "linear", inputFeatures: channels * height * width }, [input], output, name);
  }

  globalPool(input: Value): Value {
    const output = { channels: this.size(input).channels, height: 1, width: 1 };
    return this.push({ kind: "global-pool" }, [input], output, "global pool");
  }

  /** ReLU, convolution, batch norm, at positions 1 and 2 of a sequence `PREFIX.op`. */
  reluConvNorm(
    input: Value,
    prefix: string,
    channels: number,
    affine: boolean,
    options: ConvolutionOptions = {},
  ): Value {
    const convolved = this.convolution(this.relu(input), `${prefix}.op.1`, channels, options);
    return this.norm(convolved, `${prefix}.op.2`, affine);
  }

  /** ReLU, two 1x1 convolutions of stride 2, the second on the features shifted by one pixel, concatenated, batch norm. */
  factorizedReduce(input: Value, prefix: string, channels: number, affine: boolean): Value {
    const rectified = this.relu(input);
    const { height, width } = this.size(input);
    const odd = { height: height - 1 + (height % 2), width: width - 1 + (width % 2) };
    const shifted = this.push(
      { kind: "shift" },
      [rectified],
      { ...this.size(input), ...odd },
      `${prefix}.shift`,
    );
    const halves = [
      this.convolution(rectified, `${prefix}.conv_1`, channels / 2, { stride: 2 }),
      this.convolution(shifted, `${prefix}.conv_2`, channels / 2, { stride: 2 }),
    ];
    return this.norm(this.concatenate(halves, prefix), `${prefix}.bn`, affine);
  }

  finish(logits: Value, auxiliaryLogits: Value | null = null): Graph {
    return { layers: this.layers, logits, auxiliaryLogits };
  }
}
