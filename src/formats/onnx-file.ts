// The part of the ONNX file format that networks need, as protobuf messages.
import { messageTypes } from "./protobuf.js";

/** Version of the operators' definitions (ONNX 1.12), and of the file format that came with it. */
export const operatorSetVersion = 17;
const formatVersion = 8;

/** Element types of tensors (TensorProto.DataType). */
export const elementTypes = { float32: 1, uint8: 2, int64: 7 } as const;

/** Fields by message, with the numbers of the published onnx.proto. */
const root = messageTypes({
  Model: {
    irVersion: [1, "int64"],
    producerName: [2, "string"],
    producerVersion: [3, "string"],
    graph: [7, "Graph"],
    opsetImport: [8, "OperatorSet", "repeated"],
    metadataProps: [14, "StringEntry", "repeated"],
  },
  OperatorSet: { domain: [1, "string"], version: [2, "int64"] },
  StringEntry: { key: [1, "string"], value: [2, "string"] },
  Graph: {
    node: [1, "Node", "repeated"],
    name: [2, "string"],
    initializer: [5, "Tensor", "repeated"],
    input: [11, "ValueInfo", "repeated"],
    output: [12, "ValueInfo", "repeated"],
  },
  Node: {
    input: [1, "string", "repeated"],
    output: [2, "string", "repeated"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "Attribute", "repeated"],
  },
  Attribute: {
    name: [1, "string"],
    i: [3, "int64"],
    ints: [8, "int64", "repeated"],
    type: [20, "int32"],
  },
  Tensor: {
    dims: [1, "int64", "repeated"],
    dataType: [2, "int32"],
    name: [8, "string"],
    rawData: [9, "bytes"],
  },
  ValueInfo: { name: [1, "string"], type: [2, "Type"] },
  Type: { tensorType: [1, "TensorType"] },
  TensorType: { elemType: [1, "int32"], shape: [2, "TensorShape"] },
  TensorShape: { dim: [1, "Dimension", "repeated"] },
  Dimension: { dimValue: [1, "int64"], dimParam: [2, "string"] },
});

/** A whole number, or a list of them; this is all that the operators of our networks take. */
export type AttributeValue = number | readonly number[];

export interface OnnxNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

export interface OnnxConstant {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface OnnxValue {
  readonly name: string;
  readonly elementType: keyof typeof elementTypes;
  /** A text stands for a size that is known when the network is run. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly constants: ReadonlyMap<string, OnnxConstant>;
  readonly input: OnnxValue;
  readonly output: OnnxValue;
  readonly metadata: Readonly<Record<string, string>>;
  readonly producer: readonly [name: string, version: string];
}

const integerAttribute = 2;
const integersAttribute = 7;

const encodeAttribute = ([name, value]: [string, AttributeValue]) =>
  typeof value === "number"
    ? { name, type: integerAttribute, i: value }
    : { name, type: integersAttribute, ints: value };

const encodeValue = ({ name, elementType, shape }: OnnxValue) => ({
  name,
  type: {
    tensorType: {
      elemType: elementTypes[elementType],
      shape: {
        dim: shape.map((size) => (typeof size === "string" ? { dimParam: size } : { dimValue: size })),
      },
    },
  },
});

/** The bytes of an .onnx file. */
export function encodeOnnx(graph: OnnxGraph): Uint8Array {
  const model = root.lookupType("Model");
  const message = model.fromObject({
    irVersion: formatVersion,
    producerName: graph.producer[0],
    producerVersion: graph.producer[1],
    opsetImport: [{ domain: "", version: operatorSetVersion }],
    metadataProps: Object.entries(graph.metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name,
      node: graph.nodes.map(({ operator, inputs, output, attributes }) => ({
        name: output,
        opType: operator,
        input: inputs,
        output: [output],
        attribute: Object.entries(attributes).map(encodeAttribute),
      })),
      initializer: [...graph.constants].map(([name, { shape, data }]) => ({
        name,
        dims: shape,
        dataType: data instanceof Float32Array ? elementTypes.float32 : elementTypes.int64,
        rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      })),
      input: [encodeValue(graph.input)],
      output: [encodeValue(graph.output)],
    },
  });
  return model.encode(message).finish();
}
