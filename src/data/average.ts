// Smaller images by averaging squares of pixels, for data sets whose images are in memory.
import { IstaError } from "../base/errors.js";
import type { BatchSource, ImageSet, MemoryDataset } from "./types.js";

type Parts = Pick<MemoryDataset, "train" | "test">;

/**
 * The sets with images of the given side: every pixel is the mean of a square of pixels.
 * @throws IstaError DATA_SIZE where images are not square or the side is no whole part of theirs
 */
export function averagedParts<P extends Parts>(parts: P, side: number, directory: string): P {
  const { height, width } = parts.train;
  if (height === side && width === side) return parts;
  const factor = height / side;
  if (height !== width || !Number.isInteger(factor)) {
    const sides = [2, 3, 4].map((part) => height / part).filter(Number.isInteger);
    throw new IstaError(
      "DATA_SIZE",
      `data: expected images of ${side} x ${side} pixels or a whole multiple, those in ${directory} are ${height} x ` +
        `${width}; take their own size${height === width && sides.length > 0 ? ` or ${sides.join(", ")}` : ""}, or an image folder, whose pictures are scaled to any size`,
    );
  }
  const { train, test } = parts;
  return { ...parts, train: averaged(train, factor), test: test && averaged(test, factor) };
}

function averaged(set: ImageSet, factor: number): ImageSet {
  const [height, width] = [set.height / factor, set.width / factor];
  const images = new Uint8Array(set.count * set.channels * height * width);
  eachSquare({ count: set.count * set.channels, height, width }, factor, set.images, (sum, target) => {
    images[target] = Math.round(sum / factor ** 2);
  });
  return { ...set, height, width, images };
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
      const images = new Float32Array(batch.count * channels * height * width);
      const planes = { count: batch.count * channels, height, width };
      eachSquare(planes, factor, batch.images, (sum, target) => {
        images[target] = sum / factor ** 2;
      });
      return { ...batch, images };
    },
    close: () => source.close(),
  };
}

/** Sums over the squares of every plane, in the order of the pixels that they become. */
function eachSquare(
  { count, height, width }: { count: number; height: number; width: number },
  factor: number,
  images: Uint8Array | Float32Array,
  take: (sum: number, target: number) => void,
): void {
  const row = width * factor;
  let target = 0;
  for (let line = 0; line < count * height; line++)
    for (let column = 0; column < width; column++) {
      const corner = line * factor * row + column * factor;
      let sum = 0;
      for (let y = 0; y < factor; y++) for (let x = 0; x < factor; x++) sum += images[corner + y * row + x];
      take(sum, target++);
    }
}
