// Batches from memory: every image once an epoch, reproducible from the seed, last batches, prefetching.
import { describe, expect, it } from "vitest";
import { available, cifarFolder, expectError, randomSet } from "../../test/support/data.js";
import { MemoryBatchSource, type MemorySourceOptions } from "./memory-source.js";
import { openDataset } from "./open.js";
import { prefetch } from "./prefetch.js";
import type { Batch, BatchSource } from "./types.js";

const normalisation = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] };
const set = randomSet(21, 3, 8, 8);
const augmentation = { padding: 4, flip: true, cutout: 4 };
const open = (options: Partial<MemorySourceOptions> = {}): MemoryBatchSource =>
  new MemoryBatchSource(set, { batchSize: 4, seed: 1, shuffle: true, normalisation, ...options });

async function epochOf(source: BatchSource, epoch: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let i = 0; i < source.batchCount; i++) batches.push(await source.batch(epoch, i));
  return batches;
}
const images = (batches: Batch[]): number[] => batches.flatMap((batch) => [...batch.images]);

describe("MemoryBatchSource", () => {
  it("says what it holds", () => {
    const { batchCount, exampleCount, channels, height, width, classes } = open({ shuffle: false });
    expect({ batchCount, exampleCount, channels, height, width, classes }).toEqual({
      batchCount: 6,
      exampleCount: 21,
      channels: 3,
      height: 8,
      width: 8,
      classes: ["class 0", "class 1", "class 2"],
    });
  });

  it("gives the images in order, plainly normalised, when nothing is random", async () => {
    const batches = await epochOf(open({ shuffle: false }), 3);
    expect(batches.map((batch) => batch.count)).toEqual([4, 4, 4, 4, 4, 1]);
    expect(batches.flatMap((batch) => [...batch.labels])).toEqual([...set.labels]);
    images(batches).forEach((value, i) => {
      const channel = Math.floor(i / 64) % 3;
      const expected = (set.images[i] / 255 - normalisation.mean[channel]) / normalisation.std[channel];
      expect(Math.abs(value - expected)).toBeLessThan(1e-5);
    });
  });

  it("deals every image once an epoch, with its label, in an order of its own", async () => {
    const marked = {
      ...set,
      images: set.images.map((_, i) => Math.floor(i / 192)),
      labels: Int32Array.from(set.labels.keys()),
    };
    const source = new MemoryBatchSource(marked, {
      batchSize: 5,
      seed: 1,
      shuffle: true,
      normalisation,
    });
    const orders: number[][] = [];
    for (const epoch of [0, 1]) {
      const batches = await epochOf(source, epoch);
      const order = batches.flatMap((batch) => [...batch.labels]);
      orders.push(order);
      const shown = batches.flatMap((batch) =>
        Array.from({ length: batch.count }, (_, i) => Math.round((batch.images[i * 192] * 0.2 + 0.5) * 255)),
      );
      expect(shown).toEqual(order);
    }
    expect(source.exampleCount).toBe(20);
    expect(new Set(orders[0]).size).toBe(20);
    expect(orders[0]).not.toEqual(orders[1]);
  });

  it("is a pure function of seed, name, epoch and index", async () => {
    const first = open({ augmentation });
    const again = open({ augmentation });
    const late = await again.batch(5, 2);
    expect(await first.batch(5, 2)).toEqual(late);
    await first.batch(0, 0);
    expect(await first.batch(5, 2)).toEqual(late);
    for (const other of [open({ augmentation, seed: 2 }), open({ augmentation, name: "codes" })]) {
      expect(await other.batch(5, 2)).not.toEqual(late);
    }
    expect(await first.batch(4, 2)).not.toEqual(late);
    expect(await first.batch(5, 1)).not.toEqual(late);
  });

  it("uses the images of the given indices only", async () => {
    const indices = Int32Array.of(20, 3, 7);
    const [batch] = await epochOf(open({ indices, shuffle: false }), 0);
    expect([...batch.labels]).toEqual([...indices].map((i) => set.labels[i]));
  });

  it("keeps an incomplete last batch, but for a single image in training", () => {
    const counts = (count: number, options: Partial<MemorySourceOptions>): number[] => {
      const source = open({ indices: Int32Array.from({ length: count }, (_, i) => i), ...options });
      return [source.batchCount, source.exampleCount];
    };
    expect(counts(14, {})).toEqual([4, 14]);
    expect(counts(13, {})).toEqual([3, 12]);
    expect(counts(13, { shuffle: false })).toEqual([4, 13]);
    expect(counts(3, { batchSize: 1 })).toEqual([3, 3]);
  });

  it("refuses what makes no batch", async () => {
    for (const batchSize of [0, -1, 2.5, Number.NaN])
      await expectError(() => open({ batchSize }), "USAGE", `${batchSize}`);
    await expectError(() => open({ indices: new Int32Array() }), "DATA_EMPTY", "there are 0");
    await expectError(
      () => open({ batchSize: 64, indices: Int32Array.of(3) }),
      "DATA_EMPTY",
      "batch of 64",
      "there are 1;",
    );
    await expectError(() => open({ normalisation: { mean: [0], std: [1] } }), "DATA_SIZE", "3 means");
    for (const [epoch, index] of [
      [0, -1],
      [0, 6],
      [-1, 0],
      [0.5, 0],
    ]) {
      await expect(open().batch(epoch, index)).rejects.toThrow(RangeError);
    }
  });

  it.skipIf(!available(cifarFolder))("gives normalised CIFAR images mean 0 and deviation 1", async () => {
    const { train } = await openDataset(cifarFolder);
    if (!("images" in train)) throw new Error("not in memory");
    const { statisticsOf } = await import("./image-set.js");
    const source = new MemoryBatchSource(train, {
      batchSize: 500,
      seed: 1,
      shuffle: true,
      normalisation: statisticsOf(train),
    });
    const sums = [0, 0, 0];
    const squares = [0, 0, 0];
    for (const batch of await epochOf(source, 0)) {
      for (let i = 0; i < batch.images.length; i++) {
        const channel = Math.floor(i / 1024) % 3;
        sums[channel] += batch.images[i];
        squares[channel] += batch.images[i] ** 2;
      }
    }
    for (const channel of [0, 1, 2]) {
      expect(Math.abs(sums[channel] / (train.count * 1024))).toBeLessThan(1e-4);
      expect(Math.abs(squares[channel] / (train.count * 1024) - 1)).toBeLessThan(1e-4);
    }
  });
});

describe("prefetch", () => {
  /** A source that notes what it is asked for. */
  function noting(): { source: BatchSource; asked: string[] } {
    const inner = open({ augmentation });
    const asked: string[] = [];
    const source = Object.create(inner) as BatchSource;
    source.batch = (epoch, index) => {
      asked.push(`${epoch}/${index}`);
      return inner.batch(epoch, index);
    };
    return { source, asked };
  }

  it("gives the same batches, each made once", async () => {
    const { source, asked } = noting();
    const ahead = prefetch(source, 2);
    expect(await epochOf(ahead, 0)).toEqual(await epochOf(open({ augmentation }), 0));
    expect(await epochOf(ahead, 1)).toEqual(await epochOf(open({ augmentation }), 1));
    expect(asked).toEqual([0, 1].flatMap((epoch) => [0, 1, 2, 3, 4].map((i) => `${epoch}/${i}`)));
    expect(ahead.waitedSeconds).toBeGreaterThan(0);
  });

  it("asks for no more than its depth ahead, and follows a jump", async () => {
    const { source, asked } = noting();
    const ahead = prefetch(source, 2);
    await ahead.batch(0, 0);
    expect(asked).toEqual(["0/0", "0/1", "0/2"]);
    await ahead.batch(3, 4);
    expect(asked.slice(3)).toEqual(["3/4"]);
    await expect(ahead.batch(0, 99)).rejects.toThrow(RangeError);
  });

  it("goes on into the next epoch if that is wanted", async () => {
    const { source, asked } = noting();
    const ahead = prefetch(source, 2, true);
    await ahead.batch(0, 3);
    await ahead.batch(0, 4);
    expect(asked).toEqual(["0/3", "0/4", "1/0", "1/1"]);
    expect(await ahead.batch(1, 0)).toEqual(await open({ augmentation }).batch(1, 0));
    expect(asked).toEqual(["0/3", "0/4", "1/0", "1/1", "1/2"]);
  });

  it("reports a failure with the batch that it belongs to", async () => {
    const { source } = noting();
    const plain = source.batch.bind(source);
    source.batch = async (epoch, index) => {
      if (index === 1) throw new Error("batch 1 is bad");
      return plain(epoch, index);
    };
    const ahead = prefetch(source, 3);
    await ahead.batch(0, 0);
    await expect(ahead.batch(0, 1)).rejects.toThrow("batch 1 is bad");
    await ahead.batch(0, 2);
    await ahead.close();
  });
});
