// Reads a whole data set and reports what is in it.

import { classCounts, statisticsOf } from "./image-set.js";
import { isInMemory, type Part, scanDataset, trainAndTest } from "./open.js";
import { surveyPictures } from "./survey.js";
import type { DataFormat, Normalisation } from "./types.js";

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
  /** Where the data are, which may be inside of the folder that was named. */
  readonly directory: string;
  readonly format: DataFormat;
  readonly classes: readonly string[];
  /** Undefined for a folder that can only be evaluated on. */
  readonly train: PartReport | undefined;
  readonly test: PartReport | undefined;
  /** Whether the test images were chosen among the training images, as a run with that seed does it. */
  readonly testSetAside: boolean;
  /** Validation images beside test images. */
  readonly val: PartReport | undefined;
  /** Mean and standard deviation of each channel over the training images (or the first part), pixel values scaled to 0..1. */
  readonly statistics: Normalisation;
  /** What is there and not used, and what lies elsewhere than expected. */
  readonly notes: readonly string[];
  /** Pictures that cannot be decoded, with the reason. They are counted above. */
  readonly broken: readonly string[];
}

/**
 * Opens a data set and reads every image of it. `onProgress` gets how many pictures of an image folder are done.
 * Throws what `scanDataset` throws; broken pictures are reported, not thrown.
 * @param splitSeed of which images are set aside for testing, where the data have none
 */
export async function verifyDataset(
  directory: string,
  onProgress: (done: number, total: number) => void = () => {},
  splitSeed = 0,
): Promise<DatasetReport> {
  const scanned = await scanDataset(directory);
  const { format, classes, notes } = scanned;
  const parts = new Map(scanned.parts);
  let testSetAside = false;
  if (parts.has("train") || parts.has("all")) {
    const found = trainAndTest(scanned, splitSeed);
    testSetAside = found.setAside.length > 0;
    // Without test images those of val/ are used as such.
    if (found.testPart !== null) parts.delete(found.testPart);
    parts.delete("all");
    parts.set("train", found.train);
    if (found.test !== undefined) parts.set("test", found.test);
  }
  const total = [...parts.values()].reduce((sum, { count }) => sum + count, 0);
  const broken: string[] = [];
  const reports = new Map<string, PartReport>();
  let statistics: Normalisation | undefined;
  let before = 0;
  for (const name of ["train", "test", "val"]) {
    const part = parts.get(name);
    if (part === undefined) continue;
    const seen = await readPart(part, (done) => onProgress(before + done, total));
    const { count } = part;
    reports.set(name, { count, classCounts: classCounts(part.labels, classes), ...seen.report });
    statistics ??= seen.statistics;
    broken.push(...seen.broken);
    before += count;
  }
  return {
    ...{ directory: scanned.directory, format, classes },
    ...{ train: reports.get("train"), test: reports.get("test"), testSetAside, val: reports.get("val") },
    ...{ statistics: statistics!, notes, broken },
  };
}

interface ReadPart {
  readonly report: Pick<PartReport, "channels" | "height" | "width">;
  readonly statistics: Normalisation;
  readonly broken: readonly string[];
}

async function readPart(part: Part, onProgress: (done: number) => void): Promise<ReadPart> {
  if (isInMemory(part)) {
    const { channels, preparation } = part;
    // As they are in the files, without the zeros around them.
    const { height, width } = preparation?.content ?? part;
    return {
      report: { channels, height: [height, height], width: [width, width] },
      statistics: statisticsOf(part),
      broken: [],
    };
  }
  const { height, width, statistics, broken } = await surveyPictures(part, undefined, onProgress);
  return { report: { channels: 3, height, width }, statistics, broken };
}
