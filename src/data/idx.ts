// Reads IDX files (the format of the MNIST family), plain or gzipped, without trusting their headers.

import { join } from "node:path";
import { promisify } from "node:util";
import { constants, gunzip, gunzipSync } from "node:zlib";
import { IstaError } from "../base/errors.js";
import { readBytes, readClassNames } from "./disk.js";
import { padToMultipleOfFour } from "./image-set.js";
import type { ImageSet } from "./types.js";

const filePattern = /^(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?$/;

/** Deflate cannot make more than this many bytes out of one. */
const largestExpansion = 1032;

export const fashionClasses = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
] as const;

export const recogniseIdx = (files: readonly string[]): boolean =>
  files.some((name) => filePattern.test(name));

/** An array of unsigned bytes with its dimensions, the outermost first. */
export interface IdxArray {
  readonly dimensions: readonly number[];
  readonly data: Uint8Array;
}

/**
 * Reads a folder of IDX files: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k` or
 * `test`, each with or without `.gz`. Images have 3 dimensions (count, height, width) or 4 (count, channels, height,
 * width) and are padded with zeros to sides divisible by 4. Names of the classes come from `classes.txt` when there;
 * a folder whose README names Fashion-MNIST gets its known ones; otherwise they are the numbers.
 * Throws DATA_* and FILE_* errors that name the file.
 */
export async function readIdx(
  directory: string,
  files: readonly string[],
): Promise<{ classes: readonly string[]; train: ImageSet; test: ImageSet | undefined }> {
  const find = (parts: readonly string[], content: string): string | undefined =>
    files.find((name) => {
      const match = filePattern.exec(name);
      return match !== null && parts.includes(match[1]) && match[2] === content;
    });
  const readPart = async (parts: readonly string[]): Promise<IdxPart | undefined> => {
    const imagesName = find(parts, "images");
    const labelsName = find(parts, "labels");
    if (imagesName === undefined && labelsName === undefined) return undefined;
    if (imagesName === undefined || labelsName === undefined) {
      throw new IstaError(
        "DATA_EMPTY",
        `IDX: expected ${parts[0]} images and labels in ${directory}, found only ${imagesName ?? labelsName}; copy both`,
      );
    }
    const imagesPath = join(directory, imagesName);
    const labelsPath = join(directory, labelsName);
    const images = await parseIdx(readBytes(imagesPath), imagesPath, [3, 4]);
    const labels = await parseIdx(readBytes(labelsPath), labelsPath, [1]);
    if (labels.data.length !== images.dimensions[0]) {
      throw new IstaError(
        "DATA_LABEL",
        `IDX: expected ${images.dimensions[0]} labels in ${labelsPath}, one an image, it has ${labels.data.length}; ` +
          "copy the pair of files again",
      );
    }
    return { images, labels, labelsPath };
  };
  const train = await readPart(["train"]);
  const test = await readPart(["t10k", "test"]);
  if (train === undefined) {
    throw new IstaError(
      "DATA_EMPTY",
      `IDX: expected training files train-* in ${directory}, found none; copy them`,
    );
  }
  const classes = classNames(directory, files, train, test);
  return { classes, train: imageSet(train, classes), test: test && imageSet(test, classes) };
}

interface IdxPart {
  readonly images: IdxArray;
  readonly labels: IdxArray;
  readonly labelsPath: string;
}

function classNames(
  directory: string,
  files: readonly string[],
  train: IdxPart,
  test: IdxPart | undefined,
): readonly string[] {
  const present = new Set(train.labels.data);
  const highest = Math.max(...present);
  let names: readonly string[] = Array.from({ length: highest + 1 }, (_, label) => String(label));
  const readme = files.find((name) => /^readme(\.\w+)?$/i.test(name));
  if (files.includes("classes.txt")) {
    names = readClassNames(join(directory, "classes.txt"));
  } else if (present.size <= highest) {
    // Without names only the labels say how many classes there are: a hole betrays a damaged label.
    const missing = names.findIndex((_, label) => !present.has(label));
    throw new IstaError(
      "DATA_LABEL",
      `IDX: expected every label from 0 to the highest in ${train.labelsPath}, it goes to ${highest} but no image ` +
        `has ${missing}; name the classes in classes.txt, one a line, if that is right`,
    );
  } else if (highest === 9 && readme !== undefined) {
    const text = new TextDecoder().decode(readBytes(join(directory, readme), 2 ** 20));
    if (/fashion[-_ ]?mnist/i.test(text)) names = fashionClasses;
  }
  for (const part of test === undefined ? [train] : [train, test]) {
    const image = part.labels.data.findIndex((label) => label >= names.length);
    if (image >= 0) {
      throw new IstaError(
        "DATA_LABEL",
        `IDX: expected labels 0 to ${names.length - 1} in ${part.labelsPath}, image ${image} has ` +
          `${part.labels.data[image]}; the file is damaged, or classes.txt lacks names`,
      );
    }
  }
  return names;
}

function imageSet(part: IdxPart, classes: readonly string[]): ImageSet {
  const { dimensions, data } = part.images;
  const [height, width] = dimensions.slice(-2);
  const channels = dimensions.length === 4 ? dimensions[1] : 1;
  const labels = Int32Array.from(part.labels.data);
  return padToMultipleOfFour({
    channels,
    height,
    width,
    count: dimensions[0],
    classes,
    images: data,
    labels,
  });
}

/**
 * Parses the bytes of an IDX file of unsigned bytes; `path` is for messages. Gzip is recognised by its magic.
 * Nothing is allocated before the sizes that the header claims are known to be possible for a file of this length,
 * and no more is decompressed than the header says.
 * Throws DATA_FORMAT, DATA_TRUNCATED, DATA_EMPTY.
 */
export async function parseIdx(
  bytes: Uint8Array,
  path: string,
  dimensionCounts: readonly number[],
): Promise<IdxArray> {
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const start = gzipped ? inflateStart(bytes, path) : bytes;
  const wanted = dimensionCounts.map((count) => `0000080${count}`).join(" or ");
  const magic = Buffer.from(start.subarray(0, 4)).toString("hex");
  const dimensionCount = start[3];
  if (!magic.startsWith("000008") || magic.length < 8 || !dimensionCounts.includes(dimensionCount)) {
    throw new IstaError(
      "DATA_FORMAT",
      `IDX: expected the magic number ${wanted} (unsigned bytes) in ${path}, got ${magic || "nothing"}; ` +
        "the file is damaged or of another kind",
    );
  }
  const headerBytes = 4 + 4 * dimensionCount;
  if (start.length < headerBytes) {
    throw truncated(path, `a header of ${headerBytes} bytes`, `${start.length}`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const dimensions = Array.from({ length: dimensionCount }, (_, index) => view.getUint32(4 + 4 * index));
  const claim = `${dimensions.join(" x ")} values, as its header says`;
  const total = headerBytes + dimensions.reduce((product, dimension) => product * dimension, 1);
  if (total === headerBytes) {
    throw new IstaError(
      "DATA_EMPTY",
      `IDX: expected images or labels in ${path}, it has ${claim}; copy it again`,
    );
  }
  const most = gzipped ? bytes.length * largestExpansion : bytes.length;
  if (total > most) throw truncated(path, claim, `at most ${most} bytes`);
  const content = gzipped ? await inflate(bytes, path, total, claim) : bytes;
  if (content.length !== total) throw truncated(path, claim, `${content.length - headerBytes} bytes`);
  // A plain array: the slice() of Node's Buffer would share its bytes.
  const data = new Uint8Array(content.buffer, content.byteOffset + headerBytes, content.length - headerBytes);
  return { dimensions, data };
}

const truncated = (path: string, expected: string, got: string): IstaError =>
  new IstaError(
    "DATA_TRUNCATED",
    `IDX: expected ${expected}, got ${got} in ${path}; copy or download it again`,
  );

/** The first bytes of the content, enough for any header, from the first bytes of the file. */
function inflateStart(bytes: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, 4096), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (cause) {
    throw new IstaError(
      "DATA_FORMAT",
      `IDX: expected gzip data in ${path}, it does not decompress (${(cause as Error).message}); copy it again`,
      { cause },
    );
  }
}

async function inflate(bytes: Uint8Array, path: string, total: number, claim: string): Promise<Uint8Array> {
  try {
    return await promisify(gunzip)(bytes, {
      maxOutputLength: total,
      chunkSize: Math.min(Math.max(total, 64), 2 ** 20),
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw truncated(path, claim, "more");
    if (code === "Z_BUF_ERROR") throw truncated(path, claim, "fewer: the compressed data ends early");
    throw new IstaError(
      "DATA_FORMAT",
      `IDX: expected gzip data in ${path}, it does not decompress (${message}); copy or download it again`,
      { cause },
    );
  }
}
