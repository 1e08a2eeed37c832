// Reading files of run directories that others may have written: no link is followed, nothing outside of the folder is read.
import fs from "node:fs";
import { dirname, join } from "node:path";
import { readFully } from "../base/files.js";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** What a system call says of files that are not there, not ours or links; all else is a mistake of ours. */
function orNull<T>(action: () => T): T | null {
  try {
    return action();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return null;
  }
}

/** Whether a folder is just where its path says, with no link on the way. */
export const isPlainFolder = (folder: string): boolean =>
  orNull(() => fs.realpathSync(folder) === folder && fs.lstatSync(folder).isDirectory()) ?? false;

/**
 * Opens a file of a folder and hands it to `use`; null where it is none, a link, or lies elsewhere.
 * @param folder real path
 * @param name relative, of the program's own making
 */
export function withFileInside<T>(
  folder: string,
  name: string,
  use: (file: number, status: fs.Stats) => T | null,
): T | null {
  const path = join(folder, name);
  if (!isPlainFolder(dirname(path))) return null;
  const file = orNull(() => fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  if (file === null) return null;
  try {
    return orNull(() => {
      const status = fs.fstatSync(file);
      return status.isFile() ? use(file, status) : null;
    });
  } finally {
    fs.closeSync(file);
  }
}

/** A part of a file: `length` bytes from `position`, fewer at its end. */
export function readPart(file: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, length));
  return buffer.subarray(0, readFully(file, buffer, position));
}

/** The JSON object in a file of a folder; null where there is none, or it is damaged or too large. */
export function readObjectInside(
  folder: string,
  name: string,
  maximumBytes: number,
): Record<string, unknown> | null {
  const text = withFileInside(folder, name, (file, { size }) =>
    size > maximumBytes ? null : readPart(file, 0, size).toString("utf8"),
  );
  return text === null ? null : parseObject(text);
}

/** A text as a JSON object; null where it is none. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** What tells that a file has changed, and its size and time; null where there is none, or a link. */
export function lookAt(
  folder: string,
  name: string,
): { stamp: string; size: number; mtimeMs: number } | null {
  const status = orNull(() => fs.lstatSync(join(folder, name), { throwIfNoEntry: false })) ?? undefined;
  if (!status?.isFile()) return null;
  const { ino, size, mtimeMs } = status;
  return { stamp: `${ino} ${size} ${mtimeMs}`, size, mtimeMs };
}
