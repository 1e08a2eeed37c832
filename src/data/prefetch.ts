// Asks a source for the next batches while the current one is being used.

import type { Batch, BatchSource } from "./types.js";

/** A source that works ahead, and says how long it was waited for. */
export interface PrefetchedSource extends BatchSource {
  /** Seconds that callers have spent waiting in `batch` so far. */
  readonly waitedSeconds: number;
}

/**
 * Wraps a source so that, whenever batch i is asked for, the batches up to i + depth of the same epoch are asked for
 * as well. This gains time only for sources that work in threads of their own (`FolderBatchSource`), which go on
 * while a training step blocks this one; images in memory are batched in this thread either way.
 * At most depth + 1 batches are held. The batches are the same as without it.
 */
export function prefetch(source: BatchSource, depth: number): PrefetchedSource {
  let ahead = new Map<string, Promise<Batch>>();
  let waitedSeconds = 0;
  return {
    batchCount: source.batchCount,
    exampleCount: source.exampleCount,
    channels: source.channels,
    height: source.height,
    width: source.width,
    classes: source.classes,
    get waitedSeconds() {
      return waitedSeconds;
    },
    async batch(epoch, index) {
      const started = performance.now();
      const next = new Map<string, Promise<Batch>>();
      for (let i = index; i <= Math.min(index + depth, source.batchCount - 1); i++) {
        const key = `${epoch}/${i}`;
        const promise = ahead.get(key) ?? source.batch(epoch, i);
        // A failure is reported to whoever asks for that batch, not as an unhandled rejection before.
        promise.catch(() => {});
        next.set(key, promise);
      }
      const wanted = next.get(`${epoch}/${index}`) ?? source.batch(epoch, index);
      next.delete(`${epoch}/${index}`);
      ahead = next;
      try {
        return await wanted;
      } finally {
        waitedSeconds += (performance.now() - started) / 1000;
      }
    },
    close() {
      ahead.clear();
      return source.close();
    },
  };
}
