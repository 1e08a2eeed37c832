// Opens a folder with images, whatever known layout it has: what parts there are, which are for training and for testing.

import { createHash } from "node:crypto";
import { relative, sep } from "node:path";
import { IstaError } from "../base/errors.js";
import { averagedTo } from "./average.js";
import { readCifar } from "./cifar.js";
import { commonSmallSize, decodeFolder, selectPictures } from "./folder.js";
import { scanFolder } from "./folder-scan.js";
import { readIdx } from "./idx.js";
import { joinImages, selectImages } from "./image-set.js";
import { locate, type Place } from "./locate.js";
import { setAside as chooseTestImages } from "./split.js";
import type { DataFormat, Dataset, ImageSet, OpenOptions, PictureList } from "./types.js";

/** Images in memory, or pictures that have been found and not yet read. */
export type Part = ImageSet | PictureList;

export const isInMemory = (part: Part): part is ImageSet => "images" in part;

/** A data set as it lies there, before anything is set aside. */
export interface ScannedDataset {
  /** Where the data are, which may be inside of the folder that was named. */
  readonly directory: string;
  readonly format: DataFormat;
  readonly classes: readonly string[];
  /** Whether `classes` are names of the data's own; otherwise they are the numbers of the labels. */
  readonly classesAreNamed: boolean;
  /** `train`, `val` and `test` as far as they are there, or `all` where there are no parts. */
  readonly parts: ReadonlyMap<string, Part>;
  /**
   * SHA-256, hexadecimal, of labels, classes and (of an image folder) paths in order: what splits are made of, the same whether
   * pictures are streamed or in memory, broken or not, and wherever the data lie.
   */
  readonly listing: string;
  /** What is there and not used, and what lies elsewhere than expected: sentences for people. */
  readonly notes: readonly string[];
}

/**
 * Recognises a data set: CIFAR-10 or CIFAR-100 binary files, files of the MNIST family (gzipped or not), or an image folder
 * (`train/CLASS/*.jpg`, `val/CLASS/...`). Pictures of folders are found, not read.
 * Throws DATA_* and FILE_* errors that name the file, what was expected and what came.
 */
export async function scanDataset(directory: string): Promise<ScannedDataset> {
  const place = await locate(directory);
  const found = await scanPlace(place);
  const { format } = place;
  const listing = createHash("sha256").update(JSON.stringify({ format, classes: found.classes }));
  for (const [name, part] of found.parts) {
    listing.update(JSON.stringify([name, part.count])).update(part.labels);
    if (isInMemory(part)) continue;
    for (const path of part.paths)
      listing.update(`${relative(place.directory, path).split(sep).join("/").normalize("NFC")}\0`);
  }
  return { directory: place.directory, format, ...found, listing: listing.digest("hex") };
}

async function scanPlace(place: Place): Promise<Omit<ScannedDataset, "directory" | "format" | "listing">> {
  const { directory, listing, format, prefix, notes } = place;
  if (format === "image-folder") {
    const found = await scanFolder(directory, listing);
    return { ...found, classesAreNamed: true, notes: [...notes, ...found.notes] };
  }
  const read =
    format === "idx"
      ? { ...(await readIdx(directory, listing.files, prefix)), notes: [] }
      : readCifar(directory, listing.files, format);
  const { classes, classesAreNamed, train, test } = read;
  if (
    test !== undefined &&
    (test.channels !== train.channels || test.height !== train.height || test.width !== train.width)
  ) {
    const size = (set: typeof train): string => `${set.channels}x${set.height}x${set.width}`;
    throw new IstaError(
      "DATA_SIZE",
      `data: expected test images of ${size(train)} like the training images in ${directory}, they are ${size(test)}; ` +
        "use files that belong together",
    );
  }
  const parts = new Map([["train", train]]);
  if (test !== undefined) parts.set("test", test);
  return { classes, classesAreNamed, parts, notes: [...notes, ...read.notes] };
}

/** The images with the given indices. */
export const selectPart = (part: Part, indices: Int32Array): Part =>
  isInMemory(part) ? selectImages(part, indices) : selectPictures(part, indices);

/** All images of a data set, part after part. */
export function wholeDataset({ parts }: ScannedDataset): Part {
  const all = [...parts.values()];
  if (all.length === 1) return all[0];
  if (all.every(isInMemory)) return joinImages(all);
  const lists = all as PictureList[];
  return {
    count: lists.reduce((sum, { count }) => sum + count, 0),
    classes: lists[0].classes,
    paths: lists.flatMap(({ paths }) => paths),
    labels: Int32Array.from(lists.flatMap(({ labels }) => Array.from(labels))),
  };
}

export interface TrainAndTest {
  readonly train: Part;
  /** Undefined where every class has but one image. */
  readonly test: Part | undefined;
  /** Name of the part that the test images are; null where there is none. */
  readonly testPart: string | null;
  /** Indices of the images that were set aside for testing, among all; empty where the data have test images. */
  readonly setAside: Int32Array;
}

/**
 * Training and test images of a data set: `test`, or else `val`, or else about a fifth of the training images.
 * @throws IstaError DATA_EMPTY where nothing is there to train on
 */
export function trainAndTest({ directory, parts }: ScannedDataset, splitSeed: number): TrainAndTest {
  const train = parts.get("train") ?? parts.get("all");
  if (train === undefined) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected training pictures (train/CLASS/) in ${directory}, found only ${[...parts.keys()].join(" and ")}; put pictures there, or only evaluate on it (ista-nas eval RUN --data ${directory})`,
    );
  }
  const testPart = ["test", "val"].find((name) => parts.has(name)) ?? null;
  if (testPart !== null) return { train, test: parts.get(testPart), testPart, setAside: new Int32Array() };
  const { chosen, rest } = chooseTestImages(train.labels, splitSeed);
  const setAside = { testPart, setAside: chosen };
  if (chosen.length === 0) return { train, test: undefined, ...setAside };
  return { train: selectPart(train, rest), test: selectPart(train, chosen), ...setAside };
}

/** What people should know of the parts that are used. */
function notesOnParts(
  { parts, directory }: ScannedDataset,
  { train, test, testPart }: TrainAndTest,
  splitSeed: number,
): string[] {
  if (testPart === "test" && parts.has("val"))
    return [
      `${directory} has test and validation images: those of test/ are the test images, the ${parts.get("val")!.count} of val/ are used by ista-nas eval RUN --split val only`,
    ];
  if (testPart !== null) return [];
  return [
    test === undefined
      ? `${directory} has one image of each class: there are none to test on`
      : `${directory} has no test images of its own: ${test.count} of ${train.count + test.count} images are set aside for testing, of every class its share (--split-seed ${splitSeed})`,
  ];
}

/**
 * Recognises and opens a data set for training. Small formats come back in memory; see `OpenOptions` for image folders.
 * Throws DATA_* and FILE_* errors that name the file, what was expected and what came.
 */
export async function openDataset(directory: string, options: OpenOptions = {}): Promise<Dataset> {
  const { imageSize, stream = false, fit = "crop", skipBroken = false, splitSeed = 0 } = options;
  const scanned = await scanDataset(directory);
  const found = trainAndTest(scanned, splitSeed);
  const { train, test, testPart } = found;
  const { parts: _, ...facts } = scanned;
  const notes = [...scanned.notes, ...notesOnParts(scanned, found, splitSeed)];
  const common = { ...facts, testPart, setAside: found.setAside, splitSeed, notes };
  if (isInMemory(train)) {
    const scaled = (set: ImageSet): ImageSet =>
      imageSize === undefined ? set : averagedTo(set, imageSize, scanned.directory);
    const images = test as ImageSet | undefined;
    return {
      storage: "memory",
      ...common,
      train: scaled(train),
      test: images && scaled(images),
      skipped: [],
    };
  }
  const lists = { train, test: test as PictureList | undefined };
  if (imageSize !== undefined && (!Number.isInteger(imageSize) || imageSize < 4)) {
    throw new IstaError("USAGE", `data: expected an image size of at least 4, got ${imageSize}`);
  }
  const given = imageSize === undefined ? undefined : { height: imageSize, width: imageSize, resize: true };
  const both = lists.test === undefined ? [lists.train] : [lists.train, lists.test];
  const own = stream || given ? undefined : await commonSmallSize(both);
  const size = given ?? (own && { ...own, resize: false });
  if (stream || size === undefined) return { storage: "folder", ...common, ...lists, skipped: [] };
  const skipped: string[] = [];
  const decode = (list: PictureList): Promise<ImageSet> =>
    decodeFolder(list, { ...size, fit }, skipBroken ? skipped : undefined);
  return {
    storage: "memory",
    ...common,
    train: await decode(lists.train),
    test: lists.test && (await decode(lists.test)),
    skipped,
  };
}
