// How data sets lie on disks: what is found, what is set aside, what is said of the rest.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import {
  cifarFile,
  expectError,
  idxFile,
  picture,
  randomBytes,
  temporaryFolder,
} from "../../test/support/data.js";
import { openDataset, scanDataset, trainAndTest } from "./open.js";
import type { FolderDataset, ImageSet, MemoryDataset, OpenOptions, PictureList } from "./types.js";
import { verifyDataset } from "./verify.js";

const { folder, write } = temporaryFolder();
const path = (name: string): string => join(folder, name);
let png: Buffer;

beforeAll(async () => {
  png = await picture(8, 8, "png");
});

/** So many equal pictures in a folder of a class. */
function pictures(place: string, count: number, ending = "png"): void {
  for (let i = 0; i < count; i++) write(`${place}/${String(i).padStart(2, "0")}.${ending}`, png);
}

const countsOf = (part: { readonly labels: Int32Array }, classes: readonly string[]): number[] =>
  classes.map((_, label) => part.labels.filter((one) => one === label).length);

describe("a folder with training pictures only", () => {
  beforeAll(() => {
    for (const [name, count] of [
      ["cat", 20],
      ["dog", 10],
      ["owl", 2],
      ["yak", 1],
    ] as const)
      pictures(`only-train/train/${name}`, count);
  });

  it("gets test pictures of every class with two, and keeps training pictures of every class", async () => {
    const { train, test, classes, notes } = await openDataset(path("only-train"));
    expect(countsOf(test!, classes)).toEqual([3, 2, 1, 0]);
    expect(countsOf(train, classes)).toEqual([17, 8, 1, 1]);
    expect(notes.join()).toMatch(/6 of 33 images are set aside for testing.*--split-seed 0/);
    const report = await verifyDataset(path("only-train"));
    expect([report.train?.count, report.test?.count, report.testSetAside]).toEqual([27, 6, true]);
  });

  it("is split by its own seed, the same from the disk and in memory, with a broken picture and without", async () => {
    const open = (options: OpenOptions) => openDataset(path("only-train"), { skipBroken: true, ...options });
    const streamed = (await open({ stream: true, splitSeed: 3 })) as FolderDataset;
    const whole = (await open({ splitSeed: 3 })) as MemoryDataset;
    expect(streamed.setAside.length).toBe(6);
    expect(whole.setAside).toEqual(streamed.setAside);
    expect(whole.test?.labels).toEqual(streamed.test?.labels);
    const others = (await open({ stream: true, splitSeed: 4 })) as FolderDataset;
    expect(others.test?.paths).not.toEqual(streamed.test?.paths);
    writeFileSync(streamed.train.paths[2], png.subarray(0, 50));
    const damaged = (await open({ splitSeed: 3, imageSize: 8 })) as MemoryDataset;
    writeFileSync(streamed.train.paths[2], png);
    expect(damaged.setAside).toEqual(streamed.setAside);
    expect(damaged.train.labels).toEqual(streamed.train.labels);
    expect(damaged.train.broken).toEqual(new Set([2]));
    expect(new Set([whole.listing, damaged.listing, others.listing])).toEqual(new Set([streamed.listing]));
  });
});

describe("parts", () => {
  it.each(["val", "valid", "Validation", "TEST", "test"])("called %s are the test pictures", async (name) => {
    pictures(`called-${name}/Train/cat`, 3);
    pictures(`called-${name}/Train/dog`, 3);
    pictures(`called-${name}/${name}/dog`, 2);
    const { train, test, testPart, setAside } = await openDataset(path(`called-${name}`));
    expect([train.count, [...test!.labels]]).toEqual([6, [1, 1]]);
    expect([testPart, setAside.length]).toEqual([name.toLowerCase() === "test" ? "test" : "val", 0]);
  });

  it("of both kinds are told apart, and it is said which one is not used", async () => {
    for (const [part, count] of [
      ["train", 3],
      ["val", 2],
      ["test", 1],
    ] as const)
      pictures(`three/${part}/cat`, count);
    const { test, notes } = await openDataset(path("three"));
    expect(test?.count).toBe(1);
    expect(notes.join()).toMatch(/the 2 of val\/ are used by .*--split val/);
    expect((await verifyDataset(path("three"))).val?.count).toBe(2);
  });

  it("without training pictures can be looked at and not trained on", async () => {
    pictures("only-val/val/cat", 2);
    pictures("only-val/val/dog", 1);
    const scanned = await scanDataset(path("only-val"));
    expect([...scanned.parts.keys()]).toEqual(["val"]);
    expect(scanned.classes).toEqual(["cat", "dog"]);
    expect((await verifyDataset(path("only-val"))).train).toBeUndefined();
    await expectError(() => openDataset(path("only-val")), "DATA_EMPTY", "training pictures", "only val");
  });

  it("are classes where pictures lie in them, if there are other classes", async () => {
    for (const name of ["car", "plane", "train"]) pictures(`vehicles/${name}`, 5);
    const { classes, train, test } = await openDataset(path("vehicles"));
    expect(classes).toEqual(["car", "plane", "train"]);
    expect([train.count, test?.count]).toEqual([12, 3]);
    pictures("unsorted/train", 3);
    pictures("unsorted/test", 3);
    await expectError(() => openDataset(path("unsorted")), "DATA_EMPTY", "a folder for each class");
  });
});

describe("what is there", () => {
  it("is read from folders of a class and with every ending; the rest is said", async () => {
    for (const ending of ["jpg", "jpeg", "JPE", "jfif", "png", "webp", "gif", "tif", "tiff", "avif"])
      write(`rich/a/x.${ending}`, png);
    pictures("rich/a/more/and more", 2);
    pictures("rich/b", 2);
    mkdirSync(path("rich/hollow"));
    write("rich/a/phone.heic", "x");
    write("rich/b/notes.txt", "x");
    write("rich/loose.png", png);
    symlinkSync(path("rich/a"), path("rich/a/more/round"));
    const scanned = await scanDataset(path("rich"));
    expect(scanned.classes).toEqual(["a", "b"]);
    expect(countsOf(scanned.parts.get("all")!, scanned.classes)).toEqual([12, 2]);
    const said = scanned.notes.join("\n");
    expect(said).toMatch(/not used: 1 picture outside of the folders of classes .*loose\.png/);
    expect(said).toMatch(/left out: 1 folder of a class without any picture .*hollow/);
    expect(said).toMatch(/not used: 2 files .*\.heic: 1.*convert \.heic to JPEG/);
    expect(said).toMatch(/not used: .*round, a link to a folder around it/);
  });

  it("is decoded in every format that is read", async () => {
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    for (const format of ["jpeg", "png", "webp", "gif", "tiff", "avif"] as const) {
      const file = await sharp(data, { raw: info }).toFormat(format, { lossless: true }).toBuffer();
      write(`formats/a/x.${format === "jpeg" ? "jpe" : format}`, file);
    }
    const { train, test } = (await openDataset(path("formats"))) as MemoryDataset;
    expect(train.count + test!.count).toBe(6);
    for (const part of [train, test!])
      for (let image = 0; image < part.count; image++) {
        const pixels = part.images.subarray(image * 192, (image + 1) * 192);
        const mean = pixels.reduce((a, b) => a + b) / 192;
        expect(Math.abs(mean - data.reduce((a, b) => a + b) / 192)).toBeLessThan(4);
      }
  });

  it("beside parts is named", async () => {
    pictures("beside/train/cat", 2);
    pictures("beside/spare/cat", 2);
    pictures("beside/test", 2);
    const { notes } = await scanDataset(path("beside"));
    expect(notes.join()).toMatch(/not used: spare\/, test\/ beside train\//);
  });
});

describe("names", () => {
  it("are the same in every form of Unicode", async () => {
    pictures(`unicode/train/${"é".normalize("NFD")}`, 2);
    pictures("unicode/train/a", 2);
    pictures(`unicode/val/${"é".normalize("NFC")}`, 1);
    const { classes, test } = await openDataset(path("unicode"));
    expect(classes).toEqual(["a", "é".normalize("NFC")]);
    expect([...test!.labels]).toEqual([1]);
    pictures(`twins/${"é".normalize("NFD")}`, 2);
    pictures(`twins/${"é".normalize("NFC")}`, 2);
    await expectError(() => openDataset(path("twins")), "DATA_CLASSES", "twice", "accent");
  });

  it("in another encoding are shown and refused", async () => {
    mkdirSync(path("latin"));
    const name = Buffer.concat([Buffer.from(path("latin/caf")), Buffer.from([0xe9])]);
    mkdirSync(name);
    await expectError(() => openDataset(path("latin")), "DATA_NAME", "café", "Latin-1", "convmv");
  });
});

describe("the folder around the data", () => {
  const someCifar = cifarFile([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

  it("is enough, and it is said where they are", async () => {
    write("downloads/cifar-10-batches-bin/data_batch_1.bin", someCifar);
    write("downloads/cifar-10-batches-bin/data_batch_3.bin", someCifar);
    const { directory, format, notes, train, test, classesAreNamed } = await openDataset(path("downloads"));
    expect([directory, format]).toEqual([path("downloads/cifar-10-batches-bin"), "cifar10"]);
    expect(notes.join()).toMatch(/the data are in .*cifar-10-batches-bin/);
    expect(notes.join()).toMatch(/has no data_batch_2\.bin, data_batch_4\.bin, data_batch_5\.bin/);
    expect([train.count, test?.count, classesAreNamed]).toEqual([10, 10, false]);
    write("mnist/MNIST/raw/train-images-idx3-ubyte", idxFile([4, 4, 4], randomBytes(64)));
    write("mnist/MNIST/raw/train-labels-idx1-ubyte", idxFile([4], Uint8Array.of(0, 1, 0, 1)));
    expect((await scanDataset(path("mnist"))).directory).toBe(path("mnist/MNIST/raw"));
    expect((await scanDataset(path("mnist/MNIST"))).directory).toBe(path("mnist/MNIST/raw"));
    pictures("archive/flowers/daisy", 2);
    pictures("archive/flowers/rose", 2);
    expect((await scanDataset(path("archive"))).classes).toEqual(["daisy", "rose"]);
    pictures("wrapped/inner/train/daisy", 2);
    expect((await scanDataset(path("wrapped"))).classes).toEqual(["daisy"]);
  });

  it("is not enough where several data sets are in it, or none that is read", async () => {
    write("several/one/train.bin", cifarFile([1], 2));
    write("several/two/data_batch_1.bin", someCifar);
    await expectError(() => openDataset(path("several")), "DATA_UNKNOWN", "found 2", "several/two");
    write("python/cifar-10-batches-py/data_batch_1", "x");
    await expectError(() => openDataset(path("python")), "DATA_UNKNOWN", "for Python", "data download");
    await expectError(() => openDataset(path("python/cifar-10-batches-py")), "DATA_UNKNOWN", "for Python");
    pictures("loose", 3);
    await expectError(() => openDataset(path("loose")), "DATA_UNKNOWN", "3 pictures without a folder");
  });
});

describe("files of the MNIST family", () => {
  const images = (name: string, dimensions: number[], data: Uint8Array): string =>
    write(`${name}-images-idx${dimensions.length}-ubyte`, idxFile(dimensions, data));
  const labels = (name: string, values: number[]): string =>
    write(`${name}-labels-idx1-ubyte`, idxFile([values.length], Uint8Array.from(values)));
  const trainOf = async (name: string): Promise<ImageSet> =>
    (await scanDataset(path(name))).parts.get("train") as ImageSet;

  it("may have the channels last, and are refused where nothing tells", async () => {
    const pixels = randomBytes(2 * 8 * 8 * 3);
    images("last/train", [2, 8, 8, 3], pixels);
    labels("last/train", [0, 1]);
    const { channels, height, width, images: planar } = await trainOf("last");
    expect([channels, height, width]).toEqual([3, 8, 8]);
    for (const [image, channel, y, x] of [
      [0, 0, 0, 0],
      [1, 2, 7, 3],
      [1, 1, 4, 6],
    ])
      expect(planar[((image * 3 + channel) * 8 + y) * 8 + x]).toBe(
        pixels[((image * 8 + y) * 8 + x) * 3 + channel],
      );
    images("bands/train", [2, 6, 8, 8], randomBytes(768));
    labels("bands/train", [0, 1]);
    expect((await trainOf("bands")).channels).toBe(6);
    images("which/train", [2, 8, 8, 8], randomBytes(1024));
    labels("which/train", [0, 1]);
    await expectError(() => scanDataset(path("which")), "DATA_FORMAT", "2 x 8 x 8 x 8", "channels");
  });

  it("of EMNIST are turned upright, with the names of its mapping, whose first label may be 1", async () => {
    const pixels = randomBytes(3 * 4 * 8);
    images("emnist/emnist-letters-train", [3, 4, 8], pixels);
    labels("emnist/emnist-letters-train", [2, 1, 2]);
    write("emnist/emnist-letters-mapping.txt", "1 65 97\n2 66 98\n");
    const { classes, parts } = await scanDataset(path("emnist"));
    const train = parts.get("train") as ImageSet;
    expect(classes).toEqual(["A", "B"]);
    expect([...train.labels]).toEqual([1, 0, 1]);
    expect([train.height, train.width]).toEqual([8, 4]);
    expect(train.images[1 * 32 + 5 * 4 + 2]).toBe(pixels[1 * 32 + 2 * 8 + 5]);
    images("emnist/emnist-digits-train", [3, 4, 8], pixels);
    labels("emnist/emnist-digits-train", [0, 1, 2]);
    await expectError(() => scanDataset(path("emnist")), "DATA_UNKNOWN", "emnist/emnist-digits");
    expect((await scanDataset(path("emnist/emnist-digits"))).classes).toEqual(["0", "1", "2"]);
  });

  it("of QMNIST have eight numbers to a label, of which the first is the class", async () => {
    images("qmnist/qmnist-train", [3, 4, 4], randomBytes(48));
    const numbers = Buffer.alloc(4 + 8 + 3 * 8 * 4);
    numbers.set([0, 0, 0x0c, 2]);
    numbers.writeUInt32BE(3, 4);
    numbers.writeUInt32BE(8, 8);
    for (const [image, label] of [1, 0, 1].entries()) {
      numbers.writeInt32BE(label, 12 + image * 32);
      numbers.writeInt32BE(700 + image, 12 + image * 32 + 4);
    }
    write("qmnist/qmnist-train-labels-idx2-int", numbers);
    expect([...(await trainOf("qmnist")).labels]).toEqual([1, 0, 1]);
  });

  it("have no names where only a text beside them tells of some", async () => {
    images("kmnist/train", [10, 4, 4], randomBytes(160));
    labels("kmnist/train", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    write("kmnist/README.md", "A drop-in replacement for MNIST, like Fashion-MNIST");
    const { classes, classesAreNamed } = await scanDataset(path("kmnist"));
    expect([classes[0], classesAreNamed]).toEqual(["0", false]);
  });

  it("without test files get test images", async () => {
    images("alone/train", [20, 4, 4], randomBytes(320));
    labels(
      "alone/train",
      Array.from({ length: 20 }, (_, i) => i % 2),
    );
    const { train, test, setAside } = (await openDataset(path("alone"))) as MemoryDataset;
    expect([train.count, test?.count]).toEqual([16, 4]);
    const all = (await trainOf("alone")).images;
    expect(test?.images.subarray(0, 16)).toEqual(
      new Uint8Array(all.subarray(16 * setAside[0], 16 * setAside[0] + 16)),
    );
  });
});

it("the parts of a folder are the same pictures, whoever splits them", async () => {
  for (const name of ["a", "b"]) pictures(`shared/${name}`, 10);
  const scanned = await scanDataset(path("shared"));
  const { train, test } = trainAndTest(scanned, 0) as { train: PictureList; test: PictureList };
  const opened = (await openDataset(path("shared"), { stream: true })) as FolderDataset;
  expect([opened.train.paths, opened.test?.paths]).toEqual([train.paths, test.paths]);
});
