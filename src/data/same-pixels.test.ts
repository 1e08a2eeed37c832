// One way from a picture to an image: training, evaluation and prediction see the same pixels, whatever the size and the fit.
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, describe, expect, it } from "vitest";
import { idxFile, picture, randomBytes, temporaryFolder } from "../../test/support/data.js";
import { FolderBatchSource } from "./folder-source.js";
import { MemoryBatchSource } from "./memory-source.js";
import { openDataset } from "./open.js";
import {
  contentOf,
  decodeImage,
  imagenetCrop,
  openReduced,
  type PictureRecipe,
  preparedSquare,
  preparePicture,
} from "./picture.js";
import { PictureCache } from "./picture-cache.js";
import type { BatchSource, Fit, MemoryDataset, PictureList } from "./types.js";

const { folder, write } = temporaryFolder();
const grey = { mean: [0.3], std: [0.5] };
const colour = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] };
const opened: BatchSource[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((source) => source.close()));
});

/** All images of a source in the order of its list. */
async function imagesOf(source: BatchSource): Promise<Float32Array> {
  opened.push(source);
  return (await source.batch(0, 0)).images;
}

const plan = { batchSize: 1000, seed: 0, shuffle: false };

const streamed = (paths: readonly string[], recipe: PictureRecipe, cache?: PictureCache) => {
  const labels = new Int32Array(paths.length);
  const list: PictureList = { count: paths.length, classes: ["a"], paths, labels };
  const { normalisation, ...shape } = recipe;
  return new FolderBatchSource(list, { ...plan, shape, normalisation, workers: 1, cache });
};

async function decoded(paths: readonly string[], recipe: PictureRecipe): Promise<Float32Array> {
  const images = await Promise.all(paths.map((path) => decodeImage(path, recipe)));
  return Float32Array.from(images.flatMap((image) => [...image]));
}

async function folderOf(name: string, width: number, height: number): Promise<string[]> {
  const paths: string[] = [];
  for (const part of ["train", "val"])
    for (let i = 0; i < 3; i++) {
      const path = write(`${name}/${part}/a/${i}.png`, await picture(width, height, "png", i));
      if (part === "train") paths.push(path);
    }
  return paths;
}

describe("pictures of a folder", () => {
  it("whose sides are not divisible by 4 are padded by all, scaled by none", async () => {
    const paths = await folderOf("odd", 30, 21);
    const { train } = (await openDataset(join(folder, "odd"))) as MemoryDataset;
    expect([train.height, train.width]).toEqual([24, 32]);
    expect(train.preparation).toEqual({ content: { height: 21, width: 30 }, averaged: 1 });
    const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: colour }));
    const { preparation } = train;
    const recipe = {
      ...{ channels: 3 as const, height: 24, width: 32, resizeRatio: 1 },
      ...{ preparation, normalisation: colour },
    } as const;
    expect(await decoded(paths, recipe)).toEqual(trained);
    expect(await imagesOf(streamed(paths, recipe))).toEqual(trained);
    // The picture itself, with black around it.
    const { data } = await sharp(paths[0]).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    expect(train.images[1 * 32 + 1]).toBe(data[0]);
    expect([...train.images.subarray(0, 33)]).toEqual(new Array(33).fill(0));
  });

  it.each<Fit>(["crop", "pad", "stretch"])("come to a size by --fit %s in the same way", async (fit) => {
    const paths = await folderOf("wide", 70, 35);
    const { train } = (await openDataset(join(folder, "wide"), { imageSize: 32, fit })) as MemoryDataset;
    const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: colour }));
    const recipe = {
      ...{ channels: 3 as const, height: 32, width: 32, resizeRatio: 1 },
      ...{ fit, normalisation: colour },
    } as const;
    expect(await decoded(paths, recipe)).toEqual(trained);
    expect(await imagesOf(streamed(paths, recipe))).toEqual(trained);
  });

  it.each<Fit>(["crop", "pad", "stretch"])("come to a size that does not halve twice, by %s", async (fit) => {
    const paths = await folderOf("fifty", 70, 35);
    const { train } = (await openDataset(join(folder, "fifty"), { imageSize: 50, fit })) as MemoryDataset;
    expect([train.height, train.width]).toEqual([52, 52]);
    const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: colour }));
    const { side, preparation } = preparedSquare(50);
    expect([side, preparation]).toEqual([52, train.preparation]);
    const recipe = {
      ...{ channels: 3 as const, height: side, width: side, resizeRatio: 1 },
      ...{ fit, preparation, normalisation: colour },
    } as const;
    expect(await decoded(paths, recipe)).toEqual(trained);
    expect(await imagesOf(streamed(paths, recipe))).toEqual(trained);
    expect([...train.images.subarray(0, 52)]).toEqual(new Array(52).fill(0));
  });

  it("are cut out at random inside of the zeros", async () => {
    const paths = await folderOf("random", 70, 60);
    const { side, preparation } = preparedSquare(18);
    const shape = { channels: 3, height: side, width: side, resizeRatio: 1, preparation } as const;
    const list: PictureList = { count: 3, classes: ["a"], paths, labels: new Int32Array(3) };
    const augmentation = { padding: 0, flip: false, cutout: 0, randomResizedCrop: imagenetCrop };
    const source = new FolderBatchSource(list, {
      ...plan,
      shape,
      normalisation: colour,
      augmentation,
      workers: 1,
    });
    const images = await imagesOf(source);
    const black = colour.mean.map((mean, channel) => Math.fround(-mean / colour.std[channel]));
    for (let plane = 0; plane < 9; plane++) {
      const pixel = (y: number, x: number) => images[(plane * side + y) * side + x];
      expect(pixel(0, 5)).toBeCloseTo(black[plane % 3], 5);
      expect(pixel(9, side - 1)).toBeCloseTo(black[plane % 3], 5);
      const inside = Array.from({ length: 18 }, (_, x) => pixel(9, x + 1));
      expect(inside.some((value) => Math.abs(value - black[plane % 3]) > 0.1)).toBe(true);
    }
  });

  it("keep all of the picture by pad, its middle by crop, and all of it out of proportion by stretch", async () => {
    const halves = await sharp({ create: { width: 64, height: 32, channels: 3, background: "#ff0000" } })
      .composite([
        { input: { create: { width: 16, height: 32, channels: 3, background: "#0000ff" } }, left: 0, top: 0 },
      ])
      .png()
      .toBuffer();
    const path = write("halves.png", halves);
    const seen = async (fit: Fit): Promise<string> => {
      const shape = { channels: 3, height: 16, width: 16, resizeRatio: 1, fit } as const;
      const pixels = await preparePicture(await openReduced(path, contentOf(shape)), shape);
      const at = (x: number, y: number): string => {
        const [red, , blue] = [0, 1, 2].map((channel) => pixels[(channel * 16 + y) * 16 + x]);
        return red > 200 ? "r" : blue > 200 ? "b" : "-";
      };
      return at(8, 1) + at(1, 8) + at(14, 8);
    };
    // Above the middle, at the left, at the right.
    expect(await seen("crop")).toBe("rrr");
    expect(await seen("pad")).toBe("-br");
    expect(await seen("stretch")).toBe("rbr");
  });
});

it("images of IDX files and the same as pictures are one", async () => {
  const pixels = randomBytes(2 * 27 * 27);
  write("idx/train-images-idx3-ubyte", idxFile([2, 27, 27], pixels));
  write("idx/train-labels-idx1-ubyte", idxFile([2], Uint8Array.of(0, 1)));
  const { train } = (await openDataset(join(folder, "idx"))) as MemoryDataset;
  const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: grey }));
  const path = join(folder, "grey.png");
  const raw = { width: 27, height: 27, channels: 1 } as const;
  await sharp(pixels.subarray(729), { raw }).png().toFile(path);
  const { height, width, preparation } = train;
  const recipe = { channels: 1, height, width, resizeRatio: 1, preparation, normalisation: grey } as const;
  expect(await decodeImage(path, recipe)).toEqual(trained.slice(28 * 28));
  expect(await imagesOf(streamed([path], recipe))).toEqual(trained.slice(28 * 28));
});

it.each([16, 14, 9])(
  "images of IDX files that were averaged to %d and the same as pictures are one",
  async (imageSize) => {
    const own = imageSize === 9 ? 27 : imageSize === 16 ? 32 : 28;
    const pixels = randomBytes(2 * own * own, imageSize);
    write(`idx-${imageSize}/train-images-idx3-ubyte`, idxFile([2, own, own], pixels));
    write(`idx-${imageSize}/train-labels-idx1-ubyte`, idxFile([2], Uint8Array.of(0, 1)));
    const opened = await openDataset(join(folder, `idx-${imageSize}`), { imageSize });
    const { train } = opened as MemoryDataset;
    const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: grey }));
    const path = join(folder, `grey-${imageSize}.png`);
    const raw = { width: own, height: own, channels: 1 } as const;
    await sharp(pixels.subarray(own * own), { raw })
      .png()
      .toFile(path);
    const { height, width, preparation } = train;
    expect([height, width]).toEqual(imageSize === 9 ? [12, 12] : [16, 16]);
    const recipe = { channels: 1, height, width, resizeRatio: 1, preparation, normalisation: grey } as const;
    expect(await decodeImage(path, recipe)).toEqual(trained.slice(height * width));
  },
);

it("images that were averaged and the same as pictures are one", async () => {
  const record = (label: number, seed: number): Buffer =>
    Buffer.concat([Buffer.from([label]), randomBytes(3072, seed)]);
  write("cifar/data_batch_1.bin", Buffer.concat([record(0, 1), record(1, 2)]));
  const { train } = (await openDataset(join(folder, "cifar"), { imageSize: 16 })) as MemoryDataset;
  const trained = await imagesOf(new MemoryBatchSource(train, { ...plan, normalisation: colour }));
  const planar = randomBytes(3072, 2);
  const mixed = Uint8Array.from({ length: 3072 }, (_, i) => planar[(i % 3) * 1024 + Math.floor(i / 3)]);
  const path = join(folder, "colour.png");
  await sharp(mixed, { raw: { width: 32, height: 32, channels: 3 } })
    .png()
    .toFile(path);
  const { preparation } = train;
  const recipe = {
    ...{ channels: 3 as const, height: 16, width: 16, resizeRatio: 1 },
    ...{ preparation, normalisation: colour },
  } as const;
  expect(await decodeImage(path, recipe)).toEqual(trained.slice(3 * 256));
});

describe("photographs", () => {
  const recipe = {
    channels: 3,
    height: 32,
    width: 32,
    resizeRatio: 256 / 224,
    normalisation: colour,
  } as const;

  it("are reduced once, by all in the same way, and kept", async () => {
    const paths: string[] = [];
    for (let i = 0; i < 2; i++) paths.push(write(`photos/${i}.jpg`, await picture(1500, 1100, "jpeg", i)));
    // Upright: 1000 wide.
    const turned = sharp(await picture(1400, 1000)).withMetadata({ orientation: 6 });
    paths.push(write("photos/turned.jpg", await turned.jpeg().toBuffer()));
    paths.push(write("photos/small.jpg", await picture(600, 400)));
    const { width, height, reduced } = await openReduced(paths[2], contentOf(recipe));
    expect([width, height, reduced]).toEqual([512, 717, true]);
    expect((await openReduced(paths[3], contentOf(recipe))).reduced).toBeUndefined();
    const cache = new PictureCache(2 ** 30);
    const source = streamed(paths, recipe, cache);
    const first = await imagesOf(source);
    expect(first).toEqual(await decoded(paths, recipe));
    expect(cache.count).toBe(3);
    // The files are not read again.
    for (const path of paths.slice(0, 3)) write(path.slice(folder.length + 1), "gone");
    expect((await source.batch(1, 0)).images).toEqual(first);
  });

  it("are near the same as without reducing them", async () => {
    const path = write("fine.jpg", await picture(1600, 1200, "jpeg", 5));
    const { normalisation: _, ...shape } = recipe;
    const reduced = await preparePicture(await openReduced(path, contentOf(recipe)), shape);
    const { openPicture } = await import("./picture.js");
    const whole = await preparePicture(await openPicture(path), shape);
    const differences = Array.from(reduced, (value, i) => Math.abs(value - whole[i]));
    expect(Math.max(...differences)).toBeLessThanOrEqual(4);
  });

  it("are kept up to a limit", () => {
    const cache = new PictureCache(100);
    const kept = (bytes: number) => ({ width: 1, height: 1, pixels: new SharedArrayBuffer(bytes) });
    cache.keep("a", kept(60));
    expect([cache.count, cache.hasRoom]).toEqual([1, true]);
    cache.keep("a", kept(60));
    cache.keep("b", kept(60));
    expect([cache.count, cache.hasRoom, cache.get("b")]).toEqual([1, false, undefined]);
    cache.clear();
    expect([cache.count, cache.hasRoom]).toEqual([0, true]);
  });
});
