// Asks a source for the next batches while the current one is being used.

import type { Batch, BatchSource } from "./types.js";

/** A source that works ahead, and says how long it was waited for. */
export interface PrefetchedSource extends BatchSource {
  /** Seconds that callers have spent waiting in `batch` so far. */
  readonly waitedSeconds: number;
}

/**
 * Wraps a source so that, whenever batch i is asked for, the batches up to i + depth of the same epoch are asked for
 * as well, and with `intoNextEpoch` (for training, whose epochs follow each other) those of the next. This gains time only for sources that work in threads of their own (`FolderBatchSource`), which go on
 * while a training step blocks this one; images in memory are batched in this thread either way.
 * At most depth + 1 batches are held. The batches are the same as without it.
 */
export function prefetch(source: BatchSource, depth: number, intoNextEpoch = false): PrefetchedSource {
  let ahead = new Map<string, Promise<Batch>>();
  let waitedSeconds = 0;
  return {
    batchCount: source.batchCount,
    exampleCount: source.exampleCount,
    channels: source.channels,
    height: source.height,
    width: source.width,
    classes: source.classes,
    broken: source.broken,
    get waitedSeconds() {
      return waitedSeconds;
    },
    async batch(epoch, index) {
      const started = performance.now();
      const next = new Map<string, Promise<Batch>>();
      for (let i = index; i <= index + depth; i++) {
        const beyond = i >= source.batchCount;
        if (beyond && (!intoNextEpoch || i - source.batchCount >= source.batchCount)) break;
        const [nextEpoch, nextIndex] = beyond ? [epoch + 1, i - source.batchCount] : [epoch, i];
        const key = `${nextEpoch}/${nextIndex}`;
        const promise = ahead.get(key) ?? source.batch(nextEpoch, nextIndex);
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
