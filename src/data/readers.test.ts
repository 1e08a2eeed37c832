// CIFAR and IDX files: what is read from good ones, and what is said about bad ones.
import { chmodSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  available,
  bundledFolder,
  cifarFile,
  cifarFolder,
  expectError,
  idxFile,
  randomBytes,
  temporaryFolder,
} from "../../test/support/data.js";
import { classCounts, statisticsOf } from "./image-set.js";
import { openDataset, scanDataset } from "./open.js";
import type { ImageSet, MemoryDataset } from "./types.js";

const { folder, write } = temporaryFolder();
const path = (name: string): string => join(folder, name);

async function openMemory(directory: string): Promise<MemoryDataset> {
  const dataset = await openDataset(directory);
  if (dataset.storage !== "memory") throw new Error("not in memory");
  return dataset;
}

describe("CIFAR", () => {
  it("joins files of any number of records in the order of their numbers", async () => {
    const files = [cifarFile([3]), cifarFile([1, 2]), cifarFile([9])];
    write("ten/data_batch_2.bin", files[1]);
    write("ten/data_batch_10.bin", files[2]);
    write("ten/data_batch_1.bin", files[0]);
    write("ten/test_batch.bin", cifarFile([0, 5, 7]));
    const { format, classes, train, test } = await openMemory(path("ten"));
    expect(format).toBe("cifar10");
    expect(classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect([train.channels, train.height, train.width, train.count]).toEqual([3, 32, 32, 4]);
    expect([...train.labels]).toEqual([3, 1, 2, 9]);
    expect(train.images.subarray(2 * 3072, 3 * 3072)).toEqual(files[1].subarray(3073 + 1));
    expect([...(test?.labels ?? [])]).toEqual([0, 5, 7]);
  });

  it("takes the fine label and the fine names of CIFAR-100", async () => {
    write("hundred/train.bin", cifarFile([99, 4], 2));
    write("hundred/fine_label_names.txt", Array.from({ length: 100 }, (_, i) => `name ${i}\r\n`).join(""));
    const { format, classes, train, test } = await openMemory(path("hundred"));
    expect(format).toBe("cifar100");
    expect(classes[99]).toBe("name 99");
    expect([...train.labels]).toEqual([99, 4]);
    expect(test).toBeUndefined();
  });

  it("says what is wrong with a file", async () => {
    write("cut/data_batch_1.bin", cifarFile([1, 2]).subarray(0, 5000));
    await expectError(() => openDataset(path("cut")), "DATA_TRUNCATED", "data_batch_1.bin", "3073", "5000");
    write("empty/data_batch_1.bin", "");
    await expectError(() => openDataset(path("empty")), "DATA_EMPTY", "data_batch_1.bin");
    write("range/data_batch_1.bin", cifarFile([1, 10]));
    await expectError(
      () => openDataset(path("range")),
      "DATA_LABEL",
      "data_batch_1.bin",
      "0 to 9",
      "record 1 has 10",
    );
    write("names/data_batch_1.bin", cifarFile([1, 2]));
    write("names/batches.meta.txt", "cat\ndog\n");
    await expectError(() => openDataset(path("names")), "DATA_LABEL", "0 to 1", "has 2");
    write("twice/data_batch_1.bin", cifarFile([1]));
    write("twice/batches.meta.txt", "cat\ncat\n");
    await expectError(() => openDataset(path("twice")), "DATA_CLASSES", "batches.meta.txt", '"cat"');
    write("untrained/test_batch.bin", cifarFile([1]));
    await expectError(() => openDataset(path("untrained")), "DATA_EMPTY", "training files");
  });

  it.skipIf(!available(cifarFolder))("reads the CIFAR-10 images", async () => {
    const { classes, train, test } = await openMemory(cifarFolder);
    expect(classes[0]).toBe("airplane");
    expect(train.count).toBeGreaterThanOrEqual(5000);
    expect(new Set(classCounts(train.labels, classes)).size).toBe(1);
    expect(test?.count).toBeGreaterThanOrEqual(1000);
    // The published statistics of all 50,000 images; a subset is near them.
    const { mean, std } = statisticsOf(train);
    [0.4914, 0.4822, 0.4465].forEach((value, channel) => {
      expect(Math.abs(mean[channel] - value)).toBeLessThan(0.01);
    });
    [0.247, 0.2435, 0.2616].forEach((value, channel) => {
      expect(Math.abs(std[channel] - value)).toBeLessThan(0.01);
    });
  });
});

describe("IDX", () => {
  const pair = (
    name: string,
    count: number,
    options: { gzip?: boolean; part?: string; side?: number } = {},
  ): void => {
    const { gzip = false, part = "train", side = 28 } = options;
    const pack = (bytes: Uint8Array): Uint8Array => (gzip ? gzipSync(bytes) : bytes);
    const end = gzip ? ".gz" : "";
    const images = idxFile([count, side, side], randomBytes(count * side * side));
    write(`${name}/${part}-images-idx3-ubyte${end}`, pack(images));
    write(
      `${name}/${part}-labels-idx1-ubyte${end}`,
      pack(
        idxFile(
          [count],
          Uint8Array.from({ length: count }, (_, i) => i % 3),
        ),
      ),
    );
  };

  it("reads the bundled images with their class names", async () => {
    const { format, classes, train, test } = await openMemory(bundledFolder);
    expect(format).toBe("idx");
    expect(classes[9]).toBe("Ankle boot");
    expect([train.count, train.channels, train.height, train.width]).toEqual([5000, 1, 28, 28]);
    expect(classCounts(train.labels, classes)).toEqual(new Array(10).fill(500));
    expect(classCounts(test?.labels ?? new Int32Array(), classes)).toEqual(new Array(10).fill(100));
    // The published statistics of Fashion-MNIST.
    expect(Math.abs(statisticsOf(train).mean[0] - 0.286)).toBeLessThan(0.005);
    expect(Math.abs(statisticsOf(train).std[0] - 0.353)).toBeLessThan(0.005);
  });

  it("reads the same from plain and from gzipped files", async () => {
    pair("plain", 7);
    pair("zipped", 7, { gzip: true });
    const [plain, zipped] = [await scanDataset(path("plain")), await scanDataset(path("zipped"))];
    const images = plain.parts.get("train") as ImageSet;
    expect(zipped.parts.get("train")).toEqual(images);
    expect(Buffer.compare(images.images, randomBytes(7 * 784))).toBe(0);
    expect(plain.classes).toEqual(["0", "1", "2"]);
  });

  it("takes colour images, pads odd sizes, takes names from classes.txt", async () => {
    write("colour/train-images-idx4-ubyte", idxFile([2, 3, 6, 5], randomBytes(180)));
    write("colour/train-labels-idx1-ubyte", idxFile([2], Uint8Array.of(2, 0)));
    write("colour/classes.txt", "T-shirt/top\nTrouser\n../../bag\n");
    const { classes, train, test } = await openMemory(path("colour"));
    // One image of each of two classes: none is left for testing.
    expect(test).toBeUndefined();
    expect(train.preparation).toEqual({ content: { height: 6, width: 5 }, averaged: 1 });
    expect(classes).toEqual(["T-shirt/top", "Trouser", "../../bag"]);
    expect([train.channels, train.height, train.width]).toEqual([3, 8, 8]);
    expect(train.images[1 * 8 + 1]).toBe(randomBytes(1)[0]);
  });

  it("says what is wrong with a file", async () => {
    const images = "train-images-idx3-ubyte";
    const labels = "train-labels-idx1-ubyte";
    const broken = async (
      name: string,
      files: Record<string, Uint8Array>,
      ...expected: Parameters<typeof expectError> extends [unknown, ...infer Rest] ? Rest : never
    ): Promise<void> => {
      pair(name, 6);
      for (const [file, bytes] of Object.entries(files)) write(`${name}/${file}`, bytes);
      await expectError(() => openDataset(path(name)), ...expected);
    };
    const good = idxFile([6, 28, 28], randomBytes(6 * 784));
    const sixLabels = Uint8Array.of(0, 1, 2, 0, 1, 2);
    await broken("no-magic", { [images]: cifarFile([1]) }, "DATA_FORMAT", images, "00000803");
    await broken("floats", { [images]: Buffer.from("00000d0300000001", "hex") }, "DATA_FORMAT", "00000d03");
    await broken("nothing", { [images]: new Uint8Array() }, "DATA_FORMAT", "got nothing");
    await broken("swapped", { [images]: idxFile([6], sixLabels) }, "DATA_FORMAT", "00000801");
    await broken("short-header", { [images]: good.subarray(0, 9) }, "DATA_TRUNCATED", "header of 16 bytes");
    await broken(
      "cut-short",
      { [images]: good.subarray(0, 1000) },
      "DATA_TRUNCATED",
      images,
      "6 x 28 x 28",
      "1000",
    );
    await broken(
      "longer",
      { [images]: Buffer.concat([good, good]) },
      "DATA_TRUNCATED",
      images,
      "6 x 28 x 28",
    );
    await broken("zero", { [images]: idxFile([0, 28, 28], new Uint8Array()) }, "DATA_EMPTY", images);
    const huge = idxFile([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], new Uint8Array(100));
    await broken("huge", { [images]: huge }, "DATA_TRUNCATED", "at most 116 bytes");
    await broken("huge-zipped", { [images]: gzipSync(huge) }, "DATA_TRUNCATED", "4294967295");
    await broken(
      "count",
      { [labels]: idxFile([5], sixLabels.subarray(1)) },
      "DATA_LABEL",
      labels,
      "expected 6 labels",
      "5",
    );
    await broken(
      "hole",
      { [labels]: idxFile([6], Uint8Array.of(0, 1, 2, 0, 1, 200)) },
      "DATA_LABEL",
      "200",
      "classes.txt",
    );
    pair("lone-test-class", 6, { part: "t10k" });
    const odd = idxFile([6], Uint8Array.of(0, 1, 2, 0, 1, 7));
    await broken("lone-test-class", { "t10k-labels-idx1-ubyte": odd }, "DATA_LABEL", "image 5 has 7");
    pair("mixed", 6, { part: "t10k", side: 32 });
    await broken("mixed", {}, "DATA_SIZE", "1x28x28", "1x32x32");
    write("half/train-images-idx3-ubyte", good);
    await expectError(() => openDataset(path("half")), "DATA_EMPTY", "labels", images);
    pair("only-test", 6, { part: "t10k" });
    await expectError(() => openDataset(path("only-test")), "DATA_EMPTY", "training files");
  });

  it("says what is wrong with compressed data, and expands no more than the header says", async () => {
    const zipped = async (name: string, bytes: Uint8Array): Promise<string> => {
      pair(name, 6, { gzip: true });
      write(`${name}/train-images-idx3-ubyte.gz`, bytes);
      return path(name);
    };
    const good = gzipSync(idxFile([6, 28, 28], randomBytes(6 * 784)));
    const cut = await zipped("zip-cut", good.subarray(0, 3000));
    await expectError(() => openDataset(cut), "DATA_TRUNCATED", "ends early");
    const flipped = Uint8Array.from(good);
    flipped[good.length - 6] ^= 255;
    const damaged = await zipped("zip-damaged", flipped);
    await expectError(() => openDataset(damaged), "DATA_FORMAT", "does not decompress");
    // 300 MB of zeros behind a header that says 6 images.
    const bomb = await zipped(
      "zip-bomb",
      gzipSync(Buffer.concat([idxFile([6, 28, 28], new Uint8Array()), Buffer.alloc(3e8)])),
    );
    const before = process.memoryUsage().arrayBuffers;
    await expectError(() => openDataset(bomb), "DATA_TRUNCATED", "6 x 28 x 28", "more");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(5e7);
  });

  it("is not scaled to an image size that is no whole part of its own", async () => {
    await expectError(() => openDataset(bundledFolder, { imageSize: 32 }), "DATA_SIZE", "32 x 32", "28 x 28");
    await expectError(() => openDataset(bundledFolder, { imageSize: 12 }), "DATA_SIZE", "12 x 12", "14, 7");
    expect((await openDataset(bundledFolder, { imageSize: 28 })).train.count).toBe(5000);
  });
});

describe("openDataset", () => {
  it("says what it looked for", async () => {
    await expectError(() => openDataset(path("absent")), "FILE_NOT_FOUND", "absent");
    const file = write("file", "text");
    await expectError(() => openDataset(file), "FILE_KIND", file);
    write("unknown/notes.txt", "text");
    await expectError(() => openDataset(path("unknown")), "DATA_UNKNOWN", "data_batch_1.bin", "1 files");
    write("bare/.hidden", "");
    await expectError(() => openDataset(path("bare")), "DATA_UNKNOWN", "nothing");
  });

  it.skipIf(process.getuid?.() === 0)("names what it may not read", async () => {
    const file = write("denied/data_batch_1.bin", cifarFile([1]));
    chmodSync(file, 0);
    await expectError(() => openDataset(path("denied")), "FILE_DENIED", file);
  });

  it("gives the bytes of the file itself", async () => {
    const bytes = await readFile(path("ten/test_batch.bin"));
    const { test } = await openMemory(path("ten"));
    expect(test?.images.subarray(0, 3072)).toEqual(Uint8Array.from(bytes.subarray(1, 3073)));
  });
});
