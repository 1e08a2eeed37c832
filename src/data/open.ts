// Opens a folder with images, whatever known layout it has.

import { IstaError } from "../base/errors.js";
import { averagedParts } from "./average.js";
import { readCifar, recogniseCifar } from "./cifar.js";
import { listFolder } from "./disk.js";
import { commonSmallSize, decodeFolder, recogniseFolder, scanFolder } from "./folder.js";
import { readIdx, recogniseIdx } from "./idx.js";
import type { Dataset, OpenOptions } from "./types.js";

/**
 * Recognises and opens a data set: CIFAR-10 or CIFAR-100 binary files, IDX files (gzipped or not), or an image folder
 * (`train/CLASS/*.jpg`, `val/CLASS/...`). Small formats come back in memory; see `OpenOptions` for image folders.
 * Throws DATA_* and FILE_* errors that name the file, what was expected and what came.
 */
export async function openDataset(directory: string, options: OpenOptions = {}): Promise<Dataset> {
  const listing = await listFolder(directory);
  const cifar = recogniseCifar(listing.files);
  if (cifar !== undefined || recogniseIdx(listing.files)) {
    const parts =
      cifar === undefined
        ? await readIdx(directory, listing.files)
        : readCifar(directory, listing.files, cifar);
    const { train, test } = parts;
    if (
      test !== undefined &&
      (test.channels !== train.channels || test.height !== train.height || test.width !== train.width)
    ) {
      const size = (set: typeof train): string => `${set.channels}x${set.height}x${set.width}`;
      throw new IstaError(
        "DATA_SIZE",
        `data: expected test images of ${size(train)} like the training images in ${directory}, they are ${size(test)}; ` +
          "use files that belong together",
      );
    }
    const { imageSize } = options;
    const scaled = imageSize === undefined ? parts : averagedParts(parts, imageSize, directory);
    return { storage: "memory", directory, format: cifar ?? "idx", skipped: [], ...scaled };
  }
  if (recogniseFolder(listing))
    return openFolder(directory, await scanFolder(directory, listing, options.seed ?? 0), options);
  throw new IstaError(
    "DATA_UNKNOWN",
    `data: expected CIFAR (data_batch_1.bin or train.bin), IDX (train-images-idx3-ubyte[.gz]) or folders of pictures ` +
      `(train/CLASS/*.jpg) in ${directory}, found ${listing.files.length === 0 ? "nothing" : `none of them among ${listing.files.length} files`}`,
  );
}

async function openFolder(
  directory: string,
  { train, test }: Awaited<ReturnType<typeof scanFolder>>,
  options: OpenOptions,
): Promise<Dataset> {
  const { imageSize, stream = false, skipBroken = false } = options;
  if (imageSize !== undefined && (!Number.isInteger(imageSize) || imageSize < 4 || imageSize % 4 !== 0)) {
    throw new IstaError("USAGE", `data: expected an image size that is a multiple of 4, got ${imageSize}`);
  }
  const common = { directory, format: "image-folder", classes: train.classes } as const;
  const lists = test === undefined ? [train] : [train, test];
  const given = imageSize === undefined ? undefined : { height: imageSize, width: imageSize, resize: true };
  const found = stream || given ? undefined : await commonSmallSize(lists);
  const size = given ?? (found && { ...found, resize: false });
  if (stream || size === undefined) return { storage: "folder", ...common, train, test, skipped: [] };
  const skipped: string[] = [];
  return {
    storage: "memory",
    ...common,
    train: await decodeFolder(train, size, skipBroken ? skipped : undefined),
    test: test && (await decodeFolder(test, size, skipBroken ? skipped : undefined)),
    skipped,
  };
}
