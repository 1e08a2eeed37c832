// Reads the CIFAR-10 and CIFAR-100 binary layouts (Krizhevsky, 2009): records of label bytes and a 3x32x32 picture.

import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { readBytes, readClassNames } from "./disk.js";
import type { ImageSet } from "./types.js";

const side = 32;
const pictureBytes = 3 * side * side;

interface CifarLayout {
  /** Label bytes before each picture; the last one is the label. */
  readonly labelBytes: 1 | 2;
  /** Classes when the folder has no file of names. */
  readonly classCount: number;
  readonly namesFile: string;
  isTrainFile(name: string): boolean;
  /** The training files as they are published. */
  readonly trainFiles: readonly string[];
  readonly testFile: string;
}

export const cifarLayouts = {
  cifar10: {
    labelBytes: 1,
    classCount: 10,
    namesFile: "batches.meta.txt",
    isTrainFile: (name: string) => /^data_batch_\d+\.bin$/.test(name),
    trainFiles: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
    testFile: "test_batch.bin",
  },
  cifar100: {
    labelBytes: 2,
    classCount: 100,
    namesFile: "fine_label_names.txt",
    isTrainFile: (name: string) => name === "train.bin",
    trainFiles: ["train.bin"],
    testFile: "test.bin",
  },
} as const satisfies Record<string, CifarLayout>;

export type CifarFormat = keyof typeof cifarLayouts;

/** The CIFAR layout that the names of a folder's files show, if any. */
export function recogniseCifar(files: readonly string[]): CifarFormat | undefined {
  const formats = Object.keys(cifarLayouts) as CifarFormat[];
  return formats.find((format) => {
    const layout = cifarLayouts[format];
    return files.some((name) => layout.isTrainFile(name) || name === layout.testFile);
  });
}

/**
 * Reads a folder of CIFAR files; a file may have any number of records (size / 3073 or 3074).
 * Throws DATA_EMPTY, DATA_TRUNCATED, DATA_LABEL, DATA_CLASSES and FILE_* errors that name the file.
 */
export function readCifar(
  directory: string,
  files: readonly string[],
  format: CifarFormat,
): {
  classes: string[];
  classesAreNamed: boolean;
  train: ImageSet;
  test: ImageSet | undefined;
  notes: string[];
} {
  const layout: CifarLayout = cifarLayouts[format];
  const classesAreNamed = files.includes(layout.namesFile);
  const classes = classesAreNamed
    ? readClassNames(join(directory, layout.namesFile))
    : Array.from({ length: layout.classCount }, (_, label) => String(label));
  const number = (name: string): number => Number(/\d+/.exec(name)?.[0] ?? 0);
  const trainFiles = files.filter((name) => layout.isTrainFile(name)).sort((a, b) => number(a) - number(b));
  if (trainFiles.length === 0) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected ${format} training files in ${directory}, found only ${layout.testFile}; copy them there`,
    );
  }
  const read = (names: readonly string[]): ImageSet => {
    const paths = names.map((name) => join(directory, name));
    return parseCifar(
      paths.map((path) => readBytes(path)),
      paths,
      layout.labelBytes,
      classes,
    );
  };
  const test = files.includes(layout.testFile) ? read([layout.testFile]) : undefined;
  const missing = layout.trainFiles.filter((name) => !files.includes(name));
  const notes =
    missing.length === 0
      ? []
      : [
          `${directory} has no ${missing.join(", ")}, which ${format} is published with: there are fewer images`,
        ];
  return { classes, classesAreNamed, train: read(trainFiles), test, notes };
}

/** Joins the records of the given files, whose paths are only for messages. */
export function parseCifar(
  files: readonly Uint8Array[],
  paths: readonly string[],
  labelBytes: 1 | 2,
  classes: readonly string[],
): ImageSet {
  const recordBytes = labelBytes + pictureBytes;
  files.forEach((bytes, index) => {
    if (bytes.length === 0) {
      throw new IstaError(
        "DATA_EMPTY",
        `CIFAR: expected records in ${paths[index]}, it is empty; copy it again`,
      );
    }
    if (bytes.length % recordBytes !== 0) {
      throw new IstaError(
        "DATA_TRUNCATED",
        `CIFAR: expected a multiple of ${recordBytes} bytes in ${paths[index]}, it has ${bytes.length} ` +
          `(${bytes.length % recordBytes} left over); copy or download it again`,
      );
    }
  });
  const count = files.reduce((sum, bytes) => sum + bytes.length / recordBytes, 0);
  const images = new Uint8Array(count * pictureBytes);
  const labels = new Int32Array(count);
  let image = 0;
  files.forEach((bytes, index) => {
    for (let start = 0; start < bytes.length; start += recordBytes, image++) {
      const label = bytes[start + labelBytes - 1];
      if (label >= classes.length) {
        throw new IstaError(
          "DATA_LABEL",
          `CIFAR: expected labels 0 to ${classes.length - 1} in ${paths[index]}, record ${start / recordBytes} ` +
            `has ${label}; the file is damaged or of another kind`,
        );
      }
      labels[image] = label;
      images.set(bytes.subarray(start + labelBytes, start + recordBytes), image * pictureBytes);
    }
  });
  return { channels: 3, height: side, width: side, count, classes, images, labels };
}
