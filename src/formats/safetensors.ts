// The safetensors file format: a streaming writer, and a reader that believes nothing it has not checked.
import { createHash } from "node:crypto";
import fs from "node:fs";
import { IstaError } from "../base/errors.js";
import { onFile, openRegular, readFully, writeFileAtomicBy, writeFully } from "../base/files.js";
import { duplicateKey, jsonParts, maximumJsonParts } from "../base/json.js";

/** Bytes per number of every format that is read. */
const itemBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof itemBytes;

export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | BigUint64Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** A tensor outside the engine: numbers in row-major order. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes begin and end, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/** A third of what the reference implementation of the format allows; ten thousand tensors take one megabyte. */
const maximumHeaderBytes = 32 << 20;
const maximumRank = 32;

/** Entry of the metadata with the checksum of the file's content. Files of other programs have none. */
export const checksumKey = "ista-nas.sha256";

function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof BigInt64Array) return "I64";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Int16Array) return "I16";
  if (data instanceof Int8Array) return "I8";
  if (data instanceof BigUint64Array) return "U64";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Uint16Array) return "U16";
  return "U8";
}

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

/** Tensors by name: wide formats first, so that every tensor is aligned, then by name: one content, one file. */
function inFileOrder(tensors: ReadonlyMap<string, StoredTensor>): [string, StoredTensor][] {
  return [...tensors].sort(
    ([nameA, a], [nameB, b]) =>
      b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );
}

const bytesOf = ({ data }: StoredTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

interface Content {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

/**
 * SHA-256 of all that a file says: its texts, and of each tensor name, format, shape and bytes. Not of the file's own bytes, so that
 * a program that writes the same content in another order keeps the checksum true.
 */
function checksumOf(texts: Iterable<[string, string]>, tensors: Iterable<[string, Content]>): string {
  const ordered = [...tensors].sort(byName);
  const facts = ordered.map(([name, { dtype, shape }]) => [name, dtype, shape]);
  const hash = createHash("sha256").update(JSON.stringify([[...texts].sort(byName), facts]));
  for (const [, { bytes }] of ordered) hash.update(bytes);
  return hash.digest("hex");
}

/**
 * The pieces of a safetensors file, one after the other: length, header, and each tensor's bytes (not copied). The metadata get the
 * checksum of the content.
 */
export function* safetensorsPieces(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  const ordered = inFileOrder(tensors);
  const contents = ordered.map(([name, tensor]): [string, Content] => [
    name,
    { dtype: dtypeOf(tensor.data), shape: tensor.shape, bytes: bytesOf(tensor) },
  ]);
  const { [checksumKey]: _, ...texts } = metadata;
  const checksum = checksumOf(Object.entries(texts), contents);
  const entries: [string, unknown][] = [["__metadata__", { ...texts, [checksumKey]: checksum }]];
  let offset = 0;
  for (const [name, { shape, data }] of ordered) {
    if (name === "__metadata__" || product(shape) !== data.length) {
      // A mistake of the caller, never of a user.
      throw new TypeError(`safetensors: tensor ${name} of shape [${shape}] with ${data.length} numbers`);
    }
    entries.push([name, { dtype: dtypeOf(data), shape, data_offsets: [offset, offset + data.byteLength] }]);
    offset += data.byteLength;
  }
  // Written entry by entry: an object would sort names that look like numbers first, and swallow `__proto__`.
  const fields = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const text = Buffer.from(`{${fields.join(",")}}`);
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  text.copy(header, 8);
  yield header;
  for (const [, { bytes }] of contents) yield bytes;
}

/** Writes a safetensors file atomically, out of the tensors themselves: no second copy of the whole is made. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  writeFileAtomicBy(path, (file) => writeFully(file, [...safetensorsPieces(tensors, metadata)]));
}

/** An open safetensors file: its header is checked whole, tensors are read one by one. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    private readonly file: number,
    private readonly dataStart: number,
    /** Texts that travel with the tensors. */
    readonly metadata: ReadonlyMap<string, string>,
    /** Format, shape and place of each tensor, in the order of the file's bytes. */
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    /** What the content should hash to; null where the file does not say. */
    private readonly checksum: string | null,
  ) {}

  /**
   * Opens and checks a file. No more memory is used than a few times its header.
   * @throws IstaError SAFETENSORS_TRUNCATED, SAFETENSORS_HEADER, SAFETENSORS_DTYPE, SAFETENSORS_LAYOUT, FILE_...
   */
  static open(path: string): SafetensorsFile {
    return onFile("read", path, () => {
      const { file, bytes } = openRegular(path);
      try {
        const headerBytes = headerLength(path, file, bytes);
        const text = Buffer.alloc(headerBytes);
        if (readFully(file, text, 8) < headerBytes)
          throw truncated(path, "it became shorter while it was read");
        const { metadata, tensors } = parseHeader(path, text, bytes - 8 - headerBytes);
        const checksum = metadata.get(checksumKey) ?? null;
        metadata.delete(checksumKey);
        return new SafetensorsFile(path, file, 8 + headerBytes, metadata, tensors, checksum);
      } catch (error) {
        fs.closeSync(file);
        throw error;
      }
    });
  }

  /**
   * One tensor in its own format; half-precision numbers come as Float32Array, truth values as Uint8Array.
   * @throws IstaError SAFETENSORS_MISSING, SAFETENSORS_TRUNCATED
   */
  read(name: string): StoredTensor {
    const info = this.tensors.get(name);
    if (info === undefined) {
      throw new IstaError(
        "SAFETENSORS_MISSING",
        `read ${this.path}: it has no tensor ${JSON.stringify(name)}`,
      );
    }
    return { shape: info.shape, data: asNumbers(info.dtype, this.bytesAt(name, info)) };
  }

  private bytesAt(name: string, { begin, end }: TensorInfo): ArrayBuffer {
    return onFile("read", this.path, () => {
      // A buffer of its own, so that any typed array is aligned in it.
      const bytes = new Uint8Array(end - begin);
      if (readFully(this.file, bytes, this.dataStart + begin) < bytes.length) {
        throw truncated(this.path, `it ends within tensor ${JSON.stringify(name)}`);
      }
      return bytes.buffer;
    });
  }

  /** All tensors, in the order of the file, compared with its checksum where it has one. @throws IstaError SAFETENSORS_CHECKSUM */
  readAll(): Map<string, StoredTensor> {
    const contents = [...this.tensors].map(([name, info]): [string, Content & { buffer: ArrayBuffer }] => {
      const buffer = this.bytesAt(name, info);
      return [name, { ...info, buffer, bytes: new Uint8Array(buffer) }];
    });
    if (this.checksum !== null && checksumOf(this.metadata, contents) !== this.checksum) {
      throw new IstaError(
        "SAFETENSORS_CHECKSUM",
        `read ${this.path}: its content is not what was written (the checksum differs); copy the file again, or, where it was changed on purpose, remove ${checksumKey} from its metadata`,
      );
    }
    return new Map(
      contents.map(([name, { dtype, shape, buffer }]) => [name, { shape, data: asNumbers(dtype, buffer) }]),
    );
  }

  close(): void {
    fs.closeSync(this.file);
  }
}

/** All tensors of a file, and its metadata. @throws IstaError as SafetensorsFile.open and read. */
export function readSafetensors(path: string): {
  tensors: Map<string, StoredTensor>;
  metadata: ReadonlyMap<string, string>;
} {
  const file = SafetensorsFile.open(path);
  try {
    return { tensors: file.readAll(), metadata: file.metadata };
  } finally {
    file.close();
  }
}

const truncated = (path: string, what: string): IstaError =>
  new IstaError("SAFETENSORS_TRUNCATED", `read ${path}: ${what}; copy or convert the file again`);

const badHeader = (path: string, what: string): IstaError =>
  new IstaError("SAFETENSORS_HEADER", `read ${path}: ${what}; is it a safetensors file?`);

function headerLength(path: string, file: number, fileBytes: number): number {
  const field = Buffer.alloc(8);
  if (readFully(file, field, 0) < 8) {
    throw truncated(path, `expected at least 8 bytes, got ${fileBytes}`);
  }
  const length = field.readBigUInt64LE(0);
  if (length > BigInt(maximumHeaderBytes)) {
    throw badHeader(
      path,
      `expected a header of at most ${maximumHeaderBytes} bytes, got a length of ${length}`,
    );
  }
  if (8n + length > BigInt(fileBytes)) {
    throw truncated(path, `its header should take ${length} bytes, but the file has ${fileBytes}`);
  }
  return Number(length);
}

function parseHeader(
  path: string,
  text: Buffer,
  dataBytes: number,
): { metadata: Map<string, string>; tensors: Map<string, TensorInfo> } {
  if (jsonParts(text) > maximumJsonParts)
    throw badHeader(path, `expected a header of at most ${maximumJsonParts} objects, lists and texts`);
  let source: string;
  let header: unknown;
  try {
    source = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text);
    header = JSON.parse(source);
  } catch (error) {
    throw badHeader(path, `expected a JSON header, got ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
  if (!isRecord(header)) throw badHeader(path, "expected a JSON object as header");
  const twice = duplicateKey(source);
  if (twice !== null) throw badHeader(path, `the header has the name ${JSON.stringify(twice)} twice`);

  const metadata = new Map<string, string>();
  const tensors: [string, TensorInfo][] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") {
      tensors.push([name, parseEntry(path, name, value)]);
      continue;
    }
    if (!isRecord(value)) throw badHeader(path, "expected an object of texts as __metadata__");
    for (const [key, item] of Object.entries(value)) {
      if (typeof item !== "string") throw badHeader(path, `expected text as metadata ${JSON.stringify(key)}`);
      metadata.set(key, item);
    }
  }
  tensors.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkLayout(path, tensors, dataBytes);
  return { metadata, tensors: new Map(tensors) };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);

function parseEntry(path: string, name: string, value: unknown): TensorInfo {
  const label = `tensor ${JSON.stringify(name)}`;
  if (!isRecord(value) || Object.keys(value).sort().join() !== "data_offsets,dtype,shape") {
    throw badHeader(path, `expected dtype, shape and data_offsets, and nothing else, for ${label}`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(itemBytes, dtype)) {
    const known = Object.keys(itemBytes).join(", ");
    throw new IstaError(
      "SAFETENSORS_DTYPE",
      `read ${path}: expected ${known} as format of ${label}, got ${JSON.stringify(dtype)}`,
    );
  }
  if (!Array.isArray(shape) || shape.length > maximumRank || !shape.every(isSize)) {
    throw badHeader(path, `expected at most ${maximumRank} whole numbers as shape of ${label}`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[0] > offsets[1]) {
    throw badHeader(path, `expected two rising whole numbers as data_offsets of ${label}`);
  }
  const bytes = product(shape) * itemBytes[dtype as Dtype];
  const [begin, end] = offsets;
  // A product beyond 2^53 is not exact, but then it is not the length of any file either.
  if (bytes !== end - begin) {
    throw new IstaError(
      "SAFETENSORS_LAYOUT",
      `read ${path}: ${label} of shape [${shape}] and format ${dtype} needs ${bytes} bytes, its offsets give ${end - begin}`,
    );
  }
  return { dtype: dtype as Dtype, shape, begin, end };
}

/** The tensors, sorted by place, must cover the data from the first byte to the last, without overlap or hole. */
function checkLayout(path: string, tensors: readonly [string, TensorInfo][], dataBytes: number): void {
  let position = 0;
  for (const [name, { begin, end }] of tensors) {
    if (begin !== position) {
      throw new IstaError(
        "SAFETENSORS_LAYOUT",
        `read ${path}: tensor ${JSON.stringify(name)} begins at byte ${begin} where ${position} was expected: ${begin < position ? "an overlap" : "a hole"}`,
      );
    }
    position = end;
  }
  if (position !== dataBytes) {
    throw truncated(path, `its tensors take ${position} bytes, but ${dataBytes} follow the header`);
  }
}

function asNumbers(dtype: Dtype, buffer: ArrayBuffer): TensorData {
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), halfToNumber);
    case "BF16": {
      const words = new Uint32Array(new Uint16Array(buffer));
      for (let i = 0; i < words.length; i++) words[i] <<= 16;
      return new Float32Array(words.buffer);
    }
    case "I64":
      return new BigInt64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "U64":
      return new BigUint64Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    default:
      return new Uint8Array(buffer);
  }
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/**
 * The numbers of a tensor as Float32Array, whatever floating-point format they have.
 * @throws IstaError SAFETENSORS_DTYPE for whole numbers; `label` names the tensor in the message.
 */
export function asFloat32({ data }: StoredTensor, label: string): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  throw new IstaError("SAFETENSORS_DTYPE", `${label}: expected floating-point numbers, got ${dtypeOf(data)}`);
}
