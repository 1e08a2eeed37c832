// Smaller images by averaging squares of pixels, for data sets whose images are in memory.
import { IstaError } from "../base/errors.js";
import type { ImageSet, MemoryDataset } from "./types.js";

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
  const planes = set.count * set.channels;
  const images = new Uint8Array(planes * height * width);
  for (let plane = 0, target = 0; plane < planes; plane++)
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++, target++) {
        let sum = 0;
        const corner = (plane * set.height + row * factor) * set.width + column * factor;
        for (let y = 0; y < factor; y++)
          for (let x = 0; x < factor; x++) sum += set.images[corner + y * set.width + x];
        images[target] = Math.round(sum / (factor * factor));
      }
  return { ...set, height, width, images };
}
