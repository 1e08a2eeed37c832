// The pictures of image folders: some of them, their common size, and all of them decoded into memory once.

import { totalmem } from "node:os";
import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { mapConcurrently } from "./concurrency.js";
import { padToMultipleOfFour } from "./image-set.js";
import { folderFormats, openPicture, openReduced, preparePicture } from "./picture.js";
import type { Fit, ImageSet, PictureList, PixelSize } from "./types.js";

/** Pictures that all have one size of at most this many pixels a side are held in memory. */
const smallSide = 64;
const picturesInFlight = 2 * Math.min(8, usefulThreads());

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
export async function commonSmallSize(lists: readonly PictureList[]): Promise<PixelSize | undefined> {
  let size: PixelSize | undefined;
  for (const path of lists.flatMap((list) => list.paths)) {
    let picture: PixelSize;
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
 * Decodes all pictures once into colour bytes of one size: brought to it by `fit` if `resize` is set, otherwise they must have
 * that size. Broken ones are marked in the set and named in `skipped` if that is given, or else an error.
 * Throws DATA_PICTURE, DATA_SIZE, DATA_LIMIT (more than half of the machine's memory), DATA_EMPTY (none is left).
 */
export async function decodeFolder(
  list: PictureList,
  { height, width, resize, fit }: PixelSize & { resize: boolean; fit?: Fit },
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
      const picture = await openReduced(path, { height, width }, folderFormats);
      if (!resize && (picture.height !== height || picture.width !== width)) {
        throw new IstaError(
          "DATA_SIZE",
          `data: expected ${height} x ${width} pixels in ${path}, it has ${picture.height} x ${picture.width}; give an image size`,
        );
      }
      const shape = { channels: 3, height, width, resizeRatio: 1, fit } as const;
      images.set(await preparePicture(picture, shape), image * values);
    } catch (error) {
      if (skipped === undefined || !(error instanceof IstaError)) throw error;
      failures.push({ image, reason: error.message });
    }
  });
  failures.sort((a, b) => a.image - b.image);
  skipped?.push(...failures.map(({ reason }) => reason));
  if (failures.length === list.count) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected a readable picture, all are broken: ${failures[0].reason}`,
    );
  }
  const { count, classes, labels } = list;
  const broken = failures.length === 0 ? {} : { broken: new Set(failures.map(({ image }) => image)) };
  return padToMultipleOfFour({ channels: 3, height, width, count, classes, images, labels, ...broken });
}
