// What streamed pictures hold, looked at without reading them all: their names alone do not tell that they were replaced.
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { relative, sep } from "node:path";
import type { Dataset, PictureList } from "./types.js";

/** Of more pictures than this, evenly spread ones stand for all: on a disk far away each of them takes a while. */
const mostSizes = 100_000;
const mostRead = 2000;
/** Bytes that are read of a picture, in the middle of it. */
const bytesRead = 16_384;

/** Size of a file in bytes, and a part of its content where that is asked for; nothing of one that cannot be opened. */
function look(path: string, reads: boolean): { size: number; part: Buffer } {
  const part = Buffer.alloc(reads ? bytesRead : 0);
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const read = reads ? readSync(file, part, 0, bytesRead, Math.max(0, (size - bytesRead) >> 1)) : 0;
      return { size, part: part.subarray(0, read) };
    } finally {
      closeSync(file);
    }
  } catch {
    // Whoever needs it says so.
    return { size: -1, part: Buffer.alloc(0) };
  }
}

/**
 * SHA-256, hexadecimal, of names and sizes of the pictures and of a part of the content of up to 2,000 of them. It does not depend on
 * where they lie or when they were written: a copy is the same. Null for images in memory, whose identity is that of every pixel.
 */
export function contentsIdentity({ storage, directory, train, test }: Dataset): string | null {
  if (storage === "memory") return null;
  const lists = [train, test].filter((part) => part !== undefined) as PictureList[];
  const paths = lists.flatMap((list) => list.paths).sort();
  const everyNth = (most: number): number => Math.max(1, Math.ceil(paths.length / most));
  const [sized, read] = [everyNth(mostSizes), everyNth(mostRead)];
  const whole = createHash("sha256");
  for (let index = 0; index < paths.length; index += 1) {
    if (index % sized !== 0 && index % read !== 0) continue;
    const { size, part } = look(paths[index], index % read === 0);
    const name = relative(directory, paths[index]).split(sep).join("/");
    whole.update(`${name}\0${size}\0`).update(part);
  }
  return whole.digest("hex");
}
