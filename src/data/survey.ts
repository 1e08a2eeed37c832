// Looks at the pictures of an image folder: sizes, statistics of the channels, which are broken.

import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { mapConcurrently } from "./concurrency.js";
import { statisticsOfHistograms } from "./image-set.js";
import { folderFormats, openPicture, renderPicture, wholePicture } from "./picture.js";
import { stratifiedSplit } from "./split.js";
import type { Normalisation, PictureList } from "./types.js";

export interface PictureSurvey {
  /** Of the pixels of all pictures that could be decoded, at their own sizes. */
  readonly statistics: Normalisation;
  /** Smallest and largest side lengths in pixels. */
  readonly height: readonly [smallest: number, largest: number];
  readonly width: readonly [smallest: number, largest: number];
  /** What is wrong with each picture that cannot be decoded, in the order of the list. */
  readonly broken: readonly string[];
}

/** Pictures whose sizes say what is usual. */
const sampledSizes = 200;

/**
 * Median of the shorter sides of some of the pictures, evenly spread; null where not one can be read. Only their headers are.
 * @throws IstaError FILE_*
 */
export async function usualSide({ paths }: PictureList): Promise<number | null> {
  const step = Math.max(1, Math.floor(paths.length / sampledSizes));
  const sides: number[] = [];
  for (let image = 0; image < paths.length; image += step) {
    try {
      const { height, width } = await openPicture(paths[image], folderFormats);
      sides.push(Math.min(height, width));
    } catch (error) {
      // Whoever opens all of them says what is wrong with it.
      if (!(error instanceof IstaError)) throw error;
    }
  }
  return sides.sort((a, b) => a - b)[Math.floor(sides.length / 2)] ?? null;
}

/**
 * Decodes all pictures of the list, or those with the given indices. Throws DATA_PICTURE if not one can be decoded.
 * `onProgress` gets the number of pictures looked at so far.
 */
export async function surveyPictures(
  list: PictureList,
  indices: Int32Array = Int32Array.from({ length: list.count }, (_, i) => i),
  onProgress: (done: number) => void = () => {},
): Promise<PictureSurvey> {
  const histograms = [0, 1, 2].map(() => new Float64Array(256));
  const height: [number, number] = [Number.POSITIVE_INFINITY, 0];
  const width: [number, number] = [Number.POSITIVE_INFINITY, 0];
  const failures: { position: number; reason: string }[] = [];
  let done = 0;
  await mapConcurrently(Array.from(indices), 2 * Math.min(8, usefulThreads()), async (image, position) => {
    try {
      const picture = await openPicture(list.paths[image], folderFormats);
      const pixels = await renderPicture(picture, wholePicture(picture), 3);
      const area = pixels.length / 3;
      histograms.forEach((histogram, channel) => {
        for (let i = channel * area; i < (channel + 1) * area; i++) histogram[pixels[i]]++;
      });
      height[0] = Math.min(height[0], picture.height);
      height[1] = Math.max(height[1], picture.height);
      width[0] = Math.min(width[0], picture.width);
      width[1] = Math.max(width[1], picture.width);
    } catch (error) {
      if (!(error instanceof IstaError)) throw error;
      failures.push({ position, reason: error.message });
    }
    onProgress(++done);
  });
  const broken = failures.sort((a, b) => a.position - b.position).map(({ reason }) => reason);
  if (broken.length === indices.length) {
    throw new IstaError("DATA_PICTURE", `data: expected a readable picture, all are broken: ${broken[0]}`);
  }
  return { statistics: statisticsOfHistograms(histograms), height, width, broken };
}

/**
 * Mean and standard deviation of the channels, from at most `sampleSize` pictures drawn by the seed. Broken pictures
 * are passed over here; reading the batches reports them.
 */
export async function pictureStatistics(
  list: PictureList,
  seed: number,
  sampleSize = 1000,
): Promise<Normalisation> {
  const { chosen } = stratifiedSplit(list.labels, Math.min(sampleSize, list.count), seed, "statistics");
  return (await surveyPictures(list, chosen)).statistics;
}
