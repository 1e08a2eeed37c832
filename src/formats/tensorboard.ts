// Event files of TensorBoard: framed records with checksums, each a protocol buffer.
import { messageTypes } from "./protobuf.js";

const types = messageTypes({
  Event: {
    wallTime: [1, "double"],
    step: [2, "int64"],
    fileVersion: [3, "string"],
    summary: [5, "Summary"],
  },
  Summary: { value: [1, "Value", "repeated"] },
  Value: {
    tag: [1, "string"],
    simpleValue: [2, "float"],
    image: [4, "Image"],
    histo: [5, "Histogram"],
    tensor: [8, "Tensor"],
    metadata: [9, "Metadata"],
  },
  Image: {
    height: [1, "int32"],
    width: [2, "int32"],
    colorspace: [3, "int32"],
    encodedImageString: [4, "bytes"],
  },
  Histogram: {
    min: [1, "double"],
    max: [2, "double"],
    num: [3, "double"],
    sum: [4, "double"],
    sumSquares: [5, "double"],
    bucketLimit: [6, "double", "repeated"],
    bucket: [7, "double", "repeated"],
  },
  Tensor: { dtype: [1, "int32"], tensorShape: [2, "TensorShape"], stringVal: [8, "bytes", "repeated"] },
  TensorShape: { dim: [2, "Dimension", "repeated"] },
  Dimension: { size: [1, "int64"] },
  Metadata: { pluginData: [1, "PluginData"] },
  PluginData: { pluginName: [1, "string"], content: [2, "bytes"] },
  HyperParameters: { version: [1, "int32"], sessionStartInfo: [3, "SessionStart"] },
  SessionStart: { hparams: [1, "HyperParameter", "map"], startTimeSecs: [5, "double"] },
  HyperParameter: { numberValue: [2, "double"], stringValue: [3, "string"], boolValue: [4, "bool"] },
});

/** DT_FLOAT and DT_STRING of TensorFlow's DataType. */
const [floatType, stringType] = [1, 7];
const rgbaColours = 4;
const fileVersion = "brain.Event:2";

/** The Castagnoli polynomial, bits reversed. */
const polynomial = 0x82f63b78;
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
  return value;
});

/** CRC-32C, turned and moved as TensorFlow stores it: a checksum of data with checksums in them would be weak otherwise. */
export function maskedChecksum(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Length (64 bits), its checksum, data, their checksum; all little-endian. */
function framed(data: Uint8Array): Buffer {
  const record = Buffer.alloc(8 + 4 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length));
  record.writeUInt32LE(maskedChecksum(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedChecksum(data), 12 + data.length);
  return record;
}

export type HyperParameter = number | string | boolean;

/** One thing to see at a step. */
export type Shown =
  | { readonly kind: "scalar"; readonly tag: string; readonly value: number }
  /** Markdown. */
  | { readonly kind: "text"; readonly tag: string; readonly text: string }
  | {
      readonly kind: "image";
      readonly tag: string;
      readonly width: number;
      readonly height: number;
      readonly png: Uint8Array;
    }
  | { readonly kind: "histogram"; readonly tag: string; readonly values: ArrayLike<number> }
  /** What the run was made with, for the table of runs. */
  | { readonly kind: "hyper-parameters"; readonly values: Readonly<Record<string, HyperParameter>> };

const histogramBuckets = 30;

/** Buckets of equal width over the finite values. */
function histogramOf(values: ArrayLike<number>) {
  const finite = Array.from(values).filter(Number.isFinite);
  if (finite.length === 0) finite.push(0);
  let [min, max, sum, sumSquares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  for (const value of finite) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    sumSquares += value * value;
  }
  const width = (max - min) / histogramBuckets;
  // Of equal values, one bucket that holds them.
  const count = width > 0 ? histogramBuckets : 1;
  const bucket = new Array<number>(count).fill(0);
  for (const value of finite)
    bucket[width > 0 ? Math.min(count - 1, Math.floor((value - min) / width)) : 0] += 1;
  const bucketLimit = bucket.map((_, index) => (index === count - 1 ? max : min + width * (index + 1)));
  return { min, max, num: finite.length, sum, sumSquares, bucketLimit, bucket };
}

const hyperParameter = (value: HyperParameter) =>
  typeof value === "number"
    ? { numberValue: value }
    : typeof value === "string"
      ? { stringValue: value }
      : { boolValue: value };

function encodeHyperParameters(values: Readonly<Record<string, HyperParameter>>, time: number): Uint8Array {
  const type = types.lookupType("HyperParameters");
  const hparams = Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, hyperParameter(value)]),
  );
  return type
    .encode(type.fromObject({ version: 0, sessionStartInfo: { hparams, startTimeSecs: time } }))
    .finish();
}

function encodeValue(shown: Shown, time: number): object {
  switch (shown.kind) {
    case "scalar":
      return { tag: shown.tag, simpleValue: shown.value };
    case "image": {
      const { tag, width, height, png } = shown;
      return { tag, image: { width, height, colorspace: rgbaColours, encodedImageString: png } };
    }
    case "histogram":
      return { tag: shown.tag, histo: histogramOf(shown.values) };
    case "text":
      return {
        tag: shown.tag,
        metadata: { pluginData: { pluginName: "text" } },
        tensor: { dtype: stringType, tensorShape: {}, stringVal: [Buffer.from(shown.text)] },
      };
    case "hyper-parameters":
      return {
        tag: "_hparams_/session_start_info",
        metadata: {
          pluginData: { pluginName: "hparams", content: encodeHyperParameters(shown.values, time) },
        },
        tensor: { dtype: floatType, tensorShape: {} },
      };
  }
}

function encodeEvent(event: object): Buffer {
  const type = types.lookupType("Event");
  return framed(type.encode(type.fromObject(event)).finish());
}

/** The first record of a file. @param time seconds since 1970 */
export const encodeHeader = (time: number): Buffer => encodeEvent({ wallTime: time, fileVersion });

/** A record with what is to be seen at a step. @param time seconds since 1970 */
export const encodeStep = (time: number, step: number, shown: readonly Shown[]): Buffer =>
  encodeEvent({ wallTime: time, step, summary: { value: shown.map((one) => encodeValue(one, time)) } });
