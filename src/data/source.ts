// Batches of a data set, however its images are held.
import type { BatchPlanOptions } from "./batch-plan.js";
import { FolderBatchSource } from "./folder-source.js";
import { MemoryBatchSource } from "./memory-source.js";
import type { PictureAugmentation } from "./picture-pool.js";
import type { BatchSource, Dataset, Normalisation } from "./types.js";

export interface SourceOptions extends BatchPlanOptions {
  readonly normalisation: Normalisation;
  /** Default: none, as for evaluation. */
  readonly augmentation?: PictureAugmentation;
  /** The images to use, by index; all by default. */
  readonly indices?: Int32Array;
  /** Side in pixels that streamed pictures are made square to; images in memory have their size. */
  readonly size: number;
  /** Of streamed pictures: how much larger than the crop the shorter side is made. */
  readonly resizeRatio: number;
  /** Leave broken pictures that are streamed out of their batches instead of failing. */
  readonly skipBroken: boolean;
  /** Other numbers for the classes, and their names. */
  readonly relabelled?: { readonly labels: Int32Array; readonly classes: readonly string[] };
}

/** @param part one that the data set has */
export function openBatchSource(
  dataset: Dataset,
  part: "train" | "test",
  { size, resizeRatio, skipBroken, relabelled, ...options }: SourceOptions,
): BatchSource {
  return dataset.storage === "memory"
    ? new MemoryBatchSource({ ...dataset[part]!, ...relabelled }, options)
    : new FolderBatchSource(
        { ...dataset[part]!, ...relabelled },
        { ...options, size, resizeRatio, skipBroken },
      );
}

/** Channels, height and width of the batches of a data set. @param size as in SourceOptions */
export function batchShape(
  { storage, train }: Dataset,
  size: number,
): { readonly channels: number; readonly height: number; readonly width: number } {
  // Streamed pictures are made square and coloured.
  if (storage === "folder") return { channels: 3, height: size, width: size };
  const { channels, height, width } = train;
  return { channels, height, width };
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
