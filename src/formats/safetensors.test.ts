// Tests of the safetensors reader and writer: the format byte by byte, round trips, and every kind of lie.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import {
  asFloat32,
  readSafetensors,
  SafetensorsFile,
  type StoredTensor,
  type TensorData,
  writeSafetensors,
} from "./safetensors.js";

let folder: string;
let path: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-safetensors-"));
  path = join(folder, "a.safetensors");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A file with any header text and data. */
function writeRaw(header: string | Buffer, data: Uint8Array = new Uint8Array(0), length?: bigint): void {
  const text = Buffer.from(header);
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(length ?? BigInt(text.length));
  fs.writeFileSync(path, Buffer.concat([field, text, data]));
}

function failure(): IstaError {
  try {
    readSafetensors(path);
  } catch (error) {
    if (error instanceof IstaError) return error;
    throw error;
  }
  throw new Error("expected the file to be refused");
}

const tensor = (shape: number[], data: TensorData): StoredTensor => ({ shape, data });

describe("the format", () => {
  it("is read as it is defined, half-precision formats included", () => {
    const header = {
      __metadata__: { format: "pt" },
      half: { dtype: "F16", shape: [7], data_offsets: [0, 14] },
      brain: { dtype: "BF16", shape: [1, 2], data_offsets: [14, 18] },
      truth: { dtype: "BOOL", shape: [2], data_offsets: [18, 20] },
      scalar: { dtype: "F32", shape: [], data_offsets: [20, 24] },
      empty: { dtype: "F64", shape: [0, 3], data_offsets: [24, 24] },
    };
    const data = Buffer.alloc(24);
    // 1, -2, the largest, the smallest normal, the smallest subnormal, infinity, not a number.
    [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x7c00, 0x7e00].forEach((bits, i) => {
      data.writeUInt16LE(bits, 2 * i);
    });
    data.writeUInt16LE(0x3f80, 14);
    data.writeUInt16LE(0xc049, 16);
    data.writeUInt8(1, 19);
    data.writeFloatLE(0.5, 20);
    writeRaw(JSON.stringify(header), data);
    const { tensors, metadata } = readSafetensors(path);
    expect([...metadata]).toEqual([["format", "pt"]]);
    expect([...tensors.keys()]).toEqual(["half", "brain", "truth", "scalar", "empty"]);
    expect(tensors.get("half")!.data).toEqual(
      Float32Array.of(1, -2, 65504, 2 ** -14, 2 ** -24, Number.POSITIVE_INFINITY, Number.NaN),
    );
    expect(tensors.get("brain")).toEqual({ shape: [1, 2], data: Float32Array.of(1, -3.140625) });
    expect(tensors.get("truth")!.data).toEqual(Uint8Array.of(0, 1));
    expect(tensors.get("scalar")).toEqual({ shape: [], data: Float32Array.of(0.5) });
    expect(tensors.get("empty")).toEqual({ shape: [0, 3], data: new Float64Array(0) });
  });

  it("is written aligned, wide formats first, then by name, whatever the order of the map", () => {
    const a = tensor([1], Float32Array.of(1));
    const b = tensor([2], Float32Array.of(2, 3));
    const steps = tensor([], BigInt64Array.of(9n));
    writeSafetensors(path, new Map([["b", b], ["a", a], ["steps", steps]]), { format: "pt" }); // biome-ignore format: one line.
    const written = fs.readFileSync(path);
    const length = Number(written.readBigUInt64LE());
    expect(length % 8).toBe(0);
    const text = written.subarray(8, 8 + length).toString();
    expect(text.trimEnd().replace(/,"ista-nas.sha256":"[0-9a-f]{64}"/, "")).toBe(
      '{"__metadata__":{"format":"pt"},"steps":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}',
    );
    expect(written.subarray(8 + length)).toEqual(
      Buffer.concat([Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(Float32Array.of(1, 2, 3).buffer)]),
    );
    writeSafetensors(path, new Map([["steps", steps], ["a", a], ["b", b]]), { format: "pt" }); // biome-ignore format: one line.
    expect(fs.readFileSync(path)).toEqual(written);
  });

  it("carries everything that is written, parts of larger buffers included", () => {
    const kinds = [
      Float64Array,
      Float32Array,
      Int32Array,
      Int16Array,
      Int8Array,
      Uint32Array,
      Uint16Array,
      Uint8Array,
    ];
    const oneTensor = fc
      .tuple(fc.constantFrom(...kinds), fc.array(fc.nat(4), { maxLength: 4 }), fc.integer())
      .map(([Kind, shape, seed]) => {
        const size = shape.reduce((all, one) => all * one, 1);
        const data = new Kind(size + 3).map((_, i) => (seed + i * 77) % 120).subarray(2, 2 + size);
        return tensor(shape, data as TensorData);
      });
    const name = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("__proto__", "constructor", "0", "a.b"),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, oneTensor)), (pairs) => {
        const tensors = new Map(
          pairs.filter(([key]) => key !== "__metadata__" && Buffer.from(key).toString() === key),
        );
        writeSafetensors(path, tensors);
        const read = readSafetensors(path).tensors;
        expect(new Map([...read].sort())).toEqual(new Map([...tensors].sort()));
      }),
      { numRuns: 100 },
    );
  });

  it("gives one tensor without the others, and names the one that is missing", () => {
    const tensors = new Map([["a", tensor([1], Float32Array.of(1))], ["b", tensor([1], Float32Array.of(2))]]); // biome-ignore format: one line.
    writeSafetensors(path, tensors);
    const file = SafetensorsFile.open(path);
    expect(file.tensors.get("b")).toEqual({ dtype: "F32", shape: [1], begin: 4, end: 8 });
    expect(file.read("b").data).toEqual(Float32Array.of(2));
    expect(() => file.read("c")).toThrow(expect.objectContaining({ code: "SAFETENSORS_MISSING" }));
    fs.truncateSync(path, fs.statSync(path).size - 1);
    expect(() => file.read("b")).toThrow(expect.objectContaining({ code: "SAFETENSORS_TRUNCATED" }));
    file.close();
  });

  it("gives floating-point numbers as single precision, and no others", () => {
    expect(asFloat32(tensor([1], Float64Array.of(0.1)), "x")).toEqual(Float32Array.of(0.1));
    expect(() => asFloat32(tensor([1], BigInt64Array.of(1n)), "x")).toThrow(
      expect.objectContaining({ code: "SAFETENSORS_DTYPE" }),
    );
  });
});

describe("lies", () => {
  const entry = (dtype: string, shape: unknown, offsets: unknown): string =>
    JSON.stringify({ dtype, shape, data_offsets: offsets });
  const one = entry("F32", [1], [0, 4]);

  const cases: [string, string, number, string][] = [
    ["a header that is no JSON", "{nonsense", 0, "SAFETENSORS_HEADER"],
    ["a header that is a list", "[]", 0, "SAFETENSORS_HEADER"],
    ["an entry that is a number", '{"a":1}', 0, "SAFETENSORS_HEADER"],
    [
      "an entry with a key too many",
      `{"a":${one.replace("{", '{"__proto__":{},')}}`,
      4,
      "SAFETENSORS_HEADER",
    ],
    ["an entry without shape", '{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4, "SAFETENSORS_HEADER"],
    ["a name twice", `{"a":${one},"a":${entry("F32", [1], [4, 8])}}`, 8, "SAFETENSORS_HEADER"],
    ["metadata that is no text", '{"__metadata__":{"a":1}}', 0, "SAFETENSORS_HEADER"],
    ["metadata that is a list", '{"__metadata__":[]}', 0, "SAFETENSORS_HEADER"],
    ["an unknown format", `{"a":${entry("F8_E4M3", [4], [0, 4])}}`, 4, "SAFETENSORS_DTYPE"],
    ["a format named like a method", `{"a":${entry("toString", [4], [0, 4])}}`, 4, "SAFETENSORS_DTYPE"],
    ["a negative size", `{"a":${entry("F32", [-1, -1], [0, 4])}}`, 4, "SAFETENSORS_HEADER"],
    ["a broken size", `{"a":${entry("F32", [0.5], [0, 2])}}`, 2, "SAFETENSORS_HEADER"],
    ["33 dimensions", `{"a":${entry("F32", Array(33).fill(1), [0, 4])}}`, 4, "SAFETENSORS_HEADER"],
    ["offsets that fall", `{"a":${entry("F32", [1], [4, 0])}}`, 4, "SAFETENSORS_HEADER"],
    ["three offsets", `{"a":${entry("F32", [1], [0, 4, 8])}}`, 4, "SAFETENSORS_HEADER"],
    ["a shape that does not fit", `{"a":${entry("F32", [2], [0, 4])}}`, 4, "SAFETENSORS_LAYOUT"],
    ["a product beyond 2^53", `{"a":${entry("U8", [2 ** 52, 2 ** 52], [0, 4])}}`, 4, "SAFETENSORS_LAYOUT"],
    [
      "a product that wraps around 2^64",
      `{"a":${entry("U8", [2 ** 32, 2 ** 32], [0, 0])}}`,
      0,
      "SAFETENSORS_LAYOUT",
    ],
    ["an overlap", `{"a":${one},"b":${entry("F32", [1], [2, 6])}}`, 6, "SAFETENSORS_LAYOUT"],
    ["the same bytes twice", `{"a":${one},"b":${one}}`, 4, "SAFETENSORS_LAYOUT"],
    ["a hole", `{"a":${one},"b":${entry("F32", [1], [8, 12])}}`, 12, "SAFETENSORS_LAYOUT"],
    ["a hole at the start", `{"a":${entry("F32", [1], [4, 8])}}`, 8, "SAFETENSORS_LAYOUT"],
    ["data missing at the end", `{"a":${one}}`, 3, "SAFETENSORS_TRUNCATED"],
    ["data left at the end", `{"a":${one}}`, 5, "SAFETENSORS_TRUNCATED"],
  ];
  it.each(cases)("refuses %s", (_what, header, bytes, code) => {
    writeRaw(header, new Uint8Array(bytes));
    const error = failure();
    expect(error.code).toBe(code);
    expect(error.message).toContain(path);
  });

  it.each([
    ["an empty file", 0],
    ["seven bytes", 7],
  ])("refuses %s", (_what, bytes) => {
    fs.writeFileSync(path, new Uint8Array(bytes));
    expect(failure().code).toBe("SAFETENSORS_TRUNCATED");
  });

  it.each([
    [3n, "SAFETENSORS_TRUNCATED"],
    [33_554_432n, "SAFETENSORS_TRUNCATED"],
    [33_554_433n, "SAFETENSORS_HEADER"],
    [2n ** 64n - 1n, "SAFETENSORS_HEADER"],
  ])("refuses a header length of %d in a file of 10 bytes", (length, code) => {
    writeRaw("{}", new Uint8Array(0), length);
    expect(failure().code).toBe(code);
  });

  it("refuses bytes that are not UTF-8", () => {
    writeRaw(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
    expect(failure().code).toBe("SAFETENSORS_HEADER");
  });

  it("refuses folders and devices", () => {
    path = folder;
    expect(failure().code).toBe("FILE_KIND");
    path = "/dev/zero";
    expect(failure().code).toBe("FILE_KIND");
  });

  it("survives a header of a million open brackets", () => {
    writeRaw(`{"a":${"[".repeat(1_000_000)}`);
    expect(failure().code).toBe("SAFETENSORS_HEADER");
  });
});
