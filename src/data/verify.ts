// Reads a whole data set and reports what is in it.

import { classCounts, statisticsOf } from "./image-set.js";
import { openDataset } from "./open.js";
import { surveyPictures } from "./survey.js";
import type { DataFormat, ImageSet, Normalisation, PictureList } from "./types.js";

/** One part of a data set; heights and widths are the smallest and the largest, in pixels. */
export interface PartReport {
  readonly count: number;
  /** Images of each class. */
  readonly classCounts: readonly number[];
  readonly channels: number;
  readonly height: readonly [smallest: number, largest: number];
  readonly width: readonly [smallest: number, largest: number];
}

export interface DatasetReport {
  readonly directory: string;
  readonly format: DataFormat;
  readonly classes: readonly string[];
  readonly train: PartReport;
  readonly test: PartReport | undefined;
  /** Mean and standard deviation of each channel over the training images, pixel values scaled to 0..1. */
  readonly statistics: Normalisation;
  /** Pictures that cannot be decoded, with the reason. They are counted above. */
  readonly broken: readonly string[];
}

/**
 * Opens a data set and reads every image of it. `onProgress` gets how many pictures of an image folder are done.
 * Throws what `openDataset` throws; broken pictures are reported, not thrown.
 */
export async function verifyDataset(
  directory: string,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<DatasetReport> {
  const dataset = await openDataset(directory, { stream: true });
  const { format, classes } = dataset;
  if (dataset.storage === "memory") {
    const part = (set: ImageSet): PartReport => ({
      count: set.count,
      classCounts: classCounts(set.labels, classes),
      channels: set.channels,
      height: [set.height, set.height],
      width: [set.width, set.width],
    });
    const { train, test } = dataset;
    const statistics = statisticsOf(train);
    return {
      directory,
      format,
      classes,
      train: part(train),
      test: test && part(test),
      statistics,
      broken: [],
    };
  }
  const total = dataset.train.count + (dataset.test?.count ?? 0);
  const broken: string[] = [];
  const survey = async (
    list: PictureList,
    before: number,
  ): Promise<PartReport & { statistics: Normalisation }> => {
    const found = await surveyPictures(list, undefined, (done) => onProgress(before + done, total));
    broken.push(...found.broken);
    const { height, width, statistics } = found;
    return {
      count: list.count,
      classCounts: classCounts(list.labels, classes),
      channels: 3,
      height,
      width,
      statistics,
    };
  };
  const { statistics, ...train } = await survey(dataset.train, 0);
  let test: PartReport | undefined;
  if (dataset.test !== undefined) {
    const { statistics: _, ...rest } = await survey(dataset.test, dataset.train.count);
    test = rest;
  }
  return { directory, format, classes, train, test, statistics, broken };
}
