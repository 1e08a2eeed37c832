// JPEG files whose header and data do not go together, in every way that pictures are read; and harmless oddities of good ones.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { available, expectError, picture, pictureFolder, temporaryFolder } from "../../test/support/data.js";
import { RandomStream } from "../base/random.js";
import { FolderBatchSource } from "./folder-source.js";
import { jpegProblem } from "./jpeg-check.js";
import { openDataset } from "./open.js";
import { decodeImage, imagenetCrop, openReduced } from "./picture.js";
import { verifyDataset } from "./verify.js";

const { folder, write } = temporaryFolder();

function noise(width: number, height: number, seed = 1): Sharp {
  const random = RandomStream.named(seed, "noise");
  const raw = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return sharp(raw, { raw: { width, height, channels: 3 } });
}

/** The file with another size in its header. */
function claiming(jpeg: Uint8Array, size: { height?: number; width?: number }): Buffer {
  const bytes = Buffer.from(jpeg);
  for (let at = 2; ; at += 2 + bytes.readUInt16BE(at + 2)) {
    if (bytes[at + 1] < 0xc0 || bytes[at + 1] > 0xc2) continue;
    if (size.height !== undefined) bytes.writeUInt16BE(size.height, at + 5);
    if (size.width !== undefined) bytes.writeUInt16BE(size.width, at + 7);
    return bytes;
  }
}

/** Put in front of the last marker. */
const inFront = (jpeg: Uint8Array, bytes: Uint8Array): Buffer =>
  Buffer.concat([jpeg.subarray(0, -2), bytes, jpeg.subarray(-2)]);

const whole = await noise(64, 48).jpeg({ quality: 90 }).toBuffer();
const progressive = await noise(64, 48).jpeg({ quality: 90, progressive: true }).toBuffer();

describe("of a baseline file", () => {
  it.each<[string, Uint8Array, RegExp | null]>([
    ["nothing is wrong", whole, null],
    ["a header with one row of pixels too many", claiming(whole, { height: 49 }), /larger size.* 75 %/],
    ["a header of twice the height", claiming(whole, { height: 96 }), /larger size.* 50 %/],
    ["a header of twice the width", claiming(whole, { width: 128 }), /larger size.* 50 %/],
    ["a header of half the height", claiming(whole, { height: 24 }), /smaller size/],
    ["a header of half the width", claiming(whole, { width: 32 }), /smaller size/],
    ["data that end", whole.subarray(0, whole.length / 2), /larger size.* 4\d %/],
    [
      "data that end with an end marker",
      inFront(whole.subarray(0, whole.length / 2), Buffer.of()),
      /larger size/,
    ],
    ["zeros behind the data", inFront(whole, Buffer.alloc(300)), null],
    ["bytes behind the file", Buffer.concat([whole, Buffer.from("a camera's own\xff\xda")]), null],
    [
      "stray bytes before a marker",
      Buffer.concat([whole.subarray(0, 2), Buffer.of(0, 0, 0), whole.subarray(2)]),
      null,
    ],
  ])("%s", (_, bytes, problem) => {
    if (problem === null) expect(jpegProblem(bytes)).toBe(null);
    else expect(jpegProblem(bytes)).toMatch(problem);
  });

  it("of any size, sampling and number of channels it is the right one", async () => {
    for (let width = 1; width <= 41; width += 5)
      for (let height = 1; height <= 41; height += 5)
        for (const options of [{}, { chromaSubsampling: "4:4:4" }, { optimiseCoding: false }])
          for (const grey of [false, true]) {
            const image = noise(width, height, width * height);
            const jpeg = await (grey ? image.greyscale() : image).jpeg(options).toBuffer();
            const what = `${width} x ${height} ${JSON.stringify(options)} ${grey}`;
            expect(jpegProblem(jpeg), what).toBe(null);
            expect(jpegProblem(claiming(jpeg, { height: height + 16 })), what).toMatch(/larger/);
            expect(jpegProblem(claiming(jpeg, { width: width + 16 })), what).toMatch(/larger/);
            if (height > 16)
              expect(jpegProblem(claiming(jpeg, { height: height - 16 })), what).toMatch(/smaller/);
          }
  });

  it("a thousand damaged ones are told quickly, whatever comes out", () => {
    for (let seed = 0; seed < 1000; seed++) {
      const random = RandomStream.named(seed, "damage");
      const bytes = Buffer.from(whole);
      for (let i = 0; i < 1 + random.integer(5); i++)
        bytes[random.integer(bytes.length)] = random.integer(256);
      const begun = performance.now();
      jpegProblem(bytes.subarray(0, 1 + random.integer(bytes.length)));
      expect(performance.now() - begun).toBeLessThan(500);
    }
  });

  it.skipIf(!available(pictureFolder))("real ones are whole", () => {
    const names = readdirSync(pictureFolder, { recursive: true, encoding: "utf8" });
    const jpegs = names.filter((name) => /\.jpe?g$/i.test(name));
    expect(jpegs.length).toBeGreaterThan(50);
    for (const name of jpegs) expect(jpegProblem(readFileSync(join(pictureFolder, name))), name).toBe(null);
  });
});

describe.each([
  ["baseline", whole],
  ["progressive", progressive],
])("a %s picture that claims another size is damaged", (kind, good) => {
  const recipe = {
    channels: 3,
    height: 16,
    width: 16,
    resizeRatio: 1,
    normalisation: { mean: [0, 0, 0], std: [1, 1, 1] },
  } as const;

  it.each([{ height: 49 }, { height: 96 }, { width: 128 }, { height: 24 }, { width: 32 }])(
    "%j",
    async (size) => {
      const name = `${kind}-${JSON.stringify(size).replace(/\W/g, "")}`;
      write(`${name}/cat/good.jpg`, good);
      write(`${name}/dog/good.jpg`, await picture(64, 48));
      write(`${name}/dog/good2.jpg`, await picture(64, 48, "jpeg", 2));
      const path = write(`${name}/cat/wrong.jpg`, claiming(good, size));
      await decodeImage(join(folder, name, "cat/good.jpg"), recipe);
      // What `predict`, pictures in memory, and `data verify` do, and batches that are decoded anew, of the centre and of parts.
      await expectError(() => decodeImage(path, recipe), "DATA_PICTURE", "wrong.jpg", "copy it again");
      await expectError(
        () => openDataset(join(folder, name), { imageSize: 16 }),
        "DATA_PICTURE",
        "wrong.jpg",
      );
      expect((await verifyDataset(join(folder, name))).broken.join()).toContain("wrong.jpg");
      const list = { count: 1, classes: ["cat"], paths: [path], labels: Int32Array.of(0) };
      for (const augmentation of [
        undefined,
        { padding: 0, flip: false, cutout: 0, randomResizedCrop: imagenetCrop },
      ]) {
        const options = { batchSize: 1, seed: 1, shuffle: false, name: "test", shape: recipe, workers: 1 };
        const source = new FolderBatchSource(list, {
          ...options,
          normalisation: recipe.normalisation,
          augmentation,
        });
        try {
          await expectError(() => source.batch(0, 0), "DATA_PICTURE", "wrong.jpg");
        } finally {
          await source.close();
        }
      }
    },
  );
});

it("large ones that are reduced are looked at as well", async () => {
  const large = await noise(700, 600).jpeg().toBuffer();
  const size = { height: 8, width: 8 };
  await openReduced(write("large.jpg", large), size);
  const wrong = write("larger.jpg", claiming(large, { height: 620 }));
  await expectError(() => openReduced(wrong, size), "DATA_PICTURE", "larger.jpg", "larger size");
});
