// Files: atomic writes, size-limited reads, file names made from outside text, and operating-system errors in words.
import { isUtf8 } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { type ErrorCode, IstaError } from "./errors.js";
import { jsonParts, maximumJsonParts } from "./json.js";

const remedies: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ["FILE_NOT_FOUND", "it does not exist; check the path"],
  EEXIST: ["FILE_EXISTS", "it exists already; choose another name"],
  ENOTEMPTY: ["FILE_EXISTS", "the folder is not empty; choose another name"],
  EACCES: ["FILE_DENIED", "permission denied; check owner and mode"],
  EPERM: ["FILE_DENIED", "the operation is not permitted; check owner and mode"],
  EROFS: ["FILE_READ_ONLY", "the file system is read-only; choose a folder elsewhere"],
  ENOSPC: ["FILE_DISK_FULL", "no space left on the disk; free some and try again"],
  EDQUOT: ["FILE_DISK_FULL", "the disk quota is used up; free some space and try again"],
  EISDIR: ["FILE_KIND", "expected a file, got a folder"],
  ENOTDIR: ["FILE_KIND", "expected a folder on the way, got a file"],
  ENAMETOOLONG: ["FILE_IO", "the name is too long"],
  EMFILE: ["FILE_IO", "too many open files; raise the limit (ulimit -n)"],
};

/** The IstaError for what the operating system said while `operation` (a verb: "read", "write") was done to `path`. */
export function fileError(error: unknown, operation: string, path: string): IstaError {
  if (error instanceof IstaError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const [name, words] = (code !== undefined && remedies[code]) || [
    "FILE_IO" as const,
    String((error as Error).message),
  ];
  return new IstaError(name, `${operation} ${path}: ${words}`, { cause: error });
}

/** Runs `action` on `path`; what the operating system complains of comes out as an IstaError. */
export function onFile<T>(operation: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    // Only system errors are translated: a TypeError here is a mistake of ours and must look like one.
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw fileError(error, operation, path);
  }
}

/**
 * Makes a folder and those above it; one that is there already is left alone. (Node's own recursive form reports a
 * read-only file system as a path that does not exist.)
 * @throws IstaError FILE_READ_ONLY, FILE_DENIED, FILE_KIND where a file is in the way ...
 */
export function makeFolder(path: string): void {
  const isThere = (): boolean => fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  onFile("make", path, () => {
    if (isThere()) return;
    if (!fs.existsSync(dirname(path))) makeFolder(dirname(path));
    try {
      fs.mkdirSync(path);
    } catch (error) {
      // Another process may have made it meanwhile.
      if (!isThere()) throw error;
    }
  });
}

/**
 * Opens a file for reading; what is none is refused and not waited for. The caller closes it.
 * @throws IstaError FILE_KIND for anything that is not a regular file; what the operating system says is for `onFile`
 */
export function openRegular(path: string): { file: number; bytes: number } {
  // Without O_NONBLOCK the open of a pipe without a writer would wait for ever.
  const file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const status = fs.fstatSync(file);
    if (status.isFile()) return { file, bytes: status.size };
    const got = status.isDirectory() ? "a folder" : "a device or pipe";
    throw new IstaError("FILE_KIND", `read ${path}: expected a file, got ${got}`);
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
}

/**
 * The whole file, refused unread where it is larger than `maximumBytes`.
 * @throws IstaError FILE_TOO_LARGE, FILE_KIND for anything that is not a regular file, FILE_NOT_FOUND, FILE_DENIED ...
 */
export function readFileLimited(path: string, maximumBytes: number): Buffer {
  return onFile("read", path, () => {
    const { file, bytes } = openRegular(path);
    try {
      if (bytes > maximumBytes) {
        throw new IstaError(
          "FILE_TOO_LARGE",
          `read ${path}: expected at most ${maximumBytes} bytes, got ${bytes}`,
        );
      }
      const buffer = Buffer.alloc(bytes);
      return buffer.subarray(0, readFully(file, buffer, 0));
    } finally {
      fs.closeSync(file);
    }
  });
}

/** Fills `buffer` from `position` of an open file; returns how many bytes there were. */
export function readFully(file: number, buffer: Uint8Array, position: number): number {
  let filled = 0;
  while (filled < buffer.length) {
    const length = fs.readSync(file, buffer, filled, buffer.length - filled, position + filled);
    if (length === 0) break;
    filled += length;
  }
  return filled;
}

/**
 * Writes all pieces, one after the other, at the file's current position: in one system call, or in more where the system takes less
 * than it was given.
 */
export function writeFully(file: number, pieces: readonly Uint8Array[]): void {
  let left = pieces.filter(({ length }) => length > 0);
  while (left.length > 0) {
    let written = fs.writevSync(file, left);
    const whole = left.findIndex(({ length }) => {
      if (written < length) return true;
      written -= length;
      return false;
    });
    left = whole === -1 ? [] : [left[whole].subarray(written), ...left.slice(whole + 1)];
  }
}

/**
 * The JSON value in a file. Its memory is bounded before it is parsed.
 * @param maximumParts objects, lists and texts
 * @throws IstaError FILE_JSON with the place where it stops being JSON, FILE_TOO_LARGE, and as readFileLimited
 */
export function readJson(path: string, maximumBytes: number, maximumParts = maximumJsonParts): unknown {
  const bytes = readFileLimited(path, maximumBytes);
  if (jsonParts(bytes) > maximumParts)
    throw new IstaError(
      "FILE_TOO_LARGE",
      `read ${path}: expected JSON of at most ${maximumParts} objects, lists and texts, got more`,
    );
  if (!isUtf8(bytes))
    throw new IstaError(
      "FILE_JSON",
      `read ${path}: expected JSON in UTF-8, got another encoding such as Latin-1; save the file as UTF-8`,
    );
  try {
    return JSON.parse(bytes.toString("utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new IstaError(
      "FILE_JSON",
      `read ${path}: expected JSON, got ${(error as Error).message.replace(/\s+/g, " ")}`,
      {
        cause: error,
      },
    );
  }
}

/** Makes the entries of a folder (new names, renames) survive a power cut. */
export function syncFolder(folder: string): void {
  const file = fs.openSync(folder, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(file);
  } catch (error) {
    // Some network file systems refuse to flush a folder; the rename is then as safe as they make it.
    if (!["EINVAL", "EPERM", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    fs.closeSync(file);
  }
}

/** Beginning of the names of unfinished files and folders; whatever is called so may be deleted when no one works here. */
export const temporaryPrefix = ".writing-";

/** A name beside `path` that no other process or call uses, also not one that was killed and had the same process id. */
function temporaryBeside(path: string): string {
  const unique = randomBytes(6).toString("hex");
  return join(dirname(path), `${temporaryPrefix}${unique}-${basename(path).slice(0, 60)}`);
}

/** What is no file is not replaced by one: /dev/null, /dev/full, a pipe of a shell. @throws IstaError FILE_KIND */
function requireReplaceable(path: string): void {
  const status = fs.statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.isFile() || status.isDirectory()) return;
  throw new IstaError(
    "FILE_KIND",
    `write ${path}: expected a file or a new name, got a device or pipe; name a file`,
  );
}

/** Writes and flushes a temporary file beside `path`. @returns its path */
function stage(path: string, write: (file: number) => void): string {
  const temporary = temporaryBeside(path);
  try {
    const file = fs.openSync(temporary, "wx");
    try {
      write(file);
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
    return temporary;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

type Content = string | Uint8Array;
const bytesOf = (data: Content): Uint8Array => (typeof data === "string" ? Buffer.from(data) : data);

/**
 * Writes a file so that at every moment its name stands for the whole old content or the whole new one:
 * a temporary name in the same folder, flushed, renamed, the folder flushed.
 * @param write gets the open file; whatever it throws, the old file stays and the temporary one is removed.
 * @throws IstaError FILE_*; FILE_KIND where a device or pipe has the name
 */
export function writeFileAtomicBy(path: string, write: (file: number) => void): void {
  onFile("write", path, () => {
    requireReplaceable(path);
    const temporary = stage(path, write);
    try {
      fs.renameSync(temporary, path);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(path));
  });
}

/** Writes `data` atomically, see writeFileAtomicBy. */
export function writeFileAtomic(path: string, data: Content): void {
  writeFileAtomicBy(path, (file) => writeFully(file, [bytesOf(data)]));
}

/**
 * Writes files that belong together: all of them are on the disk before the first of them gets its name, and the last one gets its
 * name last. Where one cannot be written, those that were there stay as they are.
 * @param files contents by name
 * @throws IstaError FILE_*
 */
export function writeFilesAtomic(folder: string, files: Readonly<Record<string, Content>>): void {
  onFile("write", folder, () => {
    const staged: (readonly [temporary: string, path: string])[] = [];
    try {
      for (const [name, data] of Object.entries(files)) {
        const path = join(folder, name);
        requireReplaceable(path);
        staged.push([stage(path, (file) => writeFully(file, [bytesOf(data)])), path]);
      }
      for (const [temporary, path] of staged) fs.renameSync(temporary, path);
    } catch (error) {
      for (const [temporary] of staged) fs.rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(folder);
  });
}

/** Writes a new file of these pieces and flushes it; for a folder that is renamed as a whole. */
export function writePieces(path: string, pieces: Iterable<Uint8Array>): { bytes: number; sha256: string } {
  return onFile("write", path, () => {
    const file = fs.openSync(path, "wx");
    try {
      const all = [...pieces];
      writeFully(file, all);
      const hash = createHash("sha256");
      for (const piece of all) hash.update(piece);
      fs.fsyncSync(file);
      return { bytes: all.reduce((sum, { length }) => sum + length, 0), sha256: hash.digest("hex") };
    } finally {
      fs.closeSync(file);
    }
  });
}

/** Length and SHA-256 of a file's content, read in pieces. */
export function hashFile(path: string): { bytes: number; sha256: string } {
  return onFile("read", path, () => {
    const { file } = openRegular(path);
    try {
      const hash = createHash("sha256");
      const piece = Buffer.alloc(1 << 20);
      let bytes = 0;
      for (;;) {
        const length = readFully(file, piece, bytes);
        hash.update(piece.subarray(0, length));
        bytes += length;
        if (length < piece.length) return { bytes, sha256: hash.digest("hex") };
      }
    } finally {
      fs.closeSync(file);
    }
  });
}

/** The text that a JSON file of ours holds: indented, ending in a line feed. */
export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Replaces a folder by a new one made by `fill`; the old one stays as `previous`. A process killed at any moment leaves
 * a complete folder under one of the two names. `fill` flushes the files that it writes.
 */
export function replaceFolder(folder: string, previous: string, fill: (temporary: string) => void): void {
  onFile("write", folder, () => {
    const temporary = temporaryBeside(folder);
    const discarded = temporaryBeside(previous);
    try {
      fs.mkdirSync(temporary);
      fill(temporary);
      syncFolder(temporary);
      if (fs.existsSync(folder)) {
        // Renamed before it is deleted, so that a half-deleted folder never carries a name that is believed.
        if (fs.existsSync(previous)) fs.renameSync(previous, discarded);
        fs.renameSync(folder, previous);
      }
      fs.renameSync(temporary, folder);
      syncFolder(dirname(folder));
    } finally {
      fs.rmSync(temporary, { recursive: true, force: true });
      fs.rmSync(discarded, { recursive: true, force: true });
    }
  });
}

/** Deletes a folder; renamed before, so that a half-deleted one never carries a name that is believed. */
export function dropFolder(folder: string): void {
  const discarded = temporaryBeside(folder);
  fs.renameSync(folder, discarded);
  fs.rmSync(discarded, { recursive: true, force: true });
}

/** Deletes what writes that were cut off left in a folder. Only for who holds the folder's lock. */
export function removeUnfinished(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    if (name.startsWith(temporaryPrefix)) fs.rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * A file name made from text from outside (a class name, a picture's name): letters, digits, dot, dash and underscore
 * of any script, no leading dot, at most 100 characters. Text that had to be changed gets a short hash of itself, so that
 * two texts never share a name.
 */
export function safeFileName(text: string): string {
  const plain = text
    .normalize("NFC")
    .replace(/[^\p{L}\p{N}._-]+/gu, "_")
    .replace(/^\.+/, "_")
    .slice(0, 80);
  if (plain === text && plain.length > 0) return plain;
  return `${plain.replace(/[\ud800-\udbff]$/, "")}-${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}

/**
 * The path of `name` inside `folder`, following no link out of it. The file need not exist.
 * @throws IstaError FILE_OUTSIDE where the name is absolute, climbs out by `..`, or passes a link that leads out.
 */
export function resolveInside(folder: string, name: string): string {
  const path = resolve(folder, name);
  const leaves = (from: string, to: string): boolean => {
    const way = relative(from, to);
    return way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way);
  };
  let existing = path;
  while (!fs.existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const outside =
    name.includes("\0") ||
    leaves(resolve(folder), path) ||
    (fs.existsSync(folder) &&
      !leaves(resolve(folder), existing) &&
      leaves(fs.realpathSync(folder), fs.realpathSync(existing)));
  if (outside) {
    throw new IstaError(
      "FILE_OUTSIDE",
      `${JSON.stringify(name)}: expected a name inside ${folder}, it leads out of it`,
    );
  }
  return path;
}
