// A pool of threads that make batches of pictures, so that decoding goes on while a training step blocks this thread.

import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { type ErrorCode, IstaError } from "../base/errors.js";
import type { Augmentation } from "./augmentation.js";
import type { PictureShape, RandomResizedCrop } from "./picture.js";
import type { KeptPicture } from "./picture-cache.js";
import type { Normalisation } from "./types.js";

/** What is done at random to every picture of a streamed image folder. */
export interface PictureAugmentation extends Augmentation {
  /** Without it the centre of the picture is taken, as for evaluation, before the rest is done. */
  readonly randomResizedCrop?: RandomResizedCrop;
}

/** One batch to be made: what a worker is sent. */
export interface PictureJob {
  readonly id: number;
  readonly paths: readonly string[];
  readonly shape: PictureShape;
  /** What was kept of a picture, by position. */
  readonly kept: readonly (KeptPicture | undefined)[];
  /** Whether pictures that are reduced are wanted back, to be kept. */
  readonly keepMore: boolean;
  readonly normalisation: Normalisation;
  readonly augmentation: PictureAugmentation;
  readonly seed: number;
  readonly streamName: string;
  readonly skipBroken: boolean;
}

export interface PictureBatch {
  /** paths.length * channels * height * width normalised values; those of broken pictures are zero. */
  readonly images: Float32Array;
  readonly broken: readonly { readonly position: number; readonly reason: string }[];
  /** Pictures that were reduced, to be kept. */
  readonly kept: readonly { readonly position: number; readonly picture: KeptPicture }[];
}

/** What a worker sends back. */
export type PictureReply =
  | ({ readonly id: number } & PictureBatch)
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

interface Pending {
  resolve(batch: PictureBatch): void;
  reject(error: Error): void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** Starts the worker module beside this one: the compiled file, or, under the tests, the TypeScript source. */
function startWorker(): Worker {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const file = fileURLToPath(new URL(`./picture-worker${extension}`, import.meta.url));
  if (extension === ".js") return new Worker(file);
  // Only a checkout has TypeScript source, and its test runner brings Vite, which loads it.
  const vite = pathToFileURL(createRequire(import.meta.url).resolve("vite")).href;
  const code = `import(${JSON.stringify(vite)}).then(({ runnerImport }) =>
    runnerImport(${JSON.stringify(file)}, { configFile: false, logLevel: "error" }))`;
  return new Worker(code, { eval: true });
}

export class PicturePool {
  private readonly members: Member[] = [];
  private nextId = 0;
  private failure: IstaError | undefined;

  constructor(private readonly workerCount: number) {}

  /**
   * Queues a job with the least busy worker, whose queue goes on without this thread.
   * Throws DATA_PICTURE, DATA_LIMIT and FILE_* errors of the pictures, and DATA_WORKER if a worker ended.
   */
  run(job: Omit<PictureJob, "id">): Promise<PictureBatch> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    while (this.members.length < this.workerCount) this.members.push(this.start());
    const member = this.members.reduce((best, other) =>
      other.pending.size < best.pending.size ? other : best,
    );
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      member.pending.set(id, { resolve, reject });
      // A worker without work does not keep the process alive.
      member.worker.ref();
      member.worker.postMessage({ ...job, id } satisfies PictureJob);
    });
  }

  /** Ends the workers; jobs under way fail with DATA_WORKER. */
  async close(): Promise<void> {
    this.fail(
      new IstaError(
        "DATA_WORKER",
        "pictures: expected an open source of batches, it was closed; open it again",
      ),
    );
    await Promise.all(this.members.map(({ worker }) => worker.terminate()));
  }

  private start(): Member {
    const member: Member = { worker: startWorker(), pending: new Map() };
    const { worker, pending } = member;
    worker.on("message", (reply: PictureReply) => {
      const waiting = pending.get(reply.id);
      pending.delete(reply.id);
      if (pending.size === 0) worker.unref();
      if ("error" in reply) waiting?.reject(new IstaError(reply.error.code, reply.error.message));
      else waiting?.resolve(reply);
    });
    const ended = (what: string, cause?: unknown): void =>
      this.fail(
        new IstaError(
          "DATA_WORKER",
          `pictures: expected the decoding thread to go on, it ${what}; run again`,
          { cause },
        ),
      );
    worker.on("error", (error) => ended(`failed: ${error.message.split("\n")[0]}`, error));
    worker.on("exit", (code) => ended(`ended with code ${code}`));
    return member;
  }

  /** The first failure stays; every waiting job gets it. */
  private fail(error: IstaError): void {
    this.failure ??= error;
    for (const { pending } of this.members) {
      for (const { reject } of pending.values()) reject(this.failure);
      pending.clear();
    }
  }
}
