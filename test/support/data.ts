// Small valid samples of every data format, made on the spot, for the tests of the data floor.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, expect } from "vitest";
import { type ErrorCode, IstaError } from "../../src/base/errors.js";
import { RandomStream } from "../../src/base/random.js";
import type { ImageSet } from "../../src/data/index.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const bundledFolder = join(root, "assets/fashion-mnist-small");
export const cifarFolder = process.env.ISTA_NAS_CIFAR10 ?? join(root, "../shared/data/cifar10-small");
export const pictureFolder = join(root, "../shared/data/image-folder");

/** Whether the data are there; says on the console what is left out if not. */
export function available(folder: string): boolean {
  if (!existsSync(folder)) console.warn(`left out: ${folder} is not there`);
  return existsSync(folder);
}

/** A folder of its own for a test file, deleted at the end; `write` makes a file in it and returns the path. */
export function temporaryFolder(): {
  folder: string;
  write(name: string, content: string | Uint8Array): string;
} {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-data-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return {
    folder,
    write(name, content) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
      return path;
    },
  };
}

/** Runs `action`, which must fail with the code and a one-line message that contains all the given words. */
export async function expectError(action: () => unknown, code: ErrorCode, ...words: string[]): Promise<void> {
  let caught: unknown;
  try {
    await action();
  } catch (error) {
    caught = error;
  }
  expect(caught, `expected ${code}`).toBeInstanceOf(IstaError);
  const { code: came, message } = caught as IstaError;
  expect(came, message).toBe(code);
  expect(message).not.toContain("\n");
  for (const word of words) expect(message).toContain(word);
}

export function randomBytes(count: number, seed = 1): Uint8Array {
  const stream = RandomStream.named(seed, "test bytes");
  return Uint8Array.from({ length: count }, () => stream.integer(256));
}

/** CIFAR records with the given labels and random pixels. */
export function cifarFile(labels: readonly number[], labelBytes: 1 | 2 = 1): Uint8Array {
  const record = labelBytes + 3072;
  const bytes = randomBytes(labels.length * record);
  for (const [i, label] of labels.entries()) bytes.set(labelBytes === 1 ? [label] : [0, label], i * record);
  return bytes;
}

/** An IDX file of unsigned bytes with the given dimensions. */
export function idxFile(dimensions: readonly number[], data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.set([0, 0, 8, dimensions.length]);
  for (const [i, dimension] of dimensions.entries()) header.writeUInt32BE(dimension, 4 + 4 * i);
  return Buffer.concat([header, data]);
}

/** Random images with labels 0, 1, ... in turn. */
export function randomSet(
  count: number,
  channels: number,
  height: number,
  width: number,
  classCount = 3,
): ImageSet {
  return {
    count,
    channels,
    height,
    width,
    classes: Array.from({ length: classCount }, (_, label) => `class ${label}`),
    images: randomBytes(count * channels * height * width),
    labels: Int32Array.from({ length: count }, (_, i) => i % classCount),
  };
}

/** A picture of random smooth colours, encoded. */
export function picture(
  width: number,
  height: number,
  format: "jpeg" | "png" | "webp" = "jpeg",
  seed = 1,
): Promise<Buffer> {
  const small = sharp(randomBytes(4 * 4 * 3, seed), { raw: { width: 4, height: 4, channels: 3 } });
  return small.resize(width, height, { fit: "fill" }).toFormat(format).toBuffer();
}
