// Smaller images by averaging squares of pixels, for data sets whose images are in memory.
import { IstaError } from "../base/errors.js";
import { averagePlanes, paddedSide, padPlanes } from "./planes.js";
import type { BatchSource, ImageSet } from "./types.js";

/** Side of the squares of pixels that become one where images get the given side, of themselves or with the zeros around them. */
function factorOf({ height, width, preparation }: ImageSet, side: number): number | null {
  const content = preparation?.content ?? { height, width };
  const factors = [content, { height, width }].map((size) =>
    size.height === size.width ? size.height / side : 0,
  );
  return factors.find((factor) => Number.isInteger(factor) && factor >= 1) ?? null;
}

/** Whether images of the given side can be made of those of the set. */
export const canAverageTo = (set: ImageSet, side: number): boolean => factorOf(set, side) !== null;

/**
 * The set with images of the given side: every pixel is the mean of a square of pixels. A side that is not divisible by 4 has zeros around
 * it, as far as to the next one that is, before anything is averaged: as `preparePicture` does it.
 * @throws IstaError DATA_SIZE where images are not square or the side is no whole part of theirs
 */
export function averagedTo(set: ImageSet, side: number, directory: string): ImageSet {
  const { height, width } = set;
  const content = set.preparation?.content ?? { height, width };
  const factor = factorOf(set, side);
  if (factor === null) {
    const own = content.height;
    const sides = [2, 3, 4].map((part) => own / part).filter(Number.isInteger);
    const others = content.height === content.width && sides.length > 0 ? ` or ${sides.join(", ")}` : "";
    throw new IstaError(
      "DATA_SIZE",
      `data: expected images of ${side} x ${side} pixels or a whole multiple, those in ${directory} are ${content.height} x ` +
        `${content.width}; take their own size (no --image-size)${others}, or an image folder, whose pictures are scaled to any size`,
    );
  }
  if (factor === 1) return set;
  const size = { height: paddedSide(side), width: paddedSide(side) };
  const around = { height: size.height * factor, width: size.width * factor };
  const planes = set.count * set.channels;
  const images = averagePlanes(
    padPlanes(set.images, planes, { height, width }, around),
    planes,
    size,
    factor,
  );
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
