// Operations on images in memory: padding to usable sizes, parts of sets, statistics.

import { IstaError } from "../base/errors.js";
import { paddedSide, padPlanes } from "./planes.js";
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
  const [height, width] = [set.height, set.width].map(paddedSide);
  if (height === set.height && width === set.width) return set;
  const content = { height: set.height, width: set.width };
  const images = padPlanes(set.images, set.count * set.channels, content, { height, width });
  return { ...set, height, width, images, preparation: { content, averaged: 1 } };
}

/** The images with the given indices. */
export function selectImages(set: ImageSet, indices: Int32Array): ImageSet {
  const values = set.channels * set.height * set.width;
  const images = new Uint8Array(indices.length * values);
  for (const [position, image] of indices.entries())
    images.set(set.images.subarray(image * values, (image + 1) * values), position * values);
  const labels = Int32Array.from(indices, (image) => set.labels[image]);
  return { ...set, count: indices.length, images, labels };
}

/** The images of sets of one kind, one set after another. */
export function joinImages(sets: readonly ImageSet[]): ImageSet {
  const count = sets.reduce((sum, set) => sum + set.count, 0);
  const labels = Int32Array.from(sets.flatMap((set) => Array.from(set.labels)));
  return { ...sets[0], count, labels, images: Buffer.concat(sets.map(({ images }) => images)) };
}

/** The indices of a set's images, or those of them that are given, whose pictures could be decoded. */
export function usableImages({ count, broken }: ImageSet, indices?: Int32Array): Int32Array {
  const all = indices ?? Int32Array.from({ length: count }, (_, image) => image);
  return broken === undefined ? all : all.filter((image) => !broken.has(image));
}

/** Mean and standard deviation of every channel over the chosen images (all if none are named), scaled to 0..1. */
export function statisticsOf(set: ImageSet, indices?: Int32Array): Normalisation {
  const area = set.height * set.width;
  const used = usableImages(set, indices);
  const histograms = Array.from({ length: set.channels }, () => new Float64Array(256));
  for (const image of used) {
    let at = image * set.channels * area;
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

/** Whether pixel values become finite float32 numbers, and different ones. */
export function isUsableNormalisation({ mean, std }: Normalisation): boolean {
  return (
    mean.length === std.length &&
    std.every((value) => value > 0) &&
    mean.every((average, channel) => {
      const [black, white] = [0, 1].map((pixel) => Math.fround((pixel - average) / std[channel]));
      return Number.isFinite(black) && Number.isFinite(white) && black !== white;
    })
  );
}

/** Table of 256 normalised values for each channel: (value / 255 - mean) / std. */
export function normalisationTables(normalisation: Normalisation, channels: number): Float32Array[] {
  const { mean, std } = normalisation;
  if (mean.length !== channels || !isUsableNormalisation(normalisation)) {
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
