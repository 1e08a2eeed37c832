// The thread that decodes and augments the pictures of a batch; started by the pool, one batch after the other.

import { move, transferableSymbol, valueSymbol } from "piscina";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { augmentImage } from "./augmentation.js";
import { mapConcurrently } from "./concurrency.js";
import { normalisationTables } from "./image-set.js";
import {
  contentOf,
  drawRandomResizedCrop,
  folderFormats,
  openReduced,
  type Picture,
  type PictureShape,
  preparePicture,
  type RandomResizedCrop,
  renderPicture,
  usePixelBudget,
} from "./picture.js";
import { fromKept, type KeptPicture, toKept } from "./picture-cache.js";
import type { PictureJob, PictureReply } from "./picture-pool.js";
import { padPlanes } from "./planes.js";

const picturesInFlight = 4;

/** A random part of the picture, with zeros around it where images have some. */
async function randomPart(
  picture: Picture,
  shape: PictureShape,
  crop: RandomResizedCrop,
  stream: RandomStream,
): Promise<Uint8Array> {
  const content = contentOf(shape);
  const part = drawRandomResizedCrop(stream, picture, crop, content.width, content.height);
  return padPlanes(await renderPicture(picture, part, shape.channels), shape.channels, content, shape);
}

/**
 * Makes one batch. Every picture has a random stream of its own, so that neither the order in which they are decoded
 * nor a broken one among them changes what happens to the others.
 */
async function makeBatch(job: PictureJob): Promise<PictureReply> {
  const { paths, shape, augmentation } = job;
  usePixelBudget(job.budget);
  const { channels, height, width } = shape;
  const values = channels * height * width;
  const images = new Float32Array(paths.length * values);
  const tables = normalisationTables(job.normalisation, channels);
  const broken: { position: number; reason: string }[] = [];
  const kept: { position: number; picture: KeptPicture }[] = [];
  try {
    await mapConcurrently(paths, picturesInFlight, async (path, position) => {
      try {
        const stream = RandomStream.named(
          job.seed,
          `${job.streamName}/image-${job.firstPosition + position}`,
        );
        const before = job.kept[position];
        const picture =
          before === undefined
            ? await openReduced(path, contentOf(shape), folderFormats, job.whole[position])
            : fromKept(path, before);
        if (before === undefined && picture.reduced && job.keepMore)
          kept.push({ position, picture: toKept(picture) });
        const crop = augmentation.randomResizedCrop;
        const pixels = crop
          ? await randomPart(picture, shape, crop, stream)
          : await preparePicture(picture, shape);
        augmentImage(images, position * values, pixels, shape, tables, augmentation, stream);
      } catch (error) {
        if (!job.skipBroken || !(error instanceof IstaError)) throw error;
        broken.push({ position, reason: error.message });
      }
    });
    return { images, broken, kept };
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
