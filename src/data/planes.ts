// What is done to planes of pixels, wherever they come from: zeros around them, squares of them averaged.

import type { PixelSize } from "./types.js";

/** The next side that halves twice: what networks take. Images of others get zeros around them. */
export const paddedSide = (side: number): number => Math.ceil(side / 4) * 4;

/** Planes of bytes with zeros around them, evenly on both sides (one more at the bottom and the right); themselves if they fit. */
export function padPlanes(pixels: Uint8Array, planes: number, from: PixelSize, to: PixelSize): Uint8Array {
  if (from.height === to.height && from.width === to.width) return pixels;
  const out = new Uint8Array(planes * to.height * to.width);
  const top = (to.height - from.height) >> 1;
  const left = (to.width - from.width) >> 1;
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < from.height; y++) {
      const start = (plane * from.height + y) * from.width;
      out.set(pixels.subarray(start, start + from.width), (plane * to.height + top + y) * to.width + left);
    }
  }
  return out;
}

/**
 * Planes of the size `to`, every pixel the mean of a square of `factor` x `factor` pixels, rounded if they are bytes; themselves if the
 * factor is 1.
 */
export function averagePlanes<Pixels extends Uint8Array | Float32Array>(
  pixels: Pixels,
  planes: number,
  to: PixelSize,
  factor: number,
): Pixels {
  if (factor === 1) return pixels;
  const width = to.width * factor;
  const count = planes * to.height * to.width;
  const isBytes = pixels instanceof Uint8Array;
  const out = isBytes ? new Uint8Array(count) : new Float32Array(count);
  for (let line = 0, target = 0; line < planes * to.height; line++)
    for (let column = 0; column < to.width; column++, target++) {
      let sum = 0;
      const corner = line * factor * width + column * factor;
      for (let y = 0; y < factor; y++) for (let x = 0; x < factor; x++) sum += pixels[corner + y * width + x];
      const mean = sum / (factor * factor);
      out[target] = isBytes ? Math.round(mean) : mean;
    }
  return out as Pixels;
}
