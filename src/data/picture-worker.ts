// The thread that decodes and augments the pictures of a batch; started by the pool, one batch after the other.

import { move, transferableSymbol, valueSymbol } from "piscina";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { augmentImage } from "./augmentation.js";
import { mapConcurrently } from "./concurrency.js";
import { normalisationTables } from "./image-set.js";
import { centreCrop, drawRandomResizedCrop, folderFormats, openPicture, renderPicture } from "./picture.js";
import type { PictureJob, PictureReply } from "./picture-pool.js";

const picturesInFlight = 4;

/**
 * Makes one batch. Every picture has a random stream of its own, so that neither the order in which they are decoded
 * nor a broken one among them changes what happens to the others.
 */
async function makeBatch(job: PictureJob): Promise<PictureReply> {
  const { paths, size, augmentation } = job;
  const shape = { channels: 3, height: size, width: size } as const;
  const values = 3 * size * size;
  const images = new Float32Array(paths.length * values);
  const tables = normalisationTables(job.normalisation, 3);
  const broken: { position: number; reason: string }[] = [];
  try {
    await mapConcurrently(paths, picturesInFlight, async (path, position) => {
      try {
        const stream = RandomStream.named(job.seed, `${job.streamName}/image-${position}`);
        const picture = await openPicture(path, folderFormats);
        const geometry = augmentation.randomResizedCrop
          ? drawRandomResizedCrop(stream, picture, augmentation.randomResizedCrop, size, size)
          : centreCrop(picture, size, size, job.resizeRatio);
        const pixels = await renderPicture(picture, geometry, 3);
        augmentImage(images, position * values, pixels, shape, tables, augmentation, stream);
      } catch (error) {
        if (!job.skipBroken || !(error instanceof IstaError)) throw error;
        broken.push({ position, reason: error.message });
      }
    });
    return { images, broken };
  } catch (error) {
    const { message } = error as Error;
    return {
      error: error instanceof IstaError ? { code: error.code, message } : { code: "INTERNAL", message },
    };
  }
}

let previous: Promise<unknown> = Promise.resolve();

/** Called by the pool; the images go back without being copied. */
export default async function answer(job: PictureJob): Promise<unknown> {
  const made = previous.then(() => makeBatch(job));
  previous = made;
  const reply = await made;
  if ("error" in reply) return reply;
  return move({ [transferableSymbol]: [reply.images.buffer], [valueSymbol]: reply } as never);
}
