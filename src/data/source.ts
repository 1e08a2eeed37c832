// Batches of a part of a data set, however its images are held.
import type { BatchPlanOptions } from "./batch-plan.js";
import { FolderBatchSource } from "./folder-source.js";
import { MemoryBatchSource } from "./memory-source.js";
import { isInMemory, type Part } from "./open.js";
import type { PictureShape } from "./picture.js";
import type { PictureCache } from "./picture-cache.js";
import type { PictureAugmentation } from "./picture-pool.js";
import type { BatchSource, ChoosePart, Normalisation } from "./types.js";

export interface SourceOptions extends BatchPlanOptions {
  readonly normalisation: Normalisation;
  /** Default: none, as for evaluation. */
  readonly augmentation?: PictureAugmentation;
  /** The images to use, by index; all by default. */
  readonly indices?: Int32Array;
  /** Of every batch only these images are made; all by default. */
  readonly part?: ChoosePart;
  /** What streamed pictures become; images in memory are as they are. */
  readonly shape: PictureShape;
  /** Leave broken pictures that are streamed out of their batches instead of failing. */
  readonly skipBroken: boolean;
  /** Keeps photographs of streamed folders. */
  readonly cache?: PictureCache;
  /** Other numbers for the classes, and their names. */
  readonly relabelled?: { readonly labels: Int32Array; readonly classes: readonly string[] };
}

export function openBatchSource(
  part: Part,
  { shape, skipBroken, cache, relabelled, ...options }: SourceOptions,
): BatchSource {
  return isInMemory(part)
    ? new MemoryBatchSource({ ...part, ...relabelled }, options)
    : new FolderBatchSource({ ...part, ...relabelled }, { ...options, shape, skipBroken, cache });
}

/** The first batches of every epoch, of at least `count` images where there are so many. */
export function firstImages(source: BatchSource, count: number): BatchSource {
  const { channels, height, width, classes, exampleCount } = source;
  const batchSize = Math.ceil(exampleCount / source.batchCount);
  const batchCount = Math.min(source.batchCount, Math.ceil(count / batchSize));
  return {
    ...{ channels, height, width, classes, batchCount },
    exampleCount: Math.min(exampleCount, batchCount * batchSize),
    batch: (epoch, index) => source.batch(epoch, index),
    close: () => source.close(),
  };
}
