// What is done to planes of pixels, wherever they come from: zeros around them, squares of them averaged.

import type { PixelSize } from "./types.js";

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

/** Planes of the size `to`, every pixel the mean of a square of `factor` x `factor` pixels, rounded; themselves if that is 1. */
export function averagePlanes(pixels: Uint8Array, planes: number, to: PixelSize, factor: number): Uint8Array {
  if (factor === 1) return pixels;
  const [height, width] = [to.height * factor, to.width * factor];
  const out = new Uint8Array(planes * to.height * to.width);
  for (let plane = 0, target = 0; plane < planes; plane++)
    for (let row = 0; row < to.height; row++)
      for (let column = 0; column < to.width; column++, target++) {
        let sum = 0;
        const corner = (plane * height + row * factor) * width + column * factor;
        for (let y = 0; y < factor; y++)
          for (let x = 0; x < factor; x++) sum += pixels[corner + y * width + x];
        out[target] = Math.round(sum / (factor * factor));
      }
  return out;
}
