// What tells a data set from all others, wherever it lies and whatever it is called.
import { createHash } from "node:crypto";
import { relative, sep } from "node:path";
import type { Dataset, ImageSet, PictureList } from "./types.js";

/** A digest of each image with the name of its class. */
function imageDigests({ count, images, labels, classes }: ImageSet): Buffer[] {
  const length = images.length / count;
  return Array.from({ length: count }, (_, index) =>
    createHash("sha256")
      .update(`${classes[labels[index]]}\0`)
      .update(images.subarray(index * length, (index + 1) * length))
      .digest(),
  );
}

/** Streamed pictures are not read for this: their names stand for them. */
const nameDigests = (directory: string, { paths }: PictureList): Buffer[] =>
  paths.map((path) => createHash("sha256").update(relative(directory, path).split(sep).join("/")).digest());

/**
 * SHA-256, hexadecimal, of all images with their classes. It does not depend on where the data set lies, on the order of its images,
 * nor on which of them are set aside: data without test images set others aside for each seed of a split.
 */
export function dataIdentity(dataset: Dataset): string {
  const digests =
    dataset.storage === "memory"
      ? [dataset.train, dataset.test].flatMap((part) => (part === undefined ? [] : imageDigests(part)))
      : [dataset.train, dataset.test].flatMap((part) =>
          part === undefined ? [] : nameDigests(dataset.directory, part),
        );
  const { format, classes } = dataset;
  const whole = createHash("sha256").update(JSON.stringify({ format, classes }));
  for (const digest of digests.sort(Buffer.compare)) whole.update(digest);
  return whole.digest("hex");
}
