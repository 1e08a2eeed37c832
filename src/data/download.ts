// Downloads published data sets from their authors' addresses, checks them, and puts them into a folder at once.

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { IstaError } from "../base/errors.js";
import { makeFolder, onFile, temporaryPrefix } from "../base/files.js";
import { fashionClasses } from "./idx.js";

/** A file to fetch. The authors publish MD5 sums; they tell a damaged file, and a forged one would need a preimage. */
export interface RemoteFile {
  readonly url: string;
  readonly md5: string;
  /** Of a .tar.gz: base names of the members to take out of it. Otherwise the file itself is kept under its name. */
  readonly members?: readonly string[];
}

export interface DownloadSource {
  readonly description: string;
  readonly files: readonly RemoteFile[];
  /** Written to classes.txt where the files themselves name no classes. */
  readonly classes?: readonly string[];
}

const cifarAddress = "https://www.cs.toronto.edu/~kriz";
const fashionAddress = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion";

export const downloadSources: Readonly<Record<string, DownloadSource>> = {
  cifar10: {
    description: "CIFAR-10: 60,000 colour images of 32x32 pixels in 10 classes, 170 MB",
    files: [
      {
        url: `${cifarAddress}/cifar-10-binary.tar.gz`,
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        members: [...[1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), "test_batch.bin", "batches.meta.txt"],
      },
    ],
  },
  cifar100: {
    description: "CIFAR-100: 60,000 colour images of 32x32 pixels in 100 classes, 169 MB",
    files: [
      {
        url: `${cifarAddress}/cifar-100-binary.tar.gz`,
        md5: "03b5dce01913d631647c71ecec9e9cb8",
        members: ["train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt"],
      },
    ],
  },
  "fashion-mnist": {
    description: "Fashion-MNIST: 70,000 grey images of 28x28 pixels in 10 classes, 31 MB",
    files: [
      { url: `${fashionAddress}/train-images-idx3-ubyte.gz`, md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d" },
      { url: `${fashionAddress}/train-labels-idx1-ubyte.gz`, md5: "25c81989df183df01b3e8a0aad5dffbe" },
      { url: `${fashionAddress}/t10k-images-idx3-ubyte.gz`, md5: "bef4ecab320f06d8554ea6380940ec79" },
      { url: `${fashionAddress}/t10k-labels-idx1-ubyte.gz`, md5: "bb300cfdad3c16e7a12a480ee83cd310" },
    ],
    classes: fashionClasses,
  },
};

/** No published archive here is half as large; more is not what was asked for. */
const largestDownloadBytes = 400 * 2 ** 20;
/** Without any data for so long the connection is given up. */
const stallMilliseconds = 60_000;

export type DownloadProgress = (file: string, receivedBytes: number, totalBytes: number | undefined) => void;

/**
 * Downloads a data set into `directory`, which must not exist or be empty. Everything is fetched and checked in a
 * temporary folder beside it, which then takes its name: there is never half a data set.
 * Throws DATA_DOWNLOAD (no connection, refused, stalled, wrong checksum, malformed archive) and FILE_* errors.
 */
export async function downloadDataset(
  source: DownloadSource,
  directory: string,
  onProgress: DownloadProgress = () => {},
): Promise<void> {
  const target = resolve(directory);
  makeFolder(dirname(target));
  const staging = onFile("write", target, () => mkdtempSync(join(dirname(target), temporaryPrefix)));
  try {
    if (!isAbsentOrEmpty(target)) {
      throw new IstaError(
        "FILE_EXISTS",
        `download: expected a new or empty folder, ${directory} has files; name another`,
      );
    }
    for (const file of source.files) {
      const bytes = await fetchChecked(file, onProgress);
      const contents = file.members === undefined ? { [basename(file.url)]: bytes } : unpack(bytes, file);
      onFile("write", staging, () => {
        for (const [name, content] of Object.entries(contents)) writeFileSync(join(staging, name), content);
      });
    }
    onFile("write", directory, () => {
      if (source.classes !== undefined)
        writeFileSync(join(staging, "classes.txt"), `${source.classes.join("\n")}\n`);
      renameSync(staging, target);
    });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function isAbsentOrEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

const downloadError = (url: string, expected: string, got: string, cause?: unknown): IstaError =>
  new IstaError("DATA_DOWNLOAD", `download: expected ${expected} from ${url}, got ${got}; try again later`, {
    cause,
  });

async function fetchChecked({ url, md5 }: RemoteFile, onProgress: DownloadProgress): Promise<Uint8Array> {
  const controller = new AbortController();
  const stalled = setTimeout(() => controller.abort(new Error("no data for a minute")), stallMilliseconds);
  const chunks: Uint8Array[] = [];
  let received = 0;
  try {
    const response = await fetch(url, { signal: controller.signal });
    if (!response.ok || response.body === null) {
      throw downloadError(url, "the file", `the answer ${response.status} ${response.statusText}`);
    }
    const total = Number(response.headers.get("content-length")) || undefined;
    for await (const chunk of response.body) {
      stalled.refresh();
      chunks.push(chunk);
      received += chunk.length;
      if (received > largestDownloadBytes)
        throw downloadError(url, `at most ${largestDownloadBytes} bytes`, "more");
      onProgress(basename(url), received, total);
    }
  } catch (error) {
    if (error instanceof IstaError) throw error;
    const { message, cause } = error as Error & { cause?: Error };
    throw downloadError(url, "the file", `a failed connection: ${cause?.message ?? message}`, error);
  } finally {
    clearTimeout(stalled);
    controller.abort();
  }
  const bytes = Buffer.concat(chunks);
  const found = createHash("md5").update(bytes).digest("hex");
  if (found !== md5) throw downloadError(url, `the MD5 sum ${md5}`, `${received} bytes with ${found}`);
  return bytes;
}

/** The wanted members of a .tar.gz by base name; others are passed over and no path of the archive is ever used. */
function unpack(archive: Uint8Array, { url, members = [] }: RemoteFile): Record<string, Uint8Array> {
  const found: Record<string, Uint8Array> = {};
  try {
    const tar = gunzipSync(archive, { maxOutputLength: 2 * largestDownloadBytes });
    const text = (start: number, length: number): string =>
      tar
        .toString("latin1", start, start + length)
        .replace(/\0.*$/s, "")
        .trim();
    // A header of 512 bytes (name, size in octal at 124), then the content, padded to 512.
    for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
      const name = basename(text(at, 100));
      const size = Number.parseInt(text(at + 124, 12), 8);
      if (!(size >= 0) || at + 512 + size > tar.length) throw new Error(`the entry ${name} is malformed`);
      if (members.includes(name)) found[name] = tar.subarray(at + 512, at + 512 + size);
      at += 512 + Math.ceil(size / 512) * 512;
    }
  } catch (cause) {
    throw downloadError(
      url,
      "a tar archive",
      `one that cannot be unpacked: ${(cause as Error).message}`,
      cause,
    );
  }
  const missing = members.filter((name) => found[name] === undefined);
  if (missing.length > 0) throw downloadError(url, `${missing.join(", ")} in the archive`, "one without");
  return found;
}
