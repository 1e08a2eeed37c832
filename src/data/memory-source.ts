// Batches from images in memory.

import { RandomStream } from "../base/random.js";
import { type Augmentation, augmentImage, drawAugmentation, noAugmentation } from "./augmentation.js";
import { BatchPlan, type BatchPlanOptions } from "./batch-plan.js";
import { normalisationTables, usableImages } from "./image-set.js";
import type { Batch, BatchSource, ChoosePart, ImageSet, Normalisation } from "./types.js";

export interface MemorySourceOptions extends BatchPlanOptions {
  readonly normalisation: Normalisation;
  /** Default: none. */
  readonly augmentation?: Augmentation;
  /** The images to use, by index; all by default. */
  readonly indices?: Int32Array;
  /** Of every batch only these images are made; all by default. */
  readonly part?: ChoosePart;
}

export class MemoryBatchSource implements BatchSource {
  readonly batchCount: number;
  readonly exampleCount: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: readonly string[];
  private readonly plan: BatchPlan;
  private readonly tables: readonly Float32Array[];
  private readonly augmentation: Augmentation;

  /** Throws USAGE, DATA_EMPTY (no batch can be made) and DATA_SIZE (normalisation of other channels). */
  constructor(
    private readonly set: ImageSet,
    private readonly options: MemorySourceOptions,
  ) {
    this.plan = new BatchPlan(usableImages(set, options.indices), options);
    this.tables = normalisationTables(options.normalisation, set.channels);
    this.augmentation = options.augmentation ?? noAugmentation;
    this.batchCount = this.plan.batchCount;
    this.exampleCount = this.plan.exampleCount;
    this.channels = set.channels;
    this.height = set.height;
    this.width = set.width;
    this.classes = set.classes;
  }

  /** Makes the batch at once, in about a millisecond for 64 images of 3x32x32. */
  async batch(epoch: number, index: number): Promise<Batch> {
    const { set, tables, augmentation } = this;
    const all = this.plan.batch(epoch, index);
    const part = this.options.part?.(all.length);
    const indices = part === undefined ? all : all.subarray(part.first, part.first + part.count);
    const stream = RandomStream.named(this.options.seed, this.plan.augmentationName(epoch, index));
    const values = set.channels * set.height * set.width;
    const images = new Float32Array(indices.length * values);
    const labels = new Int32Array(indices.length);
    // What happens to the images before these comes from the same stream.
    for (let before = 0; before < (part?.first ?? 0); before++) drawAugmentation(stream, set, augmentation);
    indices.forEach((image, position) => {
      const pixels = set.images.subarray(image * values, (image + 1) * values);
      augmentImage(images, position * values, pixels, set, tables, augmentation, stream);
      labels[position] = set.labels[image];
    });
    const batch = { images, labels, count: indices.length, origins: Array.from(indices) };
    if (part === undefined) return batch;
    const { first, share } = part;
    return { ...batch, partOf: { first, share, labels: all.map((image) => set.labels[image]) } };
  }

  async close(): Promise<void> {}
}
