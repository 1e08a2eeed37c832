// Smaller images by averaging squares of pixels, for data sets whose images are in memory.
import { IstaError } from "../base/errors.js";
import { averagePlanes } from "./planes.js";
import type { BatchSource, ImageSet } from "./types.js";

/**
 * The set with images of the given side: every pixel is the mean of a square of pixels.
 * @throws IstaError DATA_SIZE where images are not square or the side is no whole part of theirs
 */
export function averagedTo(set: ImageSet, side: number, directory: string): ImageSet {
  const { height, width } = set;
  if (height === side && width === side) return set;
  const factor = height / side;
  if (height !== width || !Number.isInteger(factor)) {
    const sides = [2, 3, 4].map((part) => height / part).filter(Number.isInteger);
    throw new IstaError(
      "DATA_SIZE",
      `data: expected images of ${side} x ${side} pixels or a whole multiple, those in ${directory} are ${height} x ` +
        `${width}; take their own size${height === width && sides.length > 0 ? ` or ${sides.join(", ")}` : ""}, or an image folder, whose pictures are scaled to any size`,
    );
  }
  const size = { height: side, width: side };
  const images = averagePlanes(set.images, set.count * set.channels, size, factor);
  const { content } = set.preparation ?? { content: { height, width } };
  return { ...set, ...size, images, preparation: { content, averaged: factor } };
}

/**
 * The same batches with images whose pixels are means of squares of `factor` pixels.
 * @throws IstaError DATA_SIZE where height or width is no multiple of it
 */
export function averagedSource(source: BatchSource, factor: number): BatchSource {
  if (factor === 1) return source;
  const [height, width] = [source.height / factor, source.width / factor];
  if (!Number.isInteger(height) || !Number.isInteger(width))
    throw new IstaError(
      "DATA_SIZE",
      `averaging squares of ${factor} pixels: expected images whose sides are multiples of it, got ${source.height} x ${source.width}`,
    );
  const { batchCount, exampleCount, channels, classes } = source;
  return {
    batchCount,
    exampleCount,
    channels,
    height,
    width,
    classes,
    batch: async (epoch, index) => {
      const batch = await source.batch(epoch, index);
      const images = averagePlanes(batch.images, batch.count * channels, { height, width }, factor);
      return { ...batch, images };
    },
    close: () => source.close(),
  };
}
