// Image folders: layouts, what is held in memory and what is streamed, splits, links, broken pictures, statistics.
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { available, expectError, picture, pictureFolder, temporaryFolder } from "../../test/support/data.js";
import { statisticsOf, usableImages } from "./image-set.js";
import { openDataset } from "./open.js";
import { centreCrop, openPicture, renderPicture, wholePicture } from "./picture.js";
import { pictureStatistics } from "./survey.js";
import type { FolderDataset, MemoryDataset } from "./types.js";
import { verifyDataset } from "./verify.js";

const { folder, write } = temporaryFolder();
const path = (name: string): string => join(folder, name);

describe("image folders", () => {
  beforeAll(async () => {
    for (const [part, count] of [
      ["train", 4],
      ["val", 2],
    ] as const) {
      for (const [label, name] of ["cat", "dog", "owl"].entries()) {
        for (let i = 0; i < count; i++) {
          const format = (["jpeg", "png", "webp"] as const)[label];
          const end = ["JPG", "png", "webp"][label];
          write(`small/${part}/${name}/${i}.${end}`, await picture(32, 32, format, 10 * label + i));
          write(`large/${part}/${name}/${i}.${end}`, await picture(80 + 10 * i, 60, format, 10 * label + i));
        }
        write(`small/${part}/${name}/notes.txt`, "not a picture");
      }
    }
  });

  it("of one small size are read into memory", async () => {
    const { storage, format, classes, train, test } = (await openDataset(path("small"))) as MemoryDataset;
    expect([storage, format]).toEqual(["memory", "image-folder"]);
    expect(classes).toEqual(["cat", "dog", "owl"]);
    expect([train.count, train.channels, train.height, train.width, test?.count]).toEqual([12, 3, 32, 32, 6]);
    expect([...train.labels]).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    const opened = await openPicture(path("small/train/dog/2.png"));
    expect(train.images.subarray(6 * 3072, 7 * 3072)).toEqual(
      await renderPicture(opened, wholePicture(opened), 3),
    );
  });

  it("of other sizes are streamed, or scaled once to the size that is asked for", async () => {
    const streamed = (await openDataset(path("large"))) as FolderDataset;
    expect(streamed.storage).toBe("folder");
    expect(streamed.train.paths[0]).toBe(path("large/train/cat/0.JPG"));
    expect(streamed.test?.count).toBe(6);
    expect((await openDataset(path("small"), { stream: true })).storage).toBe("folder");
    const scaled = (await openDataset(path("large"), { imageSize: 16 })) as MemoryDataset;
    expect([scaled.train.height, scaled.train.width, scaled.train.images.length]).toEqual([16, 16, 12 * 768]);
    const opened = await openPicture(path("large/train/owl/3.webp"));
    const expected = await renderPicture(opened, centreCrop(opened, 16, 16, 1), 3);
    expect(scaled.train.images.subarray(11 * 768)).toEqual(expected);
  });

  it("without a train folder are split by the seed", async () => {
    for (const name of ["a", "b"]) {
      for (let i = 0; i < 10; i++) write(`unsplit/${name}/${i}.png`, await picture(8, 8, "png", i));
    }
    const open = async (seed: number) =>
      (await openDataset(path("unsplit"), { splitSeed: seed, stream: true })) as FolderDataset;
    const { train, test } = await open(1);
    expect([train.count, test?.count]).toEqual([16, 4]);
    expect([...train.labels].filter((label) => label === 0).length).toBe(8);
    expect(new Set([...train.paths, ...(test?.paths ?? [])]).size).toBe(20);
    expect((await open(1)).test?.paths).toEqual(test?.paths);
    const others = await Promise.all([2, 3, 4].map(async (seed) => (await open(seed)).test?.paths));
    expect(others).not.toContainEqual(test?.paths);
  });

  it("may be links", async () => {
    mkdirSync(path("linked/train"), { recursive: true });
    symlinkSync(path("small/train/cat"), path("linked/train/cat"));
    mkdirSync(path("linked/train/dog"));
    symlinkSync(path("small/train/dog/0.png"), path("linked/train/dog/0.png"));
    const { train, test } = await openDataset(path("linked"));
    expect(train.count + (test?.count ?? 0)).toBe(5);
    symlinkSync(path("nowhere.png"), path("linked/train/dog/1.png"));
    await expectError(() => openDataset(path("linked")), "FILE_NOT_FOUND", "dog/1.png");
  });

  it("with something wrong are refused with the name", async () => {
    mkdirSync(path("hollow/train/cat"), { recursive: true });
    await expectError(() => openDataset(path("hollow")), "DATA_EMPTY", path("hollow/train/cat"));
    mkdirSync(path("classless/train"), { recursive: true });
    await expectError(() => openDataset(path("classless")), "DATA_EMPTY", path("classless/train"));
    write("strange/train/cat/0.png", await picture(8, 8, "png"));
    write("strange/val/cow/0.png", await picture(8, 8, "png"));
    await expectError(() => openDataset(path("strange")), "DATA_CLASSES", path("strange/val/cow"));
    write("control/train/ca\x1b[2Jt/0.png", await picture(8, 8, "png"));
    await expectError(() => openDataset(path("control")), "DATA_CLASSES", "\\u001b");
    write("disguised/train/cat/0.png", '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>');
    await expectError(() => openDataset(path("disguised"), { imageSize: 8 }), "DATA_PICTURE", "0.png", "svg");
    const allBroken = openDataset(path("disguised"), { imageSize: 8, skipBroken: true });
    await expectError(() => allBroken, "DATA_EMPTY", "all are broken", "0.png");
    await expectError(() => openDataset(path("small"), { imageSize: 3 }), "USAGE", "at least 4");
    await expectError(() => openDataset(path("small"), { imageSize: 2 ** 20 }), "DATA_LIMIT", "GiB");
  });

  it("with a broken picture fail with its name, or leave it out and say so", async () => {
    write("damaged/train/cat/0.jpg", await picture(16, 16, "jpeg", 1));
    write("damaged/train/cat/1.jpg", (await picture(16, 16, "jpeg", 2)).subarray(0, 200));
    write("damaged/train/cat/2.jpg", await picture(16, 16, "jpeg", 3));
    write("damaged/train/dog/0.jpg", await picture(16, 16, "jpeg", 4));
    for (const name of ["cat", "dog"]) write(`damaged/val/${name}/0.jpg`, await picture(16, 16, "jpeg", 5));
    const directory = path("damaged");
    for (const options of [{}, { imageSize: 16 }]) {
      await expectError(() => openDataset(directory, options), "DATA_PICTURE", "cat/1.jpg");
      const { train, skipped } = (await openDataset(directory, {
        ...options,
        skipBroken: true,
      })) as MemoryDataset;
      // It keeps its place, so that who is in which part does not change; batches leave it out.
      expect([...train.labels]).toEqual([0, 0, 0, 1]);
      expect(train.broken).toEqual(new Set([1]));
      expect(usableImages(train)).toEqual(Int32Array.of(0, 2, 3));
      expect(train.images.length).toBe(4 * 768);
      const last = await openPicture(path("damaged/train/dog/0.jpg"));
      expect(train.images.subarray(3 * 768)).toEqual(await renderPicture(last, wholePicture(last), 3));
      expect(skipped.length).toBe(1);
      expect(skipped[0]).toContain("cat/1.jpg");
    }
    const report = await verifyDataset(directory);
    expect(report.broken.length).toBe(1);
    expect(report.broken[0]).toContain("cat/1.jpg");
    expect(report.train).toMatchObject({ count: 4, classCounts: [3, 1], height: [16, 16], width: [16, 16] });
  });

  it("report sizes and statistics", async () => {
    const report = await verifyDataset(path("large"));
    expect(report.train).toEqual({
      count: 12,
      classCounts: [4, 4, 4],
      channels: 3,
      height: [60, 60],
      width: [80, 110],
    });
    expect(report.test).toMatchObject({ count: 6, width: [80, 90] });
    const small = (await openDataset(path("small"))) as MemoryDataset;
    const { statistics } = await verifyDataset(path("small"));
    expect(statistics).toEqual(statisticsOf(small.train));
    const streamed = (await openDataset(path("small"), { stream: true })) as FolderDataset;
    expect(await pictureStatistics(streamed.train, 1)).toEqual(statistics);
    expect(await pictureStatistics(streamed.train, 1, 3)).not.toEqual(statistics);
  });

  it.skipIf(!available(pictureFolder))(
    "of CIFAR-10 pictures have about the statistics of CIFAR-10",
    async () => {
      const { train, test, classes } = (await openDataset(pictureFolder)) as MemoryDataset;
      expect(classes).toEqual(["airplane", "cat", "frog", "ship"]);
      expect([train.count, train.height, test?.count]).toEqual([160, 32, 40]);
      const { mean } = statisticsOf(train);
      for (const value of mean) expect(Math.abs(value - 0.48)).toBeLessThan(0.05);
    },
  );
});
