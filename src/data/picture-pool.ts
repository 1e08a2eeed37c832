// A pool of threads that make batches of pictures, so that decoding goes on while a training step blocks this thread.

import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import { type ErrorCode, IstaError } from "../base/errors.js";
import type { Augmentation } from "./augmentation.js";
import type { PictureShape, RandomResizedCrop } from "./picture.js";
import type { KeptPicture } from "./picture-cache.js";
import { PixelBudget } from "./pixel-budget.js";
import type { Normalisation } from "./types.js";

/** What is done at random to every picture of a streamed image folder. */
export interface PictureAugmentation extends Augmentation {
  /** Without it the centre of the picture is taken, as for evaluation, before the rest is done. */
  readonly randomResizedCrop?: RandomResizedCrop;
}

/** One batch to be made: what a worker is sent. */
export interface PictureJob {
  readonly paths: readonly string[];
  readonly shape: PictureShape;
  /** What was kept of a picture, by position. */
  readonly kept: readonly (KeptPicture | undefined)[];
  /** Whether a picture was read before without fault, by position. */
  readonly whole: readonly boolean[];
  /** Whether pictures that are reduced are wanted back, to be kept. */
  readonly keepMore: boolean;
  readonly normalisation: Normalisation;
  readonly augmentation: PictureAugmentation;
  readonly seed: number;
  readonly streamName: string;
  /** The position of the first picture in its batch, which the names of the streams of pictures have. */
  readonly firstPosition: number;
  readonly skipBroken: boolean;
  /** Of the pixels that all threads of the pool decode at once; see pixel-budget.ts. */
  readonly budget: SharedArrayBuffer;
}

export interface PictureBatch {
  /** paths.length * channels * height * width normalised values; those of broken pictures are zero. */
  readonly images: Float32Array;
  readonly broken: readonly { readonly position: number; readonly reason: string }[];
  /** Pictures that were reduced, to be kept. */
  readonly kept: readonly { readonly position: number; readonly picture: KeptPicture }[];
}

/** What a worker sends back; an error by code and message, since its class does not survive the way between threads. */
export type PictureReply =
  | PictureBatch
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

/** The worker module beside this one; only a checkout has TypeScript source, which its tests load in a way of their own. */
const worker = fileURLToPath(
  new URL(
    import.meta.url.endsWith(".ts") ? "../../test/support/picture-worker.mjs" : "./picture-worker.js",
    import.meta.url,
  ),
);

/** More jobs than ever wait for one worker: all are sent to it at once, so that it goes on while this thread is blocked. */
const queuedJobs = 1000;

export class PicturePool {
  private threads: Piscina<PictureJob, PictureReply> | undefined;
  private failure: IstaError | undefined;
  // Its own: a thread that is ended while it decodes gives nothing back.
  private readonly budget = new PixelBudget().shared;

  constructor(private readonly workerCount: number) {}

  /**
   * Queues a job with the least busy worker, whose queue goes on without this thread.
   * Throws DATA_PICTURE, DATA_LIMIT and FILE_* errors of the pictures, and DATA_WORKER if a worker ended.
   */
  async run(job: Omit<PictureJob, "budget">): Promise<PictureBatch> {
    if (this.failure !== undefined) throw this.failure;
    this.threads ??= this.start();
    let reply: PictureReply;
    try {
      reply = await this.threads.run({ ...job, budget: this.budget });
    } catch (cause) {
      throw this.fail(cause as Error);
    }
    if ("error" in reply) throw new IstaError(reply.error.code, reply.error.message);
    return reply;
  }

  /** Ends the workers; jobs under way fail with DATA_WORKER. */
  async close(): Promise<void> {
    this.failure ??= new IstaError(
      "DATA_WORKER",
      "pictures: expected an open source of batches, it was closed; open it again",
    );
    await this.threads?.destroy();
  }

  private start(): Piscina<PictureJob, PictureReply> {
    const threads = new Piscina<PictureJob, PictureReply>({
      filename: worker,
      minThreads: this.workerCount,
      maxThreads: this.workerCount,
      concurrentTasksPerWorker: queuedJobs,
      recordTiming: false,
    });
    // Of a worker that failed without a job.
    threads.on("error", (error: Error) => this.fail(error));
    return threads;
  }

  /** The first failure stays; every waiting job gets it. */
  private fail(cause: Error): IstaError {
    this.failure ??= new IstaError(
      "DATA_WORKER",
      `pictures: expected the decoding thread to go on, it failed: ${cause.message.split("\n")[0]}; run again`,
      { cause },
    );
    return this.failure;
  }
}
