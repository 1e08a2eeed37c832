// Batches from the pictures of an image folder, decoded anew every time by threads of their own.

import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { noAugmentation } from "./augmentation.js";
import { BatchPlan, type BatchPlanOptions } from "./batch-plan.js";
import { normalisationTables } from "./image-set.js";
import type { PictureShape } from "./picture.js";
import { PictureCache, usualCacheBytes } from "./picture-cache.js";
import { type PictureAugmentation, type PictureBatch, PicturePool } from "./picture-pool.js";
import {
  type Batch,
  type BatchSource,
  type ChoosePart,
  largestImageSide,
  type Normalisation,
  type PictureList,
} from "./types.js";

export interface FolderSourceOptions extends BatchPlanOptions {
  /** The images that are made, with sides that are multiples of 4. */
  readonly shape: PictureShape;
  readonly normalisation: Normalisation;
  /** Default: none, as for evaluation. */
  readonly augmentation?: PictureAugmentation;
  /** The pictures to use, by index; all by default. */
  readonly indices?: Int32Array;
  /** Of every batch only these pictures are made; all by default. Not together with `skipBroken`. */
  readonly part?: ChoosePart;
  /** Threads. Default: one for each core but one, at most 8. Each batch is made by one of them. */
  readonly workers?: number;
  /** Leave broken pictures out of their batches, which get smaller, instead of failing. */
  readonly skipBroken?: boolean;
  /** Keeps photographs that were decoded once; may be shared by sources of one shape. Default: one of `usualCacheBytes`. */
  readonly cache?: PictureCache;
}

/** Wrap it in `prefetch` so that its threads work on the next batches during a training step. */
export class FolderBatchSource implements BatchSource {
  readonly batchCount: number;
  readonly exampleCount: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: readonly string[];
  /** Broken pictures that were left out so far: path and reason. */
  readonly broken = new Map<string, string>();
  private readonly plan: BatchPlan;
  private readonly pool: PicturePool;
  private readonly cache: PictureCache;
  /** For each picture of the list 1 where it was read without fault: later epochs take less trouble. */
  private readonly whole: Uint8Array;

  /** Throws USAGE, DATA_EMPTY (no batch can be made), DATA_SIZE. Threads start with the first batch. */
  constructor(
    private readonly list: PictureList,
    private readonly options: FolderSourceOptions,
  ) {
    const { shape, normalisation, workers = Math.min(8, Math.max(1, usefulThreads() - 1)) } = options;
    for (const side of [shape.height, shape.width]) {
      if (Number.isInteger(side) && side >= 4 && side % 4 === 0 && side <= largestImageSide) continue;
      throw new IstaError(
        "DATA_SIZE",
        `pictures: expected an image size that is a multiple of 4 up to ${largestImageSide}, got ${side}`,
      );
    }
    normalisationTables(normalisation, shape.channels);
    this.plan = new BatchPlan(options.indices ?? list.count, options);
    this.whole = new Uint8Array(list.count);
    this.batchCount = this.plan.batchCount;
    this.exampleCount = this.plan.exampleCount;
    this.channels = shape.channels;
    this.height = shape.height;
    this.width = shape.width;
    this.classes = list.classes;
    this.pool = new PicturePool(workers);
    this.cache = options.cache ?? new PictureCache(usualCacheBytes());
  }

  /** Throws DATA_PICTURE, DATA_LIMIT and FILE_* errors that name a picture, and DATA_WORKER after `close`. */
  async batch(epoch: number, index: number): Promise<Batch> {
    const { shape, normalisation, augmentation = noAugmentation, skipBroken = false } = this.options;
    const all = this.plan.batch(epoch, index);
    const part = this.options.part?.(all.length);
    const first = part?.first ?? 0;
    const indices = Array.from(part === undefined ? all : all.subarray(first, first + part.count));
    const paths = indices.map((image) => this.list.paths[image]);
    const made = await this.pool.run({
      paths,
      shape,
      kept: paths.map((path) => this.cache.get(path)),
      whole: indices.map((image) => this.whole[image] === 1),
      keepMore: this.cache.hasRoom,
      normalisation,
      augmentation,
      seed: this.options.seed,
      streamName: this.plan.augmentationName(epoch, index),
      firstPosition: first,
      skipBroken,
    });
    const labels = Int32Array.from(indices, (image) => this.list.labels[image]);
    for (const { position, picture } of made.kept) this.cache.keep(paths[position], picture);
    for (const { position, reason } of made.broken) this.broken.set(paths[position], reason);
    for (const image of indices) this.whole[image] = 1;
    for (const { position } of made.broken) this.whole[indices[position]] = 0;
    const batch = { images: made.images, labels, count: labels.length, origins: paths };
    if (part !== undefined) {
      const wholeLabels = all.map((image) => this.list.labels[image]);
      return { ...batch, partOf: { first, share: part.share, labels: wholeLabels } };
    }
    if (made.broken.length === 0) return batch;
    return withoutBroken(made, labels, paths);
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}

function withoutBroken(
  { images, broken }: PictureBatch,
  labels: Int32Array,
  paths: readonly string[],
): Batch {
  const missing = new Set(broken.map(({ position }) => position));
  const values = images.length / labels.length;
  let count = 0;
  labels.forEach((label, position) => {
    if (missing.has(position)) return;
    images.copyWithin(count * values, position * values, (position + 1) * values);
    labels[count++] = label;
  });
  if (count === 0) {
    throw new IstaError(
      "DATA_PICTURE",
      `pictures: expected one readable picture in a batch, all are broken: ${broken[0].reason}`,
    );
  }
  const origins = paths.filter((_, position) => !missing.has(position));
  return { images: images.slice(0, count * values), labels: labels.slice(0, count), count, origins };
}
