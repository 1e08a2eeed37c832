// Image folders: finds the pictures and their classes, and decodes them into memory once where that is wanted.

import { totalmem } from "node:os";
import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { mapConcurrently } from "./concurrency.js";
import { checkClassNames, type Listing, listFolder } from "./disk.js";
import { padToMultipleOfFour, stratifiedSplit } from "./image-set.js";
import { centreCrop, folderFormats, openPicture, renderPicture, wholePicture } from "./picture.js";
import type { ImageSet, PictureList } from "./types.js";

const picturePattern = /\.(jpe?g|png|webp)$/i;
/** Folders with more pictures than this are refused: their paths alone would fill gigabytes. */
const maximumPictures = 20_000_000;
/** Pictures that all have one size of at most this many pixels a side are held in memory. */
const smallSide = 64;
const picturesInFlight = 2 * Math.min(8, usefulThreads());

/** Whether the content of a folder looks like an image folder. */
export function recogniseFolder({ folders }: Listing): boolean {
  return folders.length > 0;
}

export interface ScannedFolder {
  readonly train: PictureList;
  readonly test: PictureList | undefined;
}

/**
 * Finds the pictures (.jpg, .jpeg, .png, .webp) of `train/CLASS/` and `val/CLASS/` (or, without it, `test/CLASS/`).
 * Without a `train` folder the classes lie directly in the folder, and a fifth of each is set aside by the seed.
 * Throws DATA_EMPTY for a class without pictures, DATA_CLASSES where `val` has a class that `train` lacks.
 */
export async function scanFolder(directory: string, listing: Listing, seed: number): Promise<ScannedFolder> {
  if (!listing.folders.includes("train")) {
    const all = await scanClasses(directory, listing.folders);
    const { chosen, rest } = stratifiedSplit(
      all.labels,
      Math.floor(all.count / 5),
      seed,
      "set aside for testing",
    );
    return {
      train: selectPictures(all, rest),
      test: chosen.length > 0 ? selectPictures(all, chosen) : undefined,
    };
  }
  const trainPath = join(directory, "train");
  const train = await scanClasses(trainPath, (await listFolder(trainPath)).folders);
  const testName = ["val", "test"].find((name) => listing.folders.includes(name));
  if (testName === undefined) return { train, test: undefined };
  const testPath = join(directory, testName);
  const test = await scanClasses(testPath, (await listFolder(testPath)).folders, train.classes);
  return { train, test };
}

async function scanClasses(
  directory: string,
  folders: readonly string[],
  classes: readonly string[] = folders,
): Promise<PictureList> {
  if (folders.length === 0) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected a folder for each class in ${directory}, found none; sort the pictures`,
    );
  }
  checkClassNames(folders, directory);
  const paths: string[] = [];
  const labels: number[] = [];
  for (const folder of folders) {
    const label = classes.indexOf(folder);
    const path = join(directory, folder);
    if (label < 0) {
      throw new IstaError(
        "DATA_CLASSES",
        `data: expected only classes of the training pictures, got ${path}; move it or add training pictures`,
      );
    }
    const pictures = (await listFolder(path)).files.filter((name) => picturePattern.test(name));
    if (pictures.length === 0) {
      throw new IstaError(
        "DATA_EMPTY",
        `data: expected pictures (.jpg, .jpeg, .png, .webp) in ${path}, found none; add some or remove the folder`,
      );
    }
    for (const name of pictures) {
      paths.push(join(path, name));
      labels.push(label);
    }
    if (paths.length > maximumPictures) {
      throw new IstaError(
        "DATA_LIMIT",
        `data: expected at most ${maximumPictures} pictures in ${directory}, there are more`,
      );
    }
  }
  return { count: paths.length, classes, paths, labels: Int32Array.from(labels) };
}

/** The pictures with the given indices. */
export function selectPictures(list: PictureList, indices: Int32Array): PictureList {
  return {
    count: indices.length,
    classes: list.classes,
    paths: Array.from(indices, (image) => list.paths[image]),
    labels: Int32Array.from(indices, (image) => list.labels[image]),
  };
}

/** The one size of all pictures if it is small enough to hold them in memory; the first that differs ends the search. */
export async function commonSmallSize(
  lists: readonly PictureList[],
): Promise<{ height: number; width: number } | undefined> {
  let size: { height: number; width: number } | undefined;
  for (const path of lists.flatMap((list) => list.paths)) {
    let picture: { height: number; width: number };
    try {
      picture = await openPicture(path, folderFormats);
    } catch (error) {
      // Decoding will say what is wrong with it, or leave it out if that is wanted.
      if (error instanceof IstaError) continue;
      throw error;
    }
    const { height, width } = picture;
    size ??= { height, width };
    if (Math.max(height, width) > smallSide || height !== size.height || width !== size.width)
      return undefined;
  }
  return size;
}

/**
 * Decodes all pictures once into colour bytes of one size: scaled and centre-cropped if `resize` is set, otherwise
 * they must have that size. Broken ones are left out and named in `skipped` if that is given, or else an error.
 * Throws DATA_PICTURE, DATA_SIZE, DATA_LIMIT (more than half of the machine's memory), DATA_EMPTY (none is left).
 */
export async function decodeFolder(
  list: PictureList,
  { height, width, resize }: { height: number; width: number; resize: boolean },
  skipped?: string[],
): Promise<ImageSet> {
  const values = 3 * height * width;
  if (list.count * values > totalmem() / 2) {
    throw new IstaError(
      "DATA_LIMIT",
      `data: expected pictures that fit into half of the memory, ${list.count} of ${height} x ${width} need ` +
        `${Math.ceil((list.count * values) / 2 ** 30)} GiB; use a smaller image size, fewer pictures, or streaming`,
    );
  }
  const images = new Uint8Array(list.count * values);
  const failures: { image: number; reason: string }[] = [];
  await mapConcurrently(list.paths, picturesInFlight, async (path, image) => {
    try {
      const picture = await openPicture(path, folderFormats);
      if (!resize && (picture.height !== height || picture.width !== width)) {
        throw new IstaError(
          "DATA_SIZE",
          `data: expected ${height} x ${width} pixels in ${path}, it has ${picture.height} x ${picture.width}; give an image size`,
        );
      }
      const geometry = resize ? centreCrop(picture, width, height, 1) : wholePicture(picture);
      images.set(await renderPicture(picture, geometry, 3), image * values);
    } catch (error) {
      if (skipped === undefined || !(error instanceof IstaError)) throw error;
      failures.push({ image, reason: error.message });
    }
  });
  failures.sort((a, b) => a.image - b.image);
  skipped?.push(...failures.map(({ reason }) => reason));
  const broken = new Set(failures.map(({ image }) => image));
  const labels = new Int32Array(list.count - broken.size);
  let count = 0;
  for (let image = 0; image < list.count; image++) {
    if (broken.has(image)) continue;
    images.copyWithin(count * values, image * values, (image + 1) * values);
    labels[count++] = list.labels[image];
  }
  if (count === 0) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected a readable picture, all are broken: ${failures[0].reason}`,
    );
  }
  return padToMultipleOfFour({
    channels: 3,
    height,
    width,
    count,
    classes: list.classes,
    images: images.subarray(0, count * values),
    labels,
  });
}
