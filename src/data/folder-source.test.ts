// Streaming image folders: the same batches whatever the threads do, broken pictures, failures of threads.
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { expectError, picture, temporaryFolder } from "../../test/support/data.js";
import { RandomStream } from "../base/random.js";
import { augmentImage } from "./augmentation.js";
import { FolderBatchSource, type FolderSourceOptions } from "./folder-source.js";
import { normalisationTables } from "./image-set.js";
import { scanDataset } from "./open.js";
import {
  centreCrop,
  decodeImage,
  drawRandomResizedCrop,
  imagenetCrop,
  openPicture,
  renderPicture,
} from "./picture.js";
import { prefetch } from "./prefetch.js";
import type { Batch, BatchSource, PictureList } from "./types.js";

const { folder, write } = temporaryFolder();
const normalisation = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] };
const augmentation = {
  padding: 0,
  flip: true,
  cutout: 8,
  colourJitter: [0.4, 0.4, 0.4, 0.2],
  randomResizedCrop: imagenetCrop,
} as const;
let list: PictureList;
const opened: BatchSource[] = [];

beforeAll(async () => {
  for (let i = 0; i < 9; i++) {
    const format = (["jpeg", "png", "webp"] as const)[i % 3];
    const name = `pictures/train/class ${i % 2}/${i}.${["jpg", "png", "webp"][i % 3]}`;
    write(name, await picture(60 + 7 * i, 90 - 5 * i, format, i));
  }
  list = await openList("pictures");
});

async function openList(name: string): Promise<PictureList> {
  const { parts } = await scanDataset(join(folder, name));
  return parts.get("train") as PictureList;
}

const square = (side: number) =>
  ({ channels: 3, height: side, width: side, resizeRatio: 256 / 224 }) as const;

function open(options: Partial<FolderSourceOptions> = {}, from = list): FolderBatchSource {
  const source = new FolderBatchSource(from, {
    batchSize: 4,
    seed: 1,
    shuffle: true,
    shape: square(32),
    normalisation,
    ...options,
  });
  opened.push(source);
  return source;
}

/** The next thread that this process starts. */
const nextThread = (): Promise<Worker> => new Promise((resolve) => process.once("worker", resolve));

async function epochOf(source: BatchSource, epoch: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let i = 0; i < source.batchCount; i++) batches.push(await source.batch(epoch, i));
  return batches;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});

describe("FolderBatchSource", () => {
  it("evaluates pictures as decodeImage does", async () => {
    const source = open({ shuffle: false });
    expect([source.batchCount, source.exampleCount, source.channels, source.height, source.width]).toEqual([
      3, 9, 3, 32, 32,
    ]);
    const batches = await epochOf(source, 0);
    expect(batches.map((batch) => batch.count)).toEqual([4, 4, 1]);
    expect(batches.flatMap((batch) => [...batch.labels])).toEqual([...list.labels]);
    const recipe = { channels: 3, height: 32, width: 32, resizeRatio: 256 / 224, normalisation } as const;
    for (const [i, path] of list.paths.entries()) {
      const { images } = batches[Math.floor(i / 4)];
      expect(images.slice((i % 4) * 3072, ((i % 4) + 1) * 3072)).toEqual(await decodeImage(path, recipe));
    }
  });

  it("augments each picture from a random stream of its own", async () => {
    const batch = await open({ augmentation, shuffle: false }).batch(2, 1);
    const tables = normalisationTables(normalisation, 3);
    for (let position = 0; position < 4; position++) {
      const stream = RandomStream.named(1, `augmentation/epoch-2/batch-1/image-${position}`);
      const source = await openPicture(list.paths[4 + position]);
      const geometry = drawRandomResizedCrop(stream, source, imagenetCrop, 32, 32);
      const pixels = await renderPicture(source, geometry, 3);
      const expected = new Float32Array(3072);
      augmentImage(expected, 0, pixels, { channels: 3, height: 32, width: 32 }, tables, augmentation, stream);
      expect(batch.images.slice(position * 3072, (position + 1) * 3072)).toEqual(expected);
      expect(expected).not.toEqual(await renderPicture(source, centreCrop(source, 32, 32, 1), 3));
    }
  });

  it("gives the same batches for any number of threads, with and without prefetching, in any order", async () => {
    const one = await epochOf(open({ augmentation, workers: 1 }), 0);
    const source = open({ augmentation, workers: 3 });
    expect(await epochOf(prefetch(source, 2), 0)).toEqual(one);
    const [second, first] = await Promise.all([source.batch(0, 1), source.batch(0, 0)]);
    expect([first, second]).toEqual([one[0], one[1]]);
    expect(await source.batch(1, 0)).not.toEqual(one[0]);
    expect(await open({ augmentation, seed: 2 }).batch(0, 0)).not.toEqual(one[0]);
  });

  it("works while this thread is blocked, as it is by a training step", async () => {
    const thread = nextThread();
    const source = open({ augmentation, workers: 1, shape: square(224) });
    await source.batch(0, 0);
    const worker = await thread;
    const ahead = source.batch(0, 1);
    const before = worker.performance.eventLoopUtilization().active;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    const activeMilliseconds = (): number => worker.performance.eventLoopUtilization().active - before;
    // Nothing else runs in this thread until it has seen the other one at work, for a minute at most.
    for (let slice = 0; slice < 1200 && activeMilliseconds() < 5; slice++) Atomics.wait(pause, 0, 0, 50);
    expect(activeMilliseconds()).toBeGreaterThanOrEqual(5);
    expect((await ahead).count).toBe(4);
  });
});

describe("failures", () => {
  const damaged = async (): Promise<PictureList> => {
    for (let i = 0; i < 5; i++) {
      const content = await picture(40, 40, "png", i);
      write(`damaged/train/a/${i}.png`, i === 1 || i === 4 ? content.subarray(0, 60) : content);
    }
    return openList("damaged");
  };

  it("of a picture name it; the source stays usable", async () => {
    const source = open({ shuffle: false, batchSize: 2 }, await damaged());
    await expectError(() => source.batch(0, 0), "DATA_PICTURE", "a/1.png");
    await expectError(() => source.batch(0, 2), "DATA_PICTURE", "a/4.png");
    expect((await source.batch(0, 1)).count).toBe(2);
    await expectError(() => source.batch(0, 0), "DATA_PICTURE", "a/1.png");
  });

  it("of pictures are left out and counted if wanted", async () => {
    const pictures = await damaged();
    const source = open({ shuffle: false, batchSize: 3, skipBroken: true }, pictures);
    const batch = await source.batch(0, 0);
    expect([batch.count, batch.labels.length, batch.images.length]).toEqual([2, 2, 2 * 3072]);
    const whole = open({ shuffle: false, batchSize: 1 }, pictures);
    expect(batch.images.slice(3072)).toEqual((await whole.batch(0, 2)).images);
    expect((await source.batch(0, 1)).count).toBe(1);
    expect([...source.broken.keys()]).toEqual([pictures.paths[1], pictures.paths[4]]);
    expect(source.broken.get(pictures.paths[1])).toContain("a/1.png");
    const lone = open({ shuffle: false, batchSize: 1, skipBroken: true }, pictures);
    await expectError(() => lone.batch(0, 1), "DATA_PICTURE", "all are broken", "a/1.png");
  });

  it("of a picture that vanished say so", async () => {
    const gone = { ...list, paths: list.paths.map((path) => `${path}.gone`) };
    await expectError(() => open({}, gone).batch(0, 0), "FILE_NOT_FOUND", ".gone");
  });

  it("of options are found before any thread starts", async () => {
    for (const size of [0, 30, 2 ** 14, Number.NaN])
      await expectError(() => open({ shape: square(size) }), "DATA_SIZE", `${size}`);
    await expectError(() => open({ normalisation: { mean: [0], std: [1] } }), "DATA_SIZE", "3 means");
    await expect(open().batch(0, 3)).rejects.toThrow(RangeError);
  });

  it("of closing: batches under way and later ones are refused", async () => {
    const source = open({ augmentation, workers: 2, shape: square(224) });
    const underWay = [source.batch(0, 0), source.batch(0, 1)].map((batch) =>
      expectError(() => batch, "DATA_WORKER", "closed"),
    );
    await source.close();
    await Promise.all(underWay);
    await expectError(() => source.batch(0, 0), "DATA_WORKER", "closed");
    await source.close();
  });

  it("of a thread are reported to every batch that waits for it", async () => {
    const thread = nextThread();
    const source = open({ workers: 1, shape: square(224) });
    const waiting = [0, 1].map((i) => source.batch(0, i));
    const outcomes = waiting.map((batch) => expectError(() => batch, "DATA_WORKER", "exited with code"));
    await (await thread).terminate();
    await Promise.all(outcomes);
    await expectError(() => source.batch(1, 0), "DATA_WORKER", "exited with code");
  });
});
