// Which images make up which batch of which epoch: a pure function of the seed.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";

export interface BatchPlanOptions {
  readonly batchSize: number;
  readonly seed: number;
  /** A new random order every epoch; otherwise the order of the data set. */
  readonly shuffle: boolean;
  /** Tells apart the sources of one run that share a seed (such as "weights" and "codes"). */
  readonly name?: string;
}

/** Deals the images `0 .. count-1`, or those listed, into batches. */
export class BatchPlan {
  readonly batchCount: number;
  readonly exampleCount: number;
  private readonly indices: Int32Array;
  private cached: { epoch: number; order: Int32Array } | undefined;

  /** Throws USAGE for an impossible batch size, DATA_EMPTY when no batch can be made. */
  constructor(
    images: number | Int32Array,
    private readonly options: BatchPlanOptions,
  ) {
    const { batchSize, shuffle } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new IstaError("USAGE", `data: expected a batch size of at least 1, got ${batchSize}`);
    }
    this.indices = typeof images === "number" ? Int32Array.from({ length: images }, (_, i) => i) : images;
    const count = this.indices.length;
    const rest = count % batchSize;
    // The last, incomplete batch is kept, as in the PyTorch programs of this family; only a rest of a single image is left out when
    // shuffling, because batch normalisation cannot train on one 1x1 map.
    const dropped = shuffle && rest === 1 && batchSize > 1 ? rest : 0;
    this.exampleCount = count - dropped;
    this.batchCount = Math.ceil(this.exampleCount / batchSize);
    if (this.batchCount === 0) {
      throw new IstaError(
        "DATA_EMPTY",
        `data: expected images for at least one batch of ${batchSize}, there are ${count}; use more images or smaller batches`,
      );
    }
  }

  /** Indices of the images of a batch. Throws RangeError for a batch that does not exist. */
  batch(epoch: number, index: number): Int32Array {
    if (
      !Number.isInteger(epoch) ||
      epoch < 0 ||
      !Number.isInteger(index) ||
      index < 0 ||
      index >= this.batchCount
    ) {
      throw new RangeError(`batch ${index} of epoch ${epoch}: expected 0 to ${this.batchCount - 1}`);
    }
    const start = index * this.options.batchSize;
    return this.order(epoch).subarray(start, Math.min(start + this.options.batchSize, this.exampleCount));
  }

  /** Name of the random stream for what is done to the images of a batch. */
  augmentationName(epoch: number, index: number): string {
    return `${this.prefix}augmentation/epoch-${epoch}/batch-${index}`;
  }

  private get prefix(): string {
    return this.options.name === undefined ? "" : `${this.options.name}/`;
  }

  private order(epoch: number): Int32Array {
    if (!this.options.shuffle) return this.indices;
    if (this.cached?.epoch !== epoch) {
      const stream = RandomStream.named(this.options.seed, `${this.prefix}order/epoch-${epoch}`);
      this.cached = { epoch, order: stream.shuffle(this.indices.slice()) };
    }
    return this.cached.order;
  }
}
