// Augmentation of decoded images: colour jitter, padding with random crop, horizontal flip, cutout, normalisation.

import type { RandomStream } from "../base/random.js";
import { applyJitter, type ColourJitter, drawJitter } from "./colour-jitter.js";

/** What is done at random to every image of a batch. */
export interface Augmentation {
  /** Zero pixels added on each side (before normalisation) before a random crop of the original size; 0: no crop. */
  readonly padding: number;
  /** Mirror left and right with probability 1/2. */
  readonly flip: boolean;
  /**
   * Side in pixels of the square that is set to zero after normalisation, centred on any pixel, cut off at the
   * borders (DeVries and Taylor, 2017, arXiv 1708.04552); 0: none.
   */
  readonly cutout: number;
  /** Random changes of colour, before everything else; none by default. */
  readonly colourJitter?: ColourJitter;
}

/** Size of a planar image. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

export const noAugmentation: Augmentation = { padding: 0, flip: false, cutout: 0 };

/** The random choices for one image. */
export interface Placement {
  /** The output pixel (y, x) shows the input pixel (y + shiftY, x + shiftX), mirrored afterwards; -padding..padding. */
  readonly shiftY: number;
  readonly shiftX: number;
  readonly flipped: boolean;
  /** Centre of the cutout in the output. */
  readonly cutoutY: number;
  readonly cutoutX: number;
}

export function drawPlacement(
  stream: RandomStream,
  { padding, flip, cutout }: Augmentation,
  height: number,
  width: number,
): Placement {
  const shift = (): number => (padding > 0 ? stream.integer(2 * padding + 1) - padding : 0);
  return {
    shiftY: shift(),
    shiftX: shift(),
    flipped: flip && stream.integer(2) === 1,
    cutoutY: cutout > 0 ? stream.integer(height) : 0,
    cutoutX: cutout > 0 ? stream.integer(width) : 0,
  };
}

/** What happens to one image, drawn in the order that `augmentImage` draws it in. */
export function drawAugmentation(
  stream: RandomStream,
  { height, width }: Pick<ImageShape, "height" | "width">,
  augmentation: Augmentation,
): { readonly jitter: ReturnType<typeof drawJitter> | null; readonly placement: Placement } {
  const { colourJitter } = augmentation;
  const jitter = colourJitter === undefined ? null : drawJitter(stream, colourJitter);
  return { jitter, placement: drawPlacement(stream, augmentation, height, width) };
}

/**
 * Draws what happens to one image of planar bytes, does it, and writes it normalised, as C*H*W values, into `out` at
 * `offset`. `tables` has one row of 256 normalised values a channel. The bytes themselves are not changed.
 */
export function augmentImage(
  out: Float32Array,
  offset: number,
  pixels: Uint8Array,
  shape: ImageShape,
  tables: readonly Float32Array[],
  augmentation: Augmentation,
  stream: RandomStream,
): void {
  const { jitter, placement } = drawAugmentation(stream, shape, augmentation);
  let changed = pixels;
  if (jitter !== null) {
    changed = new Uint8Array(pixels);
    applyJitter(changed, shape.channels, jitter);
  }
  writeImage(out, offset, changed, shape, tables, placement, augmentation.cutout);
}

/** The part of `augmentImage` that is not random. */
export function writeImage(
  out: Float32Array,
  offset: number,
  pixels: Uint8Array,
  { channels, height, width }: ImageShape,
  tables: readonly Float32Array[],
  placement: Placement,
  cutout: number,
): void {
  const { shiftY, shiftX, flipped } = placement;
  // Output columns whose input column lies inside the image, before mirroring.
  const first = Math.min(width, Math.max(0, -shiftX));
  const last = Math.max(first, Math.min(width, width - shiftX));
  const direction = flipped ? -1 : 1;
  for (let channel = 0; channel < channels; channel++) {
    const table = tables[channel];
    const plane = channel * height * width;
    for (let y = 0; y < height; y++) {
      const row = offset + (channel * height + y) * width;
      const inputY = y + shiftY;
      if (inputY < 0 || inputY >= height) {
        out.fill(table[0], row, row + width);
        continue;
      }
      let from = plane + inputY * width + first + shiftX;
      let to = flipped ? row + width - 1 - first : row + first;
      for (let x = first; x < last; x++, from++, to += direction) out[to] = table[pixels[from]];
      const [left, right] = flipped ? [width - last, width - first] : [first, last];
      if (left > 0) out.fill(table[0], row, row + left);
      if (right < width) out.fill(table[0], row + right, row + width);
    }
  }
  if (cutout > 0) {
    const half = cutout >> 1;
    const top = Math.max(0, placement.cutoutY - half);
    const bottom = Math.min(height, placement.cutoutY - half + cutout);
    const left = Math.max(0, placement.cutoutX - half);
    const right = Math.min(width, placement.cutoutX - half + cutout);
    for (let channel = 0; channel < channels; channel++) {
      for (let y = top; y < bottom; y++) {
        const row = offset + (channel * height + y) * width;
        out.fill(0, row + left, row + right);
      }
    }
  }
}
