// Pictures of every kind to pixels: formats, colour models, orientation, scaling, random crops, broken files.
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { expectError, picture, randomBytes, temporaryFolder } from "../../test/support/data.js";
import { RandomStream } from "../base/random.js";
import {
  centreCrop,
  decodeImage,
  drawRandomResizedCrop,
  imagenetCrop,
  openPicture,
  type PictureRecipe,
  renderPicture,
  wholePicture,
} from "./picture.js";

const { folder, write } = temporaryFolder();
const path = (name: string): string => join(folder, name);

/** Colour of the pixel in the middle of a part of a planar picture. */
const at = (pixels: Uint8Array, width: number, y: number, x: number): number[] => {
  const area = pixels.length / 3;
  return [0, 1, 2].map((channel) => pixels[channel * area + y * width + x]);
};
const near = (came: number[], expected: number[], tolerance: number): void => {
  came.forEach((value, i) => {
    expect(Math.abs(value - expected[i]), `${came} is not ${expected}`).toBeLessThanOrEqual(tolerance);
  });
};
const plain = (colour: string | object, width = 24, height = 16, channels: 3 | 4 = 3) =>
  sharp({ create: { width, height, channels, background: colour as string } });

async function pixelsOf(name: string, content: Uint8Array, channels: 1 | 3 = 3): Promise<Uint8Array> {
  const opened = await openPicture(write(name, content));
  return renderPicture(opened, wholePicture(opened), channels);
}

describe("renderPicture", () => {
  const orange = { r: 240, g: 120, b: 40 };

  it("gives the exact bytes of a lossless picture, planar", async () => {
    const raw = randomBytes(6 * 5 * 3);
    const png = await sharp(raw, { raw: { width: 6, height: 5, channels: 3 } })
      .png()
      .toBuffer();
    const pixels = await pixelsOf("exact.png", png);
    expect(Array.from({ length: 30 }, (_, i) => at(pixels, 6, 0, i)).flat()).toEqual([...raw]);
    const grey = await sharp(raw.subarray(0, 30), { raw: { width: 6, height: 5, channels: 1 } })
      .png()
      .toBuffer();
    expect(await pixelsOf("exact-grey.png", grey, 1)).toEqual(raw.subarray(0, 30));
    expect((await pixelsOf("exact-grey.png", grey)).subarray(60)).toEqual(raw.subarray(0, 30));
  });

  it("reads every format and colour model", async () => {
    const kinds: Record<string, [Promise<Buffer>, number]> = {
      "a.jpg": [plain(orange).jpeg({ quality: 100 }).toBuffer(), 2],
      "a.webp": [plain(orange).webp({ lossless: true }).toBuffer(), 1],
      "a.gif": [plain(orange).gif().toBuffer(), 1],
      "a.tiff": [plain(orange).tiff().toBuffer(), 1],
      "palette.png": [plain(orange).png({ palette: true }).toBuffer(), 1],
      "16-bit.png": [plain(orange).toColourspace("rgb16").png().toBuffer(), 1],
    };
    for (const [name, [content, tolerance]] of Object.entries(kinds)) {
      near(at(await pixelsOf(name, await content), 24, 8, 12), [240, 120, 40], tolerance);
    }
    const muted = await plain({ r: 200, g: 150, b: 120 })
      .toColourspace("cmyk")
      .jpeg({ quality: 100 })
      .toBuffer();
    expect((await sharp(muted).metadata()).space).toBe("cmyk");
    near(at(await pixelsOf("cmyk.jpg", muted), 24, 8, 12), [200, 150, 120], 10);
    const grey16 = await plain("#808080").toColourspace("grey16").png().toBuffer();
    near(at(await pixelsOf("grey16.png", grey16), 24, 8, 12), [128, 128, 128], 0);
    expect((await pixelsOf("grey16.png", grey16, 1)).every((value) => value === 128)).toBe(true);
  });

  it("lays transparency on white", async () => {
    const half = await plain({ r: 200, g: 100, b: 0, alpha: 0.5 }, 24, 16, 4).png().toBuffer();
    near(at(await pixelsOf("half.png", half), 24, 8, 12), [227, 177, 128], 1);
    const clear = await plain({ r: 0, g: 0, b: 0, alpha: 0 }, 24, 16, 4).webp().toBuffer();
    near(at(await pixelsOf("clear.webp", clear), 24, 8, 12), [255, 255, 255], 0);
  });

  it("turns pictures upright by all eight EXIF orientations", async () => {
    // Quarters red, green / blue, white of a picture 32 wide and 16 high as it is stored.
    const quarter = async (colour: string, left: number, top: number) => ({
      input: await plain(colour, 16, 8).png().toBuffer(),
      left,
      top,
    });
    const stored = await plain("#ff0000", 32, 16)
      .composite([
        await quarter("#00ff00", 16, 0),
        await quarter("#0000ff", 0, 8),
        await quarter("#ffffff", 16, 8),
      ])
      .png()
      .toBuffer();
    const [r, g, b, w] = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 255],
    ];
    // Top left, top right, bottom left, bottom right as a person should see them.
    const upright: number[][][] = [
      [r, g, b, w],
      [g, r, w, b],
      [w, b, g, r],
      [b, w, r, g],
      [r, b, g, w],
      [b, r, w, g],
      [w, g, b, r],
      [g, w, r, b],
    ];
    for (const [index, colours] of upright.entries()) {
      const jpeg = await sharp(stored)
        .withMetadata({ orientation: index + 1 })
        .jpeg({ quality: 100 })
        .toBuffer();
      const opened = await openPicture(write(`turned-${index + 1}.jpg`, jpeg));
      const [width, height] = index < 4 ? [32, 16] : [16, 32];
      expect([opened.width, opened.height]).toEqual([width, height]);
      const pixels = await renderPicture(opened, wholePicture(opened), 3);
      for (const [corner, colour] of colours.entries()) {
        const y = corner < 2 ? height / 4 : (3 * height) / 4;
        const x = corner % 2 === 0 ? width / 4 : (3 * width) / 4;
        near(at(pixels, width, y, x), colour, 8);
      }
      // A part taken out of the upright picture, scaled.
      const extract = { left: width / 2, top: 0, width: width / 2, height: height / 2 };
      const part = await renderPicture(opened, { extract, width: 8, height: 8 }, 3);
      near(at(part, 8, 4, 4), colours[1], 8);
      const centre = await renderPicture(opened, centreCrop(opened, 8, 8, 1), 3);
      near(at(centre, 8, 1, 1), colours[0], 60);
    }
  });

  it("scales and crops as asked", async () => {
    const opened = await openPicture(write("wide.png", await plain("#336699", 300, 100).png().toBuffer()));
    expect(centreCrop(opened, 224, 224, 256 / 224)).toEqual({
      width: 768,
      height: 256,
      crop: { left: 272, top: 16, width: 224, height: 224 },
    });
    expect(centreCrop({ width: 500, height: 375 }, 224, 224, 256 / 224)).toMatchObject({
      width: 341,
      height: 256,
    });
    const pixels = await renderPicture(opened, centreCrop(opened, 224, 224, 256 / 224), 3);
    expect(pixels.length).toBe(3 * 224 * 224);
    near(at(pixels, 224, 100, 100), [0x33, 0x66, 0x99], 0);
  });

  it("manages extreme shapes", async () => {
    for (const [width, height] of [
      [1, 1],
      [1, 3000],
      [3000, 1],
    ]) {
      const opened = await openPicture(
        write("thin.png", await plain("#336699", width, height).png().toBuffer()),
      );
      for (const geometry of [
        centreCrop(opened, 32, 32, 1),
        drawRandomResizedCrop(RandomStream.named(1, "test"), opened, imagenetCrop, 32, 32),
      ]) {
        near(at(await renderPicture(opened, geometry, 3), 32, 16, 16), [0x33, 0x66, 0x99], 0);
      }
    }
  });
});

describe("broken pictures", () => {
  it("are errors that name the file", async () => {
    const jpeg = await picture(400, 300);
    const render = async (name: string, content: Uint8Array): Promise<void> => {
      await pixelsOf(name, content);
    };
    await expectError(() => render("cut.jpg", jpeg.subarray(0, jpeg.length / 2)), "DATA_PICTURE", "cut.jpg");
    const png = await picture(40, 30, "png");
    await expectError(() => render("cut.png", png.subarray(0, png.length - 40)), "DATA_PICTURE", "cut.png");
    const webp = await picture(40, 30, "webp");
    await expectError(
      () => render("cut.webp", webp.subarray(0, webp.length / 2)),
      "DATA_PICTURE",
      "cut.webp",
    );
    await expectError(() => render("text.jpg", Buffer.from("not a picture")), "DATA_PICTURE", "text.jpg");
    await expectError(() => render("nothing.jpg", new Uint8Array()), "DATA_PICTURE", "nothing.jpg");
    await expectError(() => openPicture(path("absent.jpg")), "FILE_NOT_FOUND", "absent.jpg");
  });

  it("that claim too many pixels are refused by their header", async () => {
    const png = Buffer.from(await picture(40, 30, "png"));
    // The size in the IHDR chunk, with its checksum made right again.
    png.writeUInt32BE(60_000, 16);
    png.writeUInt32BE(60_000, 20);
    const { crc32 } = await import("node:zlib");
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
    await expectError(() => openPicture(write("bomb.png", png)), "DATA_LIMIT", "60000 x 60000", "bomb.png");
  });
});

describe("drawRandomResizedCrop", () => {
  it("takes parts within the picture, of allowed area and ratio, spread over it", () => {
    const stream = RandomStream.named(1, "test");
    const size = { width: 500, height: 375 };
    const areas: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const { extract, width, height } = drawRandomResizedCrop(stream, size, imagenetCrop, 224, 224);
      expect([width, height]).toEqual([224, 224]);
      if (extract === undefined) throw new Error("no part");
      expect(extract.left).toBeGreaterThanOrEqual(0);
      expect(extract.top).toBeGreaterThanOrEqual(0);
      expect(extract.left + extract.width).toBeLessThanOrEqual(500);
      expect(extract.top + extract.height).toBeLessThanOrEqual(375);
      expect(extract.width / extract.height).toBeGreaterThan(0.75 - 0.02);
      expect(extract.width / extract.height).toBeLessThan(4 / 3 + 0.02);
      areas.push((extract.width * extract.height) / (500 * 375));
    }
    expect(Math.min(...areas)).toBeGreaterThan(0.075);
    expect(Math.min(...areas)).toBeLessThan(0.1);
    expect(Math.max(...areas)).toBeGreaterThan(0.9);
  });

  it("falls back to the largest centred part of a picture too wide or too high", () => {
    const take = (width: number, height: number) =>
      drawRandomResizedCrop(RandomStream.named(1, "test"), { width, height }, imagenetCrop, 8, 8).extract;
    expect(take(1000, 3)).toEqual({ left: 498, top: 0, width: 4, height: 3 });
    expect(take(3, 1000)).toEqual({ left: 0, top: 498, width: 3, height: 4 });
  });
});

describe("decodeImage", () => {
  const recipe: PictureRecipe = {
    channels: 3,
    height: 32,
    width: 32,
    resizeRatio: 1,
    normalisation: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.25, 1] },
  };

  it("gives normalised planes", async () => {
    const file = write("plain.png", await plain({ r: 255, g: 0, b: 51 }, 100, 50).png().toBuffer());
    const values = await decodeImage(file, recipe);
    expect(values.length).toBe(3 * 32 * 32);
    expect(values[500]).toBeCloseTo(1, 6);
    expect(values[1024 + 500]).toBeCloseTo(-2, 6);
    expect(values[2048 + 500]).toBeCloseTo(-0.3, 6);
    const grey = { ...recipe, channels: 1, normalisation: { mean: [0], std: [1] } } as const;
    expect(
      (await decodeImage(write("white.png", await plain("#ffffff").png().toBuffer()), grey)).every(
        (v) => v === 1,
      ),
    ).toBe(true);
  });

  it("refuses a recipe that does not fit", async () => {
    const file = write("plain.png", await plain("#ffffff").png().toBuffer());
    await expectError(() => decodeImage(file, { ...recipe, channels: 1 }), "DATA_SIZE", "1 means");
  });
});
