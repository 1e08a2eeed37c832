// Reads IDX files (the format of the MNIST family), plain or gzipped, without trusting their headers.

import { join } from "node:path";
import { promisify } from "node:util";
import { constants, gunzip, gunzipSync } from "node:zlib";
import { IstaError } from "../base/errors.js";
import { checkClassNames, readBytes, readClassNames } from "./disk.js";
import { type IdxFile, idxFiles, isSideways } from "./idx-files.js";
import { padToMultipleOfFour } from "./image-set.js";
import type { ImageSet } from "./types.js";

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

/** An array with its dimensions, the outermost first. */
export interface IdxArray {
  readonly dimensions: readonly number[];
  /** Unsigned bytes, or big-endian integers of 4 bytes. */
  readonly data: Uint8Array;
}

/**
 * Reads a folder of IDX files: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k` or
 * `test`, each with or without `.gz`, all with the same `prefix`. Images have 3 dimensions (count, height, width) or 4, with the
 * channels in the second or the last place, and are padded with zeros to sides divisible by 4. Those of EMNIST are turned upright.
 * Labels have one dimension, or two, of which the first column counts (QMNIST). Names of the classes come from `classes.txt` or
 * EMNIST's `...mapping.txt`; otherwise they are the numbers.
 * Throws DATA_* and FILE_* errors that name the file.
 */
export async function readIdx(
  directory: string,
  files: readonly string[],
  prefix = "",
): Promise<{
  classes: readonly string[];
  classesAreNamed: boolean;
  train: ImageSet;
  test: ImageSet | undefined;
}> {
  const own = idxFiles(files).filter((file) => file.prefix === prefix);
  const readPart = async (part: IdxFile["part"]): Promise<IdxPart | undefined> => {
    const [imagesName, labelsName] = (["images", "labels"] as const).map(
      (content) => own.find((file) => file.part === part && file.content === content)?.name,
    );
    if (imagesName === undefined && labelsName === undefined) return undefined;
    if (imagesName === undefined || labelsName === undefined) {
      throw new IstaError(
        "DATA_EMPTY",
        `IDX: expected ${part} images and labels in ${directory}, found only ${imagesName ?? labelsName}; copy both`,
      );
    }
    const imagesPath = join(directory, imagesName);
    const labelsPath = join(directory, labelsName);
    const images = await parseIdx(readBytes(imagesPath), imagesPath, [3, 4]);
    const labels = labelsOf(await parseIdx(readBytes(labelsPath), labelsPath, [1, 2]), labelsPath);
    if (labels.length !== images.dimensions[0]) {
      throw new IstaError(
        "DATA_LABEL",
        `IDX: expected ${images.dimensions[0]} labels in ${labelsPath}, one an image, it has ${labels.length}; ` +
          "copy the pair of files again",
      );
    }
    return { images: planar(images, imagesPath, isSideways(prefix)), labels, labelsPath };
  };
  const train = await readPart("train");
  const test = await readPart("test");
  if (train === undefined) {
    throw new IstaError(
      "DATA_EMPTY",
      `IDX: expected training files train-* in ${directory}, found none; copy them`,
    );
  }
  const names = readNames(directory, files, prefix);
  const { classes, numbers } = names ?? numbersAsNames(train);
  const from = names?.path ?? "classes.txt";
  return {
    classes,
    classesAreNamed: names !== null,
    train: imageSet(train, classes, numbers, from),
    test: test && imageSet(test, classes, numbers, from),
  };
}

interface IdxPart {
  readonly images: IdxArray;
  readonly labels: Int32Array;
  readonly labelsPath: string;
}

/** Names of classes, and which of them each label of the files means. */
interface Names {
  readonly classes: readonly string[];
  readonly numbers: ReadonlyMap<number, number>;
}

/** One label an image: the only column, or the first one. */
function labelsOf({ dimensions: [count, columns = 1], data }: IdxArray, path: string): Int32Array {
  const bytes = data.length / (count * columns);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const labels = Int32Array.from({ length: count }, (_, image) =>
    bytes === 1 ? data[image * columns] : view.getInt32(4 * image * columns),
  );
  const bad = labels.findIndex((label) => label < 0 || label > 65_535);
  if (bad < 0) return labels;
  throw new IstaError(
    "DATA_LABEL",
    `IDX: expected labels of classes in ${path}, image ${bad} has ${labels[bad]}; the file is damaged or of another kind`,
  );
}

/** The images with the channels before rows and columns. @throws IstaError DATA_FORMAT where nothing tells where they are */
function planar({ dimensions, data }: IdxArray, path: string, sideways: boolean): IdxArray {
  if (dimensions.length === 3) {
    if (!sideways) return { dimensions, data };
    const [count, width, height] = dimensions;
    return { dimensions: [count, height, width], data: moved(data, [count, height, width], [1, height]) };
  }
  const [count, first, middle, last] = dimensions;
  const few = 4;
  const channelsFirst = first <= few || (last > few && middle === last && first !== middle);
  const channelsLast = last <= few || (first > few && first === middle && last !== middle);
  if (channelsFirst) return { dimensions, data };
  if (channelsLast) {
    const size = first * middle * last;
    const images = new Uint8Array(data.length);
    for (let at = 0; at < data.length; at += size)
      images.set(moved(data.subarray(at, at + size), [last, first, middle], [middle * last, last], 1), at);
    return { dimensions: [count, last, first, middle], data: images };
  }
  throw new IstaError(
    "DATA_FORMAT",
    `IDX: expected images of count x channels x height x width in ${path}, got ${dimensions.join(" x ")}, where nothing tells which number is the channels; write them in this order`,
  );
}

/** Planes of rows of columns out of other places: a step in the row adds `steps[0]`, one in the column `steps[1]`. */
function moved(
  data: Uint8Array,
  [planes, height, width]: readonly number[],
  [rowStep, columnStep]: readonly number[],
  planeStep = height * width,
): Uint8Array {
  const out = new Uint8Array(planes * height * width);
  let to = 0;
  for (let plane = 0; plane < planes; plane++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) out[to++] = data[plane * planeStep + y * rowStep + x * columnStep];
  return out;
}

/** `classes.txt`: a name a line. EMNIST's mapping: a label and the characters that it stands for. Null where there is neither. */
function readNames(
  directory: string,
  files: readonly string[],
  prefix: string,
): (Names & { readonly path: string }) | null {
  const mapping = `${prefix}mapping.txt`;
  if (files.includes("classes.txt")) {
    const path = join(directory, "classes.txt");
    const classes = readClassNames(path);
    return { classes, numbers: new Map(classes.map((_, label) => [label, label])), path };
  }
  if (!files.includes(mapping)) return null;
  const path = join(directory, mapping);
  const rows = new TextDecoder()
    .decode(readBytes(path, 2 ** 20))
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .map((line) => line.trim().split(/\s+/).map(Number));
  if (!rows.every((row) => row.length > 1 && row.every((n) => Number.isInteger(n) && n >= 0 && n < 65_536))) {
    throw new IstaError(
      "DATA_CLASSES",
      `IDX: expected a label and codes of characters in every line of ${path}; copy it again`,
    );
  }
  rows.sort(([a], [b]) => a - b);
  // A code is written once; where a label stands for a capital and a small letter, the capital comes first.
  const classes = rows.map(([, code]) => String.fromCharCode(code));
  checkClassNames(classes, path);
  return { classes, numbers: new Map(rows.map(([label], index) => [label, index])), path };
}

/** Without names only the labels say how many classes there are: a hole betrays a damaged label. */
function numbersAsNames({ labels, labelsPath }: IdxPart): Names {
  const present = new Set(labels);
  const highest = labels.reduce((a, b) => Math.max(a, b), 0);
  const classes = Array.from({ length: highest + 1 }, (_, label) => String(label));
  const missing = classes.findIndex((_, label) => !present.has(label));
  if (missing >= 0) {
    throw new IstaError(
      "DATA_LABEL",
      `IDX: expected every label from 0 to the highest in ${labelsPath}, it goes to ${highest} but no image ` +
        `has ${missing}; name the classes in classes.txt, one a line, if that is right`,
    );
  }
  return { classes, numbers: new Map(classes.map((_, label) => [label, label])) };
}

function imageSet(
  { images: { dimensions, data }, labels: given, labelsPath }: IdxPart,
  classes: readonly string[],
  numbers: Names["numbers"],
  from: string,
): ImageSet {
  const labels = given.map((label, image) => {
    const number = numbers.get(label);
    if (number !== undefined) return number;
    const known = [...numbers.keys()];
    throw new IstaError(
      "DATA_LABEL",
      `IDX: expected labels ${known[0]} to ${known[known.length - 1]} in ${labelsPath}, image ${image} has ` +
        `${label}; the file is damaged, or ${from} lacks names`,
    );
  });
  const [height, width] = dimensions.slice(-2);
  const channels = dimensions.length === 4 ? dimensions[1] : 1;
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
 * Parses the bytes of an IDX file of unsigned bytes, or, with two dimensions, also of integers of 4 bytes; `path` is for
 * messages. Gzip is recognised by its magic.
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
  const valueBytes = magic === "00000c02" ? 4 : 1;
  const known = magic.startsWith("000008") || valueBytes === 4;
  if (!known || magic.length < 8 || !dimensionCounts.includes(dimensionCount)) {
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
  const total = headerBytes + dimensions.reduce((product, dimension) => product * dimension, valueBytes);
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
