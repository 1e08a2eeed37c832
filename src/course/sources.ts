// The batches of a run: which images train the weights, which the codes, which are held out.
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { dataFolder, type SearchConfig, type TrainConfig } from "../config/config.js";
import {
  type Batch,
  type BatchSource,
  cifar10Normalisation,
  type Dataset,
  dataIdentity,
  imagenetCrop,
  type Normalisation,
  openBatchSource,
  openDataset,
  type PictureAugmentation,
  type PrefetchedSource,
  pictureStatistics,
  prefetch,
  statisticsOf,
  stratifiedSplit,
} from "../data/index.js";

/** Evaluation of pictures takes a centre crop of 224 of 256 pixels, as the ImageNet recipes do. */
export const pictureResizeRatio = 256 / 224;

export interface Sources {
  /** Augmented and shuffled, for the weights. */
  readonly training: PrefetchedSource;
  /** The held-out images, augmented and shuffled: what chooses the architecture learns from them. */
  readonly codes: PrefetchedSource | null;
  /** The held-out images as they are; null when nothing is held out. */
  readonly validation: BatchSource | null;
  readonly test: BatchSource | null;
  readonly normalisation: Normalisation;
  /** For pictures from outside: how much larger than the crop the shorter side is made. */
  readonly resizeRatio: number;
  readonly classes: readonly string[];
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** What the user should know of the data: pictures that were skipped. */
  readonly warnings: readonly string[];
  /** What tells the data set from others, wherever it lies; takes a while to find. */
  identity(): string;
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

/** Indices of a seeded, stratified choice of at most `limit` images. */
export function limited(labels: Int32Array, limit: number | null, seed: number, name: string): Int32Array {
  const size = Math.min(limit ?? labels.length, labels.length);
  return stratifiedSplit(labels, size, seed, name).chosen;
}

/** Which training images the weights learn from, and which are held out; the same for the same seed. */
export function splitTraining(
  allLabels: Int32Array,
  { limitTrain, validationFraction, seed }: Pick<DataConfig, "limitTrain" | "validationFraction" | "seed">,
): { trained: Int32Array; heldOut: Int32Array } {
  const used = limited(allLabels, limitTrain, seed, "limit-train");
  const labels = Int32Array.from(used, (image) => allLabels[image]);
  const heldOutCount = Math.round(used.length * validationFraction);
  const { chosen, rest } = stratifiedSplit(labels, heldOutCount, seed, "held-out");
  return {
    heldOut: Int32Array.from(chosen, (position) => used[position]),
    trained: Int32Array.from(rest, (position) => used[position]),
  };
}

/** "MEAN,.../STD,..." @throws IstaError CONFIG_VALUE when the channels are others than the data's. */
export function parseNormalisation(text: string, channels: number): Normalisation {
  const [mean, std] = text.split("/").map((part) => part.split(",").map(Number));
  const valid = mean.length === channels && std?.length === channels && std.every((value) => value > 0);
  if (valid && [...mean, ...std].every(Number.isFinite)) return { mean, std };
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
    : pictureStatistics(dataset.train, config.seed);
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
async function openFolder(config: DataConfig): Promise<{ dataset: Dataset; size: number }> {
  const stream = config.augmentation === "random-resized-crop";
  const dataset = await openDataset(dataFolder(config.data), {
    imageSize: config.imageSize ?? undefined,
    stream,
    seed: config.seed,
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
  return { dataset, size: dataset.storage === "folder" ? config.imageSize! : dataset.train.height };
}

/**
 * Opens the data of a run and splits it: the held-out part has `validationFraction` of the training images.
 * @throws IstaError DATA_*, FILE_*, CONFIG_VALUE
 */
export async function openSources(config: DataConfig): Promise<Sources> {
  const { batchSize, seed } = config;
  const { dataset: opened, size } = await openFolder(config);
  const { trained, heldOut } = splitTraining(opened.train.labels, config);
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

  const source = (
    part: "train" | "test",
    indices: Int32Array,
    name: string,
    varied: boolean,
  ): PrefetchedSource => {
    const options = {
      batchSize,
      seed,
      shuffle: varied,
      name,
      indices,
      normalisation,
      augmentation: varied ? augmentationOf(config, size) : undefined,
      size,
      resizeRatio: pictureResizeRatio,
      skipBroken: config.skipBroken,
    };
    const made = openBatchSource(dataset, part, options);
    // Shuffled sources are gone through epoch after epoch.
    return prefetch(made, config.prefetch, varied);
  };
  const sources: (PrefetchedSource | null)[] = [
    source("train", trained, "weights", true),
    heldOut.length === 0 ? null : source("train", heldOut, "codes", true),
    heldOut.length === 0 ? null : source("train", heldOut, "validation", false),
    test === undefined
      ? null
      : source("test", limited(test.labels, config.limitTest, seed, "limit-test"), "test", false),
  ];
  const [training, codes, validation, testing] = sources;
  return {
    training: training!,
    codes,
    validation,
    test: testing,
    normalisation,
    resizeRatio: dataset.storage === "folder" ? pictureResizeRatio : 1,
    classes: dataset.classes,
    channels: training!.channels,
    height: training!.height,
    width: training!.width,
    warnings:
      dataset.skipped.length === 0
        ? []
        : [`skipped ${dataset.skipped.length} broken pictures, the first: ${dataset.skipped[0]}`],
    identity: () => dataIdentity(dataset),
    async close() {
      for (const one of sources) await one?.close();
    },
  };
}
