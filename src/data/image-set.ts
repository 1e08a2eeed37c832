// Operations on images in memory: padding to usable sizes, splits and limits by seed, statistics.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import type { ImageSet, Normalisation } from "./types.js";

/** Of the 50,000 training images of CIFAR-10, as the programs of this family use them. */
export const cifar10Normalisation: Normalisation = {
  mean: [0.49139968, 0.48215827, 0.44653124],
  std: [0.24703233, 0.24348505, 0.26158768],
};

/** The customary values for ImageNet. */
export const imagenetNormalisation: Normalisation = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** The set with its images padded by zeros, evenly on both sides, to sides divisible by 4; itself if they are. */
export function padToMultipleOfFour(set: ImageSet): ImageSet {
  const height = Math.ceil(set.height / 4) * 4;
  const width = Math.ceil(set.width / 4) * 4;
  if (height === set.height && width === set.width) return set;
  const images = new Uint8Array(set.count * set.channels * height * width);
  const top = (height - set.height) >> 1;
  const left = (width - set.width) >> 1;
  for (let plane = 0; plane < set.count * set.channels; plane++) {
    for (let y = 0; y < set.height; y++) {
      const from = (plane * set.height + y) * set.width;
      images.set(set.images.subarray(from, from + set.width), (plane * height + top + y) * width + left);
    }
  }
  return { ...set, height, width, images };
}

/** Two disjoint parts of a set, as ascending indices of its images. */
export interface Split {
  readonly chosen: Int32Array;
  readonly rest: Int32Array;
}

/**
 * Chooses `size` of the labelled images by the seed, stratified: every class gives its share to within one image.
 * `name` tells different draws of one run apart. Used for the two halves of the search (section 3 of the paper takes
 * half of the training images for the weights and half for the codes), for held-out parts and for limits.
 */
export function stratifiedSplit(labels: Int32Array, size: number, seed: number, name: string): Split {
  const count = labels.length;
  if (!Number.isInteger(size) || size < 0 || size > count) {
    throw new IstaError(
      "USAGE",
      `data: expected a number of images from 0 to ${count} for ${name}, got ${size}`,
    );
  }
  const order = RandomStream.named(seed, `split/${name}`).shuffle(
    Int32Array.from({ length: count }, (_, i) => i),
  );
  // Typed arrays sort stably, so that each class keeps its random order.
  order.sort((a, b) => labels[a] - labels[b]);
  const chosen = new Int32Array(size);
  const rest = new Int32Array(count - size);
  let taken = 0;
  order.forEach((image, position) => {
    // Position p is taken where p * size / count passes an integer: evenly spread, `size` in all.
    if (Math.floor(((position + 1) * size) / count) > taken) chosen[taken++] = image;
    else rest[position - taken] = image;
  });
  return { chosen: chosen.sort(), rest: rest.sort() };
}

/** Mean and standard deviation of every channel over the chosen images (all if none are named), scaled to 0..1. */
export function statisticsOf(set: ImageSet, indices?: Int32Array): Normalisation {
  const area = set.height * set.width;
  const count = indices?.length ?? set.count;
  const histograms = Array.from({ length: set.channels }, () => new Float64Array(256));
  for (let i = 0; i < count; i++) {
    let at = (indices === undefined ? i : indices[i]) * set.channels * area;
    for (const histogram of histograms) {
      for (const end = at + area; at < end; at++) histogram[set.images[at]]++;
    }
  }
  return statisticsOfHistograms(histograms);
}

/** Mean and standard deviation from the counts of the 256 pixel values of each channel. */
export function statisticsOfHistograms(histograms: readonly Float64Array[]): Normalisation {
  const mean: number[] = [];
  const std: number[] = [];
  for (const histogram of histograms) {
    const total = histogram.reduce((sum, n) => sum + n, 0);
    const average = histogram.reduce((sum, n, value) => sum + n * value, 0) / total;
    const variance = histogram.reduce((sum, n, value) => sum + n * (value - average) ** 2, 0) / total;
    mean.push(average / 255);
    // A channel of one single value has nothing to scale; 1 leaves it at zero after the mean is taken off.
    std.push(variance > 0 ? Math.sqrt(variance) / 255 : 1);
  }
  return { mean, std };
}

/** Table of 256 normalised values for each channel: (value / 255 - mean) / std. */
export function normalisationTables(normalisation: Normalisation, channels: number): Float32Array[] {
  const { mean, std } = normalisation;
  const usable = (values: readonly number[]): boolean =>
    values.length === channels && values.every(Number.isFinite);
  if (!usable(mean) || !usable(std) || !std.every((value) => value > 0)) {
    throw new IstaError(
      "DATA_SIZE",
      `data: expected ${channels} means and ${channels} positive standard deviations, one a channel, got ` +
        `mean [${mean}] and std [${std}]; give values for this data set`,
    );
  }
  return mean.map((average, channel) =>
    Float32Array.from({ length: 256 }, (_, value) => (value / 255 - average) / std[channel]),
  );
}

/** Number of images of each class. */
export function classCounts(labels: Int32Array, classes: readonly string[]): number[] {
  const counts = new Array<number>(classes.length).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}
