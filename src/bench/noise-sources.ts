// Sources of random images, for measurements that need no data set.
import { RandomStream } from "../base/random.js";
import type { Sources } from "../course/sources.js";
import { type Batch, type PrefetchedSource, prefetch } from "../data/index.js";

export interface NoiseShape {
  readonly batchSize: number;
  readonly channels: number;
  /** Height and width, pixels. */
  readonly size: number;
  readonly classes: number;
}

/** Four batches of normal noise with random labels, the same in every epoch and for training and codes. */
export function noiseSources({ batchSize, channels, size, classes }: NoiseShape): Sources {
  const random = RandomStream.named(1, "noise");
  const batches: Batch[] = Array.from({ length: 4 }, () => ({
    images: Float32Array.from({ length: batchSize * channels * size * size }, () => random.normal()),
    labels: Int32Array.from({ length: batchSize }, () => random.integer(classes)),
    count: batchSize,
  }));
  const shape = {
    channels,
    height: size,
    width: size,
    classes: Array.from({ length: classes }, (_, label) => String(label)),
  };
  const source: PrefetchedSource = prefetch(
    {
      ...shape,
      batchCount: batches.length,
      exampleCount: batches.length * batchSize,
      batch: async (_epoch, index) => batches[index],
      close: async () => {},
    },
    0,
  );
  return {
    ...shape,
    training: source,
    codes: source,
    validation: null,
    validationShare: 0,
    test: null,
    normalisation: { mean: new Array<number>(channels).fill(0), std: new Array<number>(channels).fill(1) },
    picture: { resizeRatio: 1 },
    split: {
      seed: 0,
      listing: "noise",
      counts: { trained: source.exampleCount, heldOut: 0, test: 0 },
      testSetAside: false,
      indices: "noise",
    },
    notes: [],
    warnings: [],
    skipped: () => [],
    identity: () => "noise",
    contents: () => null,
    close: async () => {},
  };
}
