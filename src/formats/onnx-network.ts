// An evaluation network as an ONNX graph: batch norms folded into the convolutions before them, the batch size open.
import { packageVersion } from "../base/package.js";
import type { StateDict } from "../nn/tensor-store.js";
import type { Convolution, Graph, Layer, Norm, Value } from "../space/graph.js";
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

/** Adds nodes to a graph one after another; values are known by their names. */
class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly constants = new Map<string, OnnxConstant>();
  private readonly rectified = new Set<string>();

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
  convolution(input: string, layer: Convolution, norm?: string, first = 0): string {
    const { name, kernel, stride, padding, dilation, groups } = layer;
    const { shape, data } = this.weights.get(`${name}.weight`)!;
    const [outputs] = shape;
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
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [dilation, dilation],
      group: groups,
    });
  }

  linear(input: string, name: string, output: string): string {
    const constants = ["weight", "bias"].map((part) => {
      const { shape, data } = this.weights.get(`${name}.${part}`)!;
      return this.constant(`${name}.${part}`, shape, data);
    });
    return this.add("Gemm", [input, ...constants], output, { transB: 1 });
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

  /** Once for each input: a node that passes another one on has its name. */
  relu(input: string): string {
    const output = `${input}/relu`;
    if (this.rectified.has(output)) return output;
    this.rectified.add(output);
    return this.add("Relu", [input], output);
  }

  /** The features without their first row and column. */
  shift(input: string, output: string): string {
    for (const [name, values] of [
      ["shift/starts", [1n, 1n]],
      ["shift/ends", [largest, largest]],
      ["shift/axes", [2n, 3n]],
    ] as const)
      this.constant(name, [2], BigInt64Array.from(values));
    return this.add("Slice", [input, "shift/starts", "shift/ends", "shift/axes"], output);
  }
}

/** Translates a graph layer by layer; every result gets the name of its layer. */
class Translation {
  private readonly names = new Map<Value, string>();
  private readonly readers: Uint32Array;

  constructor(
    private readonly graph: Graph,
    private readonly builder: GraphBuilder,
    images: string,
  ) {
    this.names.set(0, images);
    this.readers = new Uint32Array(graph.layers.length);
    for (const { inputs } of graph.layers) for (const input of inputs) this.readers[input] += 1;
  }

  /** The name of a value, which is translated first if it was not yet. */
  name(value: Value): string {
    const known = this.names.get(value);
    if (known !== undefined) return known;
    const made = this.translate(value, this.graph.layers[value]);
    this.names.set(value, made);
    return made;
  }

  /** The layer of a value that nothing else reads, where it is a convolution. */
  private onlyConvolution(value: Value): Convolution | null {
    const layer = this.graph.layers[value];
    return layer.kind === "convolution" && this.readers[value] === 1 ? layer : null;
  }

  private translate(value: Value, layer: Layer): string {
    const { builder } = this;
    const [first] = layer.inputs;
    /** Names of what has no weights: after what it reads. */
    const output = `${layer.place.branch ?? layer.name}/${layer.kind}-${value}`;
    switch (layer.kind) {
      case "norm":
        return this.norm(layer);
      case "convolution":
        return builder.convolution(this.name(first), layer);
      case "relu":
        return builder.relu(this.name(first));
      case "pool": {
        const { pooling, kernel, stride, padding } = layer;
        const window = {
          kernel_shape: kernel,
          strides: stride,
          pads: [padding, padding, padding, padding],
        };
        return pooling === "max"
          ? builder.add("MaxPool", [this.name(first)], output, window)
          : builder.add("AveragePool", [this.name(first)], output, { ...window, count_include_pad: 0 });
      }
      case "shift":
        return builder.shift(this.name(first), output);
      case "zeros":
        return builder.add(
          "Mul",
          [this.name(first), builder.constant("zero", [1], Float32Array.of(0))],
          output,
        );
      case "add":
        return this.sum(layer, output);
      case "concatenate": {
        const parts = layer.inputs.map((input) => this.name(input));
        return builder.add("Concat", parts, layer.name, { axis: 1 });
      }
      // Without training and weights of candidates, these pass on what they are given.
      case "drop-path":
      case "scale":
        return this.name(first);
      case "global-pool":
        return builder.add("GlobalAveragePool", [this.name(first)], "pooled");
      case "linear": {
        const features = builder.add("Flatten", [this.name(first)], "features", { axis: 1 });
        return builder.linear(features, layer.name, outputName);
      }
      default:
        throw new TypeError(`ONNX: no translation of a layer ${layer.kind}`);
    }
  }

  /** Zeros add nothing; of two terms and more one sum after the other. */
  private sum({ inputs, name }: Layer, output: string): string {
    const terms = inputs.filter((input) => this.graph.layers[input].kind !== "zeros");
    if (terms.length === 0) return this.name(inputs[0]);
    const [first, ...rest] = terms.map((term) => this.name(term));
    return rest.reduce(
      (sum, term, index) =>
        this.builder.add("Add", [sum, term], index === rest.length - 1 ? name : `${output}/${index}`),
      first,
    );
  }

  /** Folded into the convolution before it, or into the two of a concatenation. */
  private norm(layer: Norm): string {
    const { builder, graph } = this;
    const [before] = layer.inputs;
    const convolution = this.onlyConvolution(before);
    if (convolution !== null)
      return builder.convolution(this.name(convolution.inputs[0]), convolution, layer.name);
    const joined = graph.layers[before];
    if (joined.kind === "concatenate" && this.readers[before] === 1) {
      const parts = joined.inputs.map((input) => this.onlyConvolution(input));
      if (parts.every((part) => part !== null)) {
        let channel = 0;
        const names = parts.map((part) => {
          const name = builder.convolution(this.name(part.inputs[0]), part, layer.name, channel);
          channel += part.output.channels;
          return name;
        });
        return builder.add("Concat", names, joined.name, { axis: 1 });
      }
    }
    return builder.norm(this.name(before), layer.name);
  }
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
  const graph = new GraphBuilder(weights);
  const input = onnxInput(model, options);
  const images = options.withNormalisation ? addNormalisation(graph, input.name, model) : input.name;
  const network = description.space.graph(description);
  new Translation(network, graph, images).name(network.logits);
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
