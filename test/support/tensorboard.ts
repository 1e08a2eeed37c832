// Event files read back by TensorFlow's own rules (tensorflow/core/lib/io/record_writer.h, crc32c.h), bit by bit and without our tables.
import protobuf from "protobufjs";
import { expect } from "vitest";

/** CRC-32C one bit at a time, on big integers; then rotated right by 15 and moved by the constant. */
export function referenceChecksum(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  crc ^= 0xffffffffn;
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

export function eventRecords(file: Buffer): Buffer[] {
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
export const decodeMessage = (type: string, data: Uint8Array) => {
  const message = root.lookupType(type);
  // biome-ignore lint/suspicious/noExplicitAny: whatever the message holds
  return message.toObject(message.decode(data), { longs: Number, defaults: false }) as any;
};

export interface ReadEvent {
  readonly step: number;
  readonly fileVersion?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a summary's values, of any kind
  readonly values: readonly any[];
}

/** All events of a file, every checksum looked at. */
export const readEvents = (file: Buffer): ReadEvent[] =>
  eventRecords(file).map((data) => {
    const { step = 0, fileVersion, summary } = decodeMessage("Event", data);
    return { step, fileVersion, values: summary?.value ?? [] };
  });
