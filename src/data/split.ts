// Who is in which part of a data set: chosen by the labels and a seed alone, before any picture is decoded.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";

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

/** Positions of the images of each label, ascending. */
function byLabel(labels: Int32Array, images: Iterable<number>): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const image of images) {
    const own = found.get(labels[image]);
    if (own === undefined) found.set(labels[image], [image]);
    else own.push(image);
  }
  return found;
}

/**
 * `stratifiedSplit` for images that are held back from training: no class loses its last image.
 * @param everywhere also of each class with two images or more, at least one is held back
 */
function heldBack(labels: Int32Array, size: number, seed: number, name: string, everywhere: boolean): Split {
  const { chosen, rest } = stratifiedSplit(labels, size, seed, name);
  const back = byLabel(labels, chosen);
  const kept = byLabel(labels, rest);
  const given = new Set<number>();
  for (const [label, images] of [...back, ...kept]) {
    const from = !kept.has(label)
      ? images
      : everywhere && !back.has(label) && images.length > 1
        ? images
        : undefined;
    if (from === undefined) continue;
    given.add(from[RandomStream.named(seed, `split/${name}/class-${label}`).integer(from.length)]);
  }
  if (given.size === 0) return { chosen, rest };
  const moved = (own: Int32Array, others: Int32Array): Int32Array =>
    Int32Array.from([
      ...own.filter((image) => !given.has(image)),
      ...others.filter((image) => given.has(image)),
    ]).sort();
  return { chosen: moved(chosen, rest), rest: moved(rest, chosen) };
}

/**
 * Sets about a fifth of the images aside for testing, for data without test images of their own: `chosen`. Every class keeps a
 * training image, and every class with two images or more gives at least one.
 */
export const setAside = (labels: Int32Array, seed: number): Split =>
  heldBack(labels, Math.floor(labels.length / 5), seed, "set aside for testing", true);

/** Which training images the weights learn from, and which are held out, as ascending indices; the same for the same seed. */
export interface TrainingSplit {
  readonly trained: Int32Array;
  readonly heldOut: Int32Array;
}

/**
 * Splits training images by the seed: at most `limit` of them are used (null: all), and `fraction` of these, at least one if it is
 * not 0, are held out. Every class that is used keeps an image to train on.
 */
export function splitTraining(
  allLabels: Int32Array,
  { limit, fraction, seed }: { limit: number | null; fraction: number; seed: number },
): TrainingSplit {
  const used = limited(allLabels, limit, seed, "limit-train");
  const labels = Int32Array.from(used, (image) => allLabels[image]);
  const wanted = fraction > 0 ? Math.max(1, Math.round(used.length * fraction)) : 0;
  const { chosen, rest } = heldBack(labels, Math.min(wanted, used.length), seed, "held-out", false);
  return {
    heldOut: Int32Array.from(chosen, (position) => used[position]),
    trained: Int32Array.from(rest, (position) => used[position]),
  };
}

/**
 * Indices of a seeded, stratified choice of at most `limit` images (null: all). Every class is there if the limit has room for one
 * of each.
 */
export function limited(labels: Int32Array, limit: number | null, seed: number, name: string): Int32Array {
  const size = Math.min(limit ?? labels.length, labels.length);
  const { chosen, rest } = stratifiedSplit(labels, size, seed, name);
  const taken = byLabel(labels, chosen);
  const missing = [...byLabel(labels, rest)].filter(([label]) => !taken.has(label));
  if (missing.length === 0 || taken.size + missing.length > size) return chosen;
  const swapped = new Set(chosen);
  for (const [label, images] of missing) {
    const [largest] = [...taken.values()].sort((a, b) => b.length - a.length);
    swapped.delete(largest.pop()!);
    swapped.add(images[RandomStream.named(seed, `split/${name}/class-${label}`).integer(images.length)]);
  }
  return Int32Array.from(swapped).sort();
}
