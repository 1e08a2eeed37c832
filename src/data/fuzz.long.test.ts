// Damaged data files by the thousand: an error of ours or a right result, within 2 seconds and bounded memory, never a crash.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { cifarFile, idxFile, picture, randomBytes } from "../../test/support/data.js";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { openDataset } from "./open.js";
import { folderFormats, openPicture, renderPicture, wholePicture } from "./picture.js";

/** One random change: bits, bytes of meaning, cuts, repeats, insertions; usually one, sometimes many. */
function mutate(original: Uint8Array, stream: RandomStream): Uint8Array {
  let bytes = Uint8Array.from(original);
  const changes = stream.integer(4) === 0 ? 1 + stream.integer(20) : 1;
  for (let i = 0; i < changes; i++) {
    // Half of the changes hit the header, where the meaning is.
    const at =
      stream.integer(2) === 0 ? stream.integer(Math.min(64, bytes.length)) : stream.integer(bytes.length);
    const length = 1 + stream.integer(16);
    switch (stream.integer(7)) {
      case 0:
        bytes[at] ^= 1 << stream.integer(8);
        break;
      case 1:
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff][stream.integer(5)];
        break;
      case 2:
        bytes.fill(stream.integer(2) * 255, at, at + 4);
        break;
      case 3:
        bytes = bytes.slice(0, Math.max(1, at));
        break;
      case 4:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...randomBytes(length, at), ...bytes.subarray(at));
        break;
      case 5:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + length), 0);
        break;
      default:
        bytes.copyWithin(at, stream.integer(bytes.length), bytes.length);
    }
  }
  return bytes;
}

const folder = mkdtempSync(join(tmpdir(), "ista-nas-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `read` on mutations of a file; `read` checks a result if there is one. */
async function fuzz(
  path: string,
  original: Uint8Array,
  count: number,
  read: () => Promise<void>,
): Promise<{ accepted: number; refused: number; slowestSeconds: number }> {
  const stream = RandomStream.named(1, path.slice(folder.length));
  let [accepted, refused, slowest] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    writeFileSync(path, mutate(original, stream));
    const started = performance.now();
    try {
      await read();
      accepted++;
    } catch (error) {
      if (!(error instanceof IstaError)) throw error;
      expect(error.code).not.toBe("INTERNAL");
      expect(error.message).toContain(folder);
      expect(error.message).not.toContain("\n");
      refused++;
    }
    slowest = Math.max(slowest, performance.now() - started);
  }
  writeFileSync(path, original);
  return { accepted, refused, slowestSeconds: slowest / 1000 };
}

function report(
  name: string,
  result: { accepted: number; refused: number; slowestSeconds: number },
  bytes: number,
): void {
  const { accepted, refused, slowestSeconds } = result;
  console.log(
    `${name}: ${accepted} accepted, ${refused} refused, slowest ${slowestSeconds.toFixed(3)} s, ` +
      `resident memory grew by ${(bytes / 2 ** 20).toFixed(0)} MiB`,
  );
  expect(refused).toBeGreaterThan(0);
  expect(slowestSeconds).toBeLessThan(2);
}

describe("mutations", () => {
  const datasets: Record<string, Record<string, Uint8Array>> = {
    cifar10: { "data_batch_1.bin": cifarFile([1, 2, 3]), "test_batch.bin": cifarFile([0]) },
    cifar100: {
      "train.bin": cifarFile([1, 99], 2),
      "fine_label_names.txt": Buffer.from(Array.from({ length: 100 }, (_, i) => `class ${i}\n`).join("")),
    },
    idx: {
      "train-images-idx3-ubyte": idxFile([6, 12, 8], randomBytes(576)),
      "train-labels-idx1-ubyte": idxFile([6], Uint8Array.of(0, 1, 2, 0, 1, 2)),
      "t10k-images-idx3-ubyte.gz": gzipSync(idxFile([3, 12, 8], randomBytes(288))),
      "t10k-labels-idx1-ubyte.gz": gzipSync(idxFile([3], Uint8Array.of(0, 1, 2))),
      "classes.txt": Buffer.from("cat\ndog\nowl\n"),
    },
  };
  for (const [name, files] of Object.entries(datasets)) {
    it(`of ${name} files`, async () => {
      const directory = mkdtempSync(join(folder, `${name}-`));
      for (const [file, bytes] of Object.entries(files)) writeFileSync(join(directory, file), bytes);
      await openDataset(directory);
      for (const [file, bytes] of Object.entries(files)) {
        const before = process.memoryUsage.rss();
        const result = await fuzz(join(directory, file), bytes, 1500, async () => {
          const dataset = await openDataset(directory);
          if (dataset.storage !== "memory") throw new Error("not in memory");
          for (const set of [dataset.train, dataset.test]) {
            if (set === undefined) continue;
            expect(set.images.length).toBe(set.count * set.channels * set.height * set.width);
            expect(set.labels.length).toBe(set.count);
            expect(set.count).toBeGreaterThan(0);
            expect(set.labels.every((label) => label >= 0 && label < set.classes.length)).toBe(true);
            // Padding to sides divisible by 4 makes a 1x1 image 16 times as large.
            expect(set.images.length).toBeLessThanOrEqual(16 * 1032 * (bytes.length + 400));
          }
        });
        report(`${name}/${file}`, result, process.memoryUsage.rss() - before);
      }
    });
  }

  it("of pictures", async () => {
    for (const format of ["jpeg", "png", "webp"] as const) {
      const original = await picture(48, 40, format);
      const path = join(folder, `picture.${format}`);
      writeFileSync(path, original);
      const read = async (): Promise<void> => {
        const opened = await openPicture(path, folderFormats);
        const pixels = await renderPicture(opened, wholePicture(opened), 3);
        expect(pixels.length).toBe(3 * opened.width * opened.height);
      };
      await read();
      // Warmed up, so that what the decoder keeps for itself is not counted.
      await fuzz(path, original, 200, read);
      const before = process.memoryUsage.rss();
      const result = await fuzz(path, original, 3000, read);
      const grown = process.memoryUsage.rss() - before;
      report(`picture.${format}`, result, grown);
      expect(grown).toBeLessThan(2 ** 30);
    }
  });
});
