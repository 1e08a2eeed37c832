// Event files read back by TensorFlow's own rules (tensorflow/core/lib/io/record_writer.h, crc32c.h), bit by bit and without our tables.
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { encodeHeader, encodeStep, maskedChecksum, type Shown } from "./tensorboard.js";

/** CRC-32C one bit at a time, on big integers; then rotated right by 15 and moved by the constant. */
function referenceChecksum(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  crc ^= 0xffffffffn;
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

function records(file: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    expect(file.readUInt32LE(at + 8)).toBe(referenceChecksum(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 12 + length)).toBe(referenceChecksum(data));
    found.push(data);
    at += 16 + length;
  }
  return found;
}

/** As published: tensorflow/core/util/event.proto, summary.proto, tensor.proto, tensorboard/plugins/hparams/plugin_data.proto. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }
  message Summary { repeated Value value = 1; }
  message Value {
    string tag = 1; SummaryMetadata metadata = 9;
    oneof value { float simple_value = 2; Image image = 4; HistogramProto histo = 5; TensorProto tensor = 8; }
  }
  message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
  message HistogramProto {
    double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5;
    repeated double bucket_limit = 6 [packed = true]; repeated double bucket = 7 [packed = true];
  }
  message SummaryMetadata { PluginData plugin_data = 1; }
  message PluginData { string plugin_name = 1; bytes content = 2; }
  message TensorProto { int32 dtype = 1; TensorShapeProto tensor_shape = 2; repeated bytes string_val = 8; }
  message TensorShapeProto { repeated Dim dim = 2; }
  message Dim { int64 size = 1; string name = 2; }
  message HParamsPluginData { int32 version = 1; SessionStartInfo session_start_info = 3; }
  message SessionStartInfo { map<string, PValue> hparams = 1; string model_uri = 2; double start_time_secs = 5; }
  message PValue { oneof kind { int32 null_value = 1; double number_value = 2; string string_value = 3; bool bool_value = 4; } }
`);
const decode = (type: string, data: Uint8Array) => {
  const message = root.lookupType(type);
  // biome-ignore lint/suspicious/noExplicitAny: whatever the message holds
  return message.toObject(message.decode(data), { longs: Number, defaults: false }) as any;
};
const shownAt = (step: number, ...shown: Shown[]) =>
  decode("Event", records(encodeStep(12.5, step, shown))[0]);

it("checksums are those of the published vectors", () => {
  // RFC 3720, B.4: 32 bytes of zeros, of ones, and counting up.
  const unmasked = (value: number): number => {
    const rotated = (value - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  expect(unmasked(maskedChecksum(new Uint8Array(32)))).toBe(0x8a9136aa);
  expect(unmasked(maskedChecksum(new Uint8Array(32).fill(255)))).toBe(0x62a8ab43);
  expect(unmasked(maskedChecksum(Uint8Array.from({ length: 32 }, (_, i) => i)))).toBe(0x46dd794e);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(maskedChecksum(bytes)).toBe(referenceChecksum(bytes));
    }),
    { seed: 1 },
  );
});

describe("a file", () => {
  it("begins with its version", () => {
    expect(decode("Event", records(encodeHeader(3))[0])).toEqual({
      wallTime: 3,
      fileVersion: "brain.Event:2",
    });
  });

  it("has scalars and images at their step", () => {
    const png = Uint8Array.of(1, 2, 3);
    const event = shownAt(
      7,
      { kind: "scalar", tag: "loss", value: 0.5 },
      { kind: "image", tag: "cells", width: 4, height: 5, png },
    );
    expect(event).toMatchObject({ wallTime: 12.5, step: 7 });
    expect(event.summary.value[0]).toEqual({ tag: "loss", simpleValue: 0.5 });
    const { image } = event.summary.value[1];
    expect({ ...image, encodedImageString: [...image.encodedImageString] }).toEqual({
      ...{ height: 5, width: 4, colorspace: 4, encodedImageString: [1, 2, 3] },
    });
  });

  it("has texts and hyper-parameters as their plug-ins want them", () => {
    const values = { seed: 3, method: "darts", nesterov: true };
    const { value } = shownAt(
      0,
      { kind: "text", tag: "genotype", text: "`a` größer" },
      { kind: "hyper-parameters", values },
    ).summary;
    expect(value[0].metadata.pluginData.pluginName).toBe("text");
    expect(value[0].tensor).toMatchObject({ dtype: 7, tensorShape: {} });
    expect(value[0].tensor.stringVal[0].toString()).toBe("`a` größer");
    expect(value[1].tag).toBe("_hparams_/session_start_info");
    const { content } = value[1].metadata.pluginData;
    expect(decode("HParamsPluginData", content).sessionStartInfo).toEqual({
      hparams: { seed: { numberValue: 3 }, method: { stringValue: "darts" }, nesterov: { boolValue: true } },
      startTimeSecs: 12.5,
    });
  });

  it("has histograms whose buckets count every value once", () => {
    const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const property = fc.property(fc.array(finite, { minLength: 1, maxLength: 200 }), (values) => {
      const { histo } = shownAt(1, { kind: "histogram", tag: "codes", values }).summary.value[0];
      const { bucket, bucketLimit, num, min = 0, max = 0, sum = 0 } = histo;
      expect(num).toBe(values.length);
      expect(bucket.reduce((total: number, count: number) => total + count, 0)).toBe(values.length);
      expect([min, max]).toEqual([Math.min(...values), Math.max(...values)].map((value) => value + 0));
      expect(sum).toBeCloseTo(
        values.reduce((total, value) => total + value),
        3,
      );
      expect(bucketLimit).toEqual([...bucketLimit].sort((a, b) => a - b));
      expect(bucketLimit.at(-1)).toBe(max);
    });
    fc.assert(property, { numRuns: 100, seed: 1 });
  });
});
