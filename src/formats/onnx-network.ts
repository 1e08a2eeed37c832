// An evaluation network as an ONNX graph: batch norms folded into the convolutions before them, the batch size open.
import { packageVersion } from "../base/package.js";
import type { StateDict } from "../nn/parameters.js";
import { intermediateNodeCount } from "../space/darts.js";
import { type CellLayout, type EdgeLayout, networkLayout } from "../space/layout.js";
import { type ModelDescription, modelMetadata, usableNetwork } from "./model-file.js";
import {
  type AttributeValue,
  encodeOnnx,
  type OnnxConstant,
  type OnnxNode,
  type OnnxValue,
} from "./onnx-file.js";

/** Of every batch norm, as in training. */
const epsilon = 1e-5;
/** ONNX's "to the end" of a slice. */
const largest = 2n ** 63n - 1n;

export const outputName = "logits";

/** BN(x) = factor * x + shift with the running statistics, in double precision. */
interface AffineMap {
  readonly factor: Float64Array;
  readonly shift: Float64Array;
}

/** What a convolution does besides its kernel's size, which the weights tell. */
interface ConvolutionOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  /** A group for each channel; all other convolutions of the space are dense. */
  readonly depthwise?: boolean;
}

/** Adds nodes to a graph one after another; values are known by their names. */
class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly constants = new Map<string, OnnxConstant>();
  /** Several operations begin with the rectified output of one node; it is computed once. */
  private readonly rectified = new Map<string, string>();

  constructor(private readonly weights: StateDict) {}

  add(
    operator: string,
    inputs: readonly string[],
    output: string,
    attributes: Record<string, AttributeValue> = {},
  ): string {
    this.nodes.push({ operator, inputs, output, attributes });
    return output;
  }

  constant(name: string, shape: readonly number[], data: Float32Array | BigInt64Array): string {
    this.constants.set(name, { shape, data });
    return name;
  }

  private floats(name: string): Float32Array {
    return this.weights.get(name)!.data as Float32Array;
  }

  has(name: string): boolean {
    return this.weights.has(name);
  }

  relu(input: string): string {
    const known = this.rectified.get(input) ?? this.add("Relu", [input], `${input}/relu`);
    this.rectified.set(input, known);
    return known;
  }

  private affineMap(norm: string): AffineMap {
    const mean = this.floats(`${norm}.running_mean`);
    const variance = this.floats(`${norm}.running_var`);
    const gamma = this.has(`${norm}.weight`) ? this.floats(`${norm}.weight`) : null;
    const beta = this.has(`${norm}.bias`) ? this.floats(`${norm}.bias`) : null;
    const factor = Float64Array.from(variance, (value, i) => (gamma?.[i] ?? 1) / Math.sqrt(value + epsilon));
    const shift = factor.map((value, i) => (beta?.[i] ?? 0) - mean[i] * value);
    return { factor, shift };
  }

  /** A convolution, with the batch norm behind it folded in where one is named: from channel `first` of the norm on. */
  convolution(
    input: string,
    name: string,
    { stride = 1, padding = 0, dilation = 1, depthwise = false }: ConvolutionOptions,
    norm?: string,
    first = 0,
  ): string {
    const { shape, data } = this.weights.get(`${name}.weight`)!;
    const [outputs, , height, width] = shape;
    const size = data.length / outputs;
    let folded = data as Float32Array;
    const inputs = [input, `${name}.weight`];
    if (norm !== undefined) {
      const { factor, shift } = this.affineMap(norm);
      folded = folded.map((value, i) => value * factor[first + Math.floor(i / size)]);
      const bias = Float32Array.from(shift.subarray(first, first + outputs));
      inputs.push(this.constant(`${name}.bias`, [outputs], bias));
    }
    this.constant(`${name}.weight`, shape, folded);
    return this.add("Conv", inputs, name, {
      kernel_shape: [height, width],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [dilation, dilation],
      group: depthwise ? outputs : 1,
    });
  }

  /** A batch norm with no convolution before it. */
  norm(input: string, norm: string): string {
    const { factor, shift } = this.affineMap(norm);
    const shape = [factor.length, 1, 1];
    const scaled = this.add(
      "Mul",
      [input, this.constant(`${norm}.factor`, shape, Float32Array.from(factor))],
      `${norm}/scaled`,
    );
    return this.add("Add", [scaled, this.constant(`${norm}.shift`, shape, Float32Array.from(shift))], norm);
  }

  /** ReLU, two 1x1 convolutions of stride 2, the second on the features shifted by one pixel, concatenated. */
  factorizedReduce(input: string, prefix: string): string {
    const rectified = this.relu(input);
    for (const [name, values] of [
      ["shift/starts", [1n, 1n]],
      ["shift/ends", [largest, largest]],
      ["shift/axes", [2n, 3n]],
    ] as const)
      this.constant(name, [2], BigInt64Array.from(values));
    const shifted = this.add(
      "Slice",
      [rectified, "shift/starts", "shift/ends", "shift/axes"],
      `${prefix}/shifted`,
    );
    const half = this.floats(`${prefix}.bn.running_mean`).length / 2;
    const halves = [
      this.convolution(rectified, `${prefix}.conv_1`, { stride: 2 }, `${prefix}.bn`),
      this.convolution(shifted, `${prefix}.conv_2`, { stride: 2 }, `${prefix}.bn`, half),
    ];
    return this.add("Concat", halves, prefix, { axis: 1 });
  }

  /** ReLU, depthwise and pointwise convolution, batch norm, at positions `position` and following of a sequence. */
  separable(input: string, prefix: string, position: number, options: ConvolutionOptions): string {
    const spatial = this.convolution(this.relu(input), `${prefix}.op.${position}`, {
      ...options,
      depthwise: true,
    });
    return this.convolution(spatial, `${prefix}.op.${position + 1}`, {}, `${prefix}.op.${position + 2}`);
  }

  operation(input: string, { operation, stride, name }: EdgeLayout): string {
    const kernel = operation.endsWith("5x5") ? 5 : 3;
    switch (operation) {
      case "max_pool_3x3":
      case "avg_pool_3x3": {
        const pool = { kernel_shape: [3, 3], strides: [stride, stride], pads: [1, 1, 1, 1] };
        const pooled =
          operation === "max_pool_3x3"
            ? this.add("MaxPool", [input], `${name}/pool`, pool)
            : this.add("AveragePool", [input], `${name}/pool`, { ...pool, count_include_pad: 0 });
        return this.has(`${name}.1.running_mean`) ? this.norm(pooled, `${name}.1`) : pooled;
      }
      case "skip_connect":
        if (stride === 2) return this.factorizedReduce(input, name);
        return this.has(`${name}.1.running_mean`) ? this.norm(input, `${name}.1`) : input;
      case "sep_conv_3x3":
      case "sep_conv_5x5": {
        const padding = (kernel - 1) / 2;
        const first = this.separable(input, name, 1, { stride, padding });
        return this.separable(first, name, 5, { padding });
      }
      case "dil_conv_3x3":
      case "dil_conv_5x5":
        return this.separable(input, name, 1, { stride, padding: kernel - 1, dilation: 2 });
    }
  }

  cell(layout: CellLayout, older: string, newer: string): string {
    const prefix = `cells.${layout.index}`;
    const preprocess = (input: string, number: 0 | 1): string => {
      const name = `${prefix}.preprocess${number}`;
      return number === 0 && layout.reductionPrevious
        ? this.factorizedReduce(input, name)
        : this.convolution(this.relu(input), `${name}.op.1`, {}, `${name}.op.2`);
    };
    const states = [preprocess(older, 0), preprocess(newer, 1)];
    for (let node = 0; node < intermediateNodeCount; node++) {
      const terms = layout.edges
        .filter((edge) => edge.node === node)
        .map((edge) => this.operation(states[edge.predecessor], edge));
      states.push(this.add("Add", terms, `${prefix}/node${node + 2}`));
    }
    return this.add("Concat", states.slice(2), prefix, { axis: 1 });
  }
}

function addStem(graph: GraphBuilder, images: string, stem: "cifar" | "imagenet"): [string, string] {
  const padding = 1;
  if (stem === "cifar") {
    const features = graph.convolution(images, "stem.0", { padding }, "stem.1");
    return [features, features];
  }
  const stride = 2;
  const half = graph.convolution(images, "stem0.0", { stride, padding }, "stem0.1");
  const quarter = graph.convolution(graph.relu(half), "stem0.3", { stride, padding }, "stem0.4");
  return [quarter, graph.convolution(graph.relu(quarter), "stem1.1", { stride, padding }, "stem1.2")];
}

/** Bytes 0..255 to normalised values: x / 255, minus mean, by standard deviation. */
function addNormalisation(graph: GraphBuilder, pixels: string, { normalisation }: ModelDescription): string {
  const { mean, std } = normalisation;
  const shape = [mean.length, 1, 1];
  const factor = Float32Array.from(std, (value) => 1 / (255 * value));
  const shift = Float32Array.from(mean, (value, channel) => -value / std[channel]);
  const floats = graph.add("Cast", [pixels], "normalisation/floats", { to: 1 });
  const scaled = graph.add(
    "Mul",
    [floats, graph.constant("normalisation/factor", shape, factor)],
    "normalisation/scaled",
  );
  return graph.add(
    "Add",
    [scaled, graph.constant("normalisation/shift", shape, shift)],
    "normalisation/images",
  );
}

export interface OnnxOptions {
  /**
   * Input `pixels`, uint8 [batch, C, H, W], bytes as picture decoders give them; the graph normalises. Without it the
   * input is `images`, float32 [batch, C, H, W], already normalised.
   */
  readonly withNormalisation: boolean;
}

/** The input that the graph has. */
export function onnxInput({ shape }: ModelDescription, { withNormalisation }: OnnxOptions): OnnxValue {
  return {
    name: withNormalisation ? "pixels" : "images",
    elementType: withNormalisation ? "uint8" : "float32",
    shape: ["batch", shape.inputChannels, shape.imageHeight, shape.imageWidth],
  };
}

/**
 * The bytes of an ONNX file (operator set 17) that computes the network's logits [batch, classes]. Its metadata describe
 * the network as model files do. The weights must be those of the description (networkOf checks that).
 */
export function onnxOfNetwork(model: ModelDescription, weights: StateDict, options: OnnxOptions): Uint8Array {
  const description = usableNetwork(model);
  const layout = networkLayout(description);
  const graph = new GraphBuilder(weights);
  const input = onnxInput(model, options);
  const images = options.withNormalisation ? addNormalisation(graph, input.name, model) : input.name;
  let [older, newer] = addStem(graph, images, model.shape.stem);
  for (const cell of layout.cells) [older, newer] = [newer, graph.cell(cell, older, newer)];
  const pooled = graph.add("GlobalAveragePool", [newer], "pooled");
  const features = graph.add("Flatten", [pooled], "features", { axis: 1 });
  const classifier = ["weight", "bias"].map((part) => {
    const { shape, data } = weights.get(`classifier.${part}`)!;
    return graph.constant(`classifier.${part}`, shape, data);
  });
  graph.add("Gemm", [features, ...classifier], outputName, { transB: 1 });
  return encodeOnnx({
    name: "ista-nas",
    nodes: graph.nodes,
    constants: graph.constants,
    input,
    output: { name: outputName, elementType: "float32", shape: ["batch", model.classes.length] },
    metadata: { ...modelMetadata(model), ...(options.withNormalisation ? { pixels: "0..255" } : {}) },
    producer: ["ista-nas", packageVersion],
  });
}
