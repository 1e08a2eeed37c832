// The batches of a run: which images train the weights, which the codes, which are held out.

import { createHash } from "node:crypto";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { dataFolder, type SearchConfig, type TrainConfig } from "../config/config.js";
import {
  type Batch,
  type BatchSource,
  cifar10Normalisation,
  contentsIdentity,
  type Dataset,
  dataIdentity,
  imagenetCrop,
  isUsableNormalisation,
  limited,
  type Normalisation,
  openBatchSource,
  openDataset,
  type Part,
  type PictureAugmentation,
  PictureCache,
  type PictureShape,
  type PrefetchedSource,
  pictureStatistics,
  prefetch,
  preparedSquare,
  splitTraining,
  statisticsOf,
  type TrainingSplit,
  usualCacheBytes,
} from "../data/index.js";
import type { SplitRecord } from "../run/directory.js";
import { largestShare } from "./chance.js";
import { ownPart, processCount } from "./processes.js";

/** Evaluation of pictures takes a centre crop of 224 of 256 pixels, as the ImageNet recipes do. */
export const pictureResizeRatio = 256 / 224;

export interface Sources {
  /** Augmented and shuffled, for the weights. */
  readonly training: PrefetchedSource;
  /** The held-out images, augmented and shuffled: what chooses the architecture learns from them. */
  readonly codes: PrefetchedSource | null;
  /** The held-out images as they are; null when nothing is held out. */
  readonly validation: BatchSource | null;
  /** Share of the held-out images that are of the largest class, 0..1; 0 where nothing is held out. */
  readonly validationShare: number;
  readonly test: BatchSource | null;
  readonly normalisation: Normalisation;
  /** How pictures from outside become images of this size. */
  readonly picture: Pick<PictureShape, "resizeRatio" | "fit" | "preparation">;
  readonly classes: readonly string[];
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Who is in which part, for the run's record. */
  readonly split: SplitRecord;
  /** What the user should know of the data: what is there and not used, what was set aside. */
  readonly notes: readonly string[];
  /** What is not as it should be: pictures that were skipped. */
  readonly warnings: readonly string[];
  /** A sentence about pictures that were skipped since, while they were streamed; none where there are none. */
  skipped(): readonly string[];
  /** What tells the data set from others, wherever it lies; takes a while to find. */
  identity(): string;
  /** What streamed pictures hold, as far as can be seen without reading all of them; null of images in memory. */
  contents(): string | null;
  close(): Promise<void>;
}

/**
 * The held-out batch that goes with a step. The two parts may have different numbers of batches: the held-out ones are taken round
 * and round.
 */
export function heldOutBatch({ training, codes }: Sources, epoch: number, index: number): Promise<Batch> {
  const turn = epoch * training.batchCount + index;
  return codes!.batch(Math.floor(turn / codes!.batchCount), turn % codes!.batchCount);
}

type DataConfig = SearchConfig | TrainConfig;

/** The seed that decides who is in which part: of the data, or of a run from before there was one, its own. */
export const splitSeedOf = ({ splitSeed, seed }: Pick<DataConfig, "splitSeed" | "seed">): number =>
  splitSeed ?? seed;

/** What of a configuration says who is in which part. */
export type SplitConfig = Pick<
  DataConfig,
  "seed" | "splitSeed" | "limitTrain" | "limitTest" | "validationFraction"
>;

/** Indices of the images of every part, among the training and the test images. */
export interface RunSplit extends TrainingSplit {
  readonly test: Int32Array;
  readonly record: SplitRecord;
}

/** Splits a data set as a run with the configuration does. */
export function splitForRun(
  {
    train,
    test,
    setAside,
    listing,
  }: {
    readonly train: { readonly labels: Int32Array };
    readonly test: { readonly labels: Int32Array } | undefined;
    readonly setAside: Int32Array;
    readonly listing: string;
  },
  config: SplitConfig,
): RunSplit {
  const seed = splitSeedOf(config);
  const { trained, heldOut } = splitTraining(train.labels, {
    limit: config.limitTrain,
    fraction: config.validationFraction,
    seed,
  });
  const tested = limited(test?.labels ?? new Int32Array(), config.limitTest, seed, "limit-test");
  const digest = createHash("sha256");
  for (const part of [setAside, trained, heldOut, tested]) digest.update(`${part.length}:`).update(part);
  const counts = { trained: trained.length, heldOut: heldOut.length, test: tested.length };
  const testSetAside = setAside.length > 0;
  const record = { seed, listing, counts, testSetAside, indices: digest.digest("hex") };
  return { trained, heldOut, test: tested, record };
}

/** "MEAN,.../STD,..." @throws IstaError CONFIG_VALUE when the channels are others than the data's. */
export function parseNormalisation(text: string, channels: number): Normalisation {
  const [mean, std] = text.split("/").map((part) => part.split(",").map(Number));
  if (mean.length === channels && std !== undefined && isUsableNormalisation({ mean, std }))
    return { mean, std };
  throw new IstaError(
    "CONFIG_VALUE",
    `--normalisation ${text}: expected ${channels} means and ${channels} standard deviations above 0, such as 0.5,0.5,0.5/0.25,0.25,0.25`,
  );
}

async function chooseNormalisation(
  config: DataConfig,
  dataset: Dataset,
  training: Int32Array,
): Promise<Normalisation> {
  const channels = dataset.storage === "memory" ? dataset.train.channels : 3;
  if (config.normalisation === "cifar10") {
    if (channels === 3) return cifar10Normalisation;
    throw new IstaError(
      "CONFIG_VALUE",
      `--normalisation cifar10: expected images of 3 channels, those of ${dataset.directory} have ${channels}; use --normalisation data`,
    );
  }
  if (config.normalisation !== "data") return parseNormalisation(config.normalisation, channels);
  // Streamed pictures are not read twice to measure them: the usual statistics of natural images stand in.
  return dataset.storage === "memory"
    ? statisticsOf(dataset.train, training)
    : pictureStatistics(dataset.train, splitSeedOf(config));
}

/** @param side of the network's input in pixels: small images are moved by less */
function augmentationOf(config: DataConfig, side: number): PictureAugmentation {
  const { augmentation, cutout, colorJitter } = config;
  const colourJitter = colorJitter.some((strength) => strength > 0) ? colorJitter : undefined;
  return {
    padding: augmentation === "crop-flip" ? Math.min(4, Math.ceil(side / 8)) : 0,
    flip: augmentation !== "none",
    cutout,
    colourJitter,
    randomResizedCrop: augmentation === "random-resized-crop" ? imagenetCrop : undefined,
  };
}

/** Labels exchanged inside of each part of the training images: nothing can be learnt of what is in a picture. */
function withShuffledLabels(dataset: Dataset, parts: readonly Int32Array[], seed: number): Dataset {
  const labels = Int32Array.from(dataset.train.labels);
  const stream = RandomStream.named(seed, "control/shuffled-labels");
  for (const part of parts) {
    const exchanged = stream.shuffle(Int32Array.from(part, (image) => labels[image]));
    for (const [position, image] of part.entries()) labels[image] = exchanged[position];
  }
  return { ...dataset, train: { ...dataset.train, labels } } as Dataset;
}

/** Opens the folder that the configuration names. @throws IstaError DATA_*, FILE_*, CONFIG_VALUE */
async function openFolder(config: DataConfig): Promise<Dataset> {
  const stream = config.augmentation === "random-resized-crop";
  const dataset = await openDataset(dataFolder(config.data), {
    imageSize: config.imageSize ?? undefined,
    stream,
    fit: config.fit,
    splitSeed: splitSeedOf(config),
    skipBroken: config.skipBroken,
  });
  if (stream && dataset.storage === "memory") {
    throw new IstaError(
      "CONFIG_VALUE",
      `--augmentation random-resized-crop: expected an image folder, ${dataset.directory} is ${dataset.format}; use crop-flip`,
    );
  }
  if (dataset.storage === "folder" && config.imageSize === null) {
    throw new IstaError(
      "CONFIG_VALUE",
      `--image-size: expected a size for the pictures of ${dataset.directory}, which differ or are large; try --image-size 32 to search, 224 to train`,
    );
  }
  return dataset;
}

/**
 * Opens the data of a run and splits it: the held-out part has `validationFraction` of the training images.
 * @throws IstaError DATA_*, FILE_*, CONFIG_VALUE
 */
export async function openSources(config: DataConfig): Promise<Sources> {
  const { batchSize, seed } = config;
  const opened = await openFolder(config);
  const split = splitForRun(opened, config);
  const { trained, heldOut } = split;
  const shuffled = "control" in config && config.control === "shuffled-labels";
  const dataset = shuffled ? withShuffledLabels(opened, [trained, heldOut], seed) : opened;
  const { test } = dataset;
  if (heldOut.length > 0 && trained.length === 0) {
    throw new IstaError(
      "CONFIG_VALUE",
      "--validation-fraction: expected images to be left for training, all are held out",
    );
  }
  const normalisation = await chooseNormalisation(config, dataset, trained);

  const streamed = dataset.storage === "folder";
  const resizeRatio = streamed ? pictureResizeRatio : 1;
  const { side, preparation } = streamed
    ? preparedSquare(config.imageSize!)
    : { side: dataset.train.height, preparation: dataset.train.preparation };
  const gibibytes = config.pictureCache;
  const several = processCount() > 1;
  if (several && streamed && config.skipBroken)
    throw new IstaError(
      "CONFIG_VALUE",
      "--skip-broken: expected a run in one process, as pictures that are skipped while they are streamed change the size of a batch for one of several processes alone; find them with `ista-nas data verify` and take them away",
    );
  const cache = new PictureCache(gibibytes === null ? usualCacheBytes() : gibibytes * 2 ** 30);
  const source = (part: Part, indices: Int32Array, name: string, varied: boolean): PrefetchedSource => {
    const options = {
      batchSize,
      seed,
      shuffle: varied,
      name,
      indices,
      ...(several ? { part: ownPart } : {}),
      normalisation,
      augmentation: varied ? augmentationOf(config, side) : undefined,
      shape: { channels: 3, height: side, width: side, resizeRatio, fit: config.fit, preparation } as const,
      skipBroken: config.skipBroken,
      cache,
    };
    // Shuffled sources are gone through epoch after epoch.
    return prefetch(openBatchSource(part, options), config.prefetch, varied);
  };
  const sources: (PrefetchedSource | null)[] = [
    source(dataset.train, trained, "weights", true),
    heldOut.length === 0 ? null : source(dataset.train, heldOut, "codes", true),
    heldOut.length === 0 ? null : source(dataset.train, heldOut, "validation", false),
    test === undefined ? null : source(test, split.test, "test", false),
  ];
  const [training, codes, validation, testing] = sources;
  return {
    training: training!,
    codes,
    validation,
    validationShare: largestShare(Array.from(heldOut, (image) => dataset.train.labels[image])),
    test: testing,
    normalisation,
    picture: {
      resizeRatio,
      ...(config.fit === "crop" ? {} : { fit: config.fit }),
      ...(preparation === undefined ? {} : { preparation }),
    },
    classes: dataset.classes,
    channels: training!.channels,
    height: training!.height,
    width: training!.width,
    split: split.record,
    notes: dataset.notes,
    warnings: skippedWords(dataset.skipped),
    skipped: () => skippedWords([...new Set(sources.flatMap((one) => [...(one?.broken?.values() ?? [])]))]),
    identity: () => dataIdentity(dataset),
    contents: () => contentsIdentity(dataset),
    async close() {
      for (const one of sources) await one?.close();
      cache.clear();
    },
  };
}

/** A sentence about pictures that were left out; none where there are none. */
export const skippedWords = (reasons: readonly string[]): string[] =>
  reasons.length === 0
    ? []
    : [
        `skipped ${reasons.length} broken picture${reasons.length === 1 ? "" : "s"}, the first: ${reasons[0]}`,
      ];
