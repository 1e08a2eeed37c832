// Reading data files and folders: bounded sizes, and errors that name the file.

import { isUtf8 } from "node:buffer";
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { fileError, readFileLimited } from "../base/files.js";

/** Node reads no file of 2 GiB or more in one piece. */
const largestFileBytes = 2 ** 31 - 1;

/** The bytes of a data file. Throws FILE_* errors. */
export const readBytes = (path: string, maximumBytes = largestFileBytes): Uint8Array =>
  readFileLimited(path, maximumBytes);

/** Names of the folders and of the other entries of a folder, sorted by code unit, hidden ones left out. */
export interface Listing {
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/**
 * Lists a folder. Symbolic links are followed (data sets are often links into a shared disk): files are only ever
 * read, so a link cannot lead a write astray. A dangling link counts as a file, so that reading it reports it by name.
 */
export async function listFolder(path: string): Promise<Listing> {
  let entries: Dirent<Buffer>[];
  try {
    entries = await readdir(path, { withFileTypes: true, encoding: "buffer" });
  } catch (cause) {
    throw fileError(cause, "list the folder", path);
  }
  const folders: string[] = [];
  const files: string[] = [];
  for (const entry of entries) {
    const name = nameOf(entry.name, path);
    if (name.startsWith(".")) continue;
    const isFolder = entry.isSymbolicLink()
      ? await stat(join(path, name)).then(
          (target) => target.isDirectory(),
          () => false,
        )
      : entry.isDirectory();
    (isFolder ? folders : files).push(name);
  }
  return { folders: folders.sort(), files: files.sort() };
}

/** Names in another encoding would come out as other names, under which nothing is found. */
function nameOf(bytes: Buffer, folder: string): string {
  if (isUtf8(bytes)) return bytes.toString();
  const shown = bytes.toString("latin1");
  throw new IstaError(
    "DATA_NAME",
    `data: expected names in UTF-8 in ${folder}, got one that may be ${JSON.stringify(shown)} in Latin-1; rename it, or all: convmv -r -f latin1 -t utf8 --notest ${folder}`,
  );
}

/**
 * Class names from a text file, one a line. They are shown to people and never become part of a path.
 * Throws DATA_CLASSES on repeated or overlong names and on control characters.
 */
export function readClassNames(path: string): string[] {
  const text = new TextDecoder().decode(readBytes(path, 2 ** 20));
  const names = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  checkClassNames(names, path);
  return names;
}

/** Throws DATA_CLASSES unless there is at least one name and all are distinct, printable and at most 200 long. */
export function checkClassNames(names: readonly string[], path: string): void {
  const seen = new Set<string>();
  const bad = names.find(
    (name) => name.length > 200 || /\p{Cc}/u.test(name) || seen.size === seen.add(name).size,
  );
  if (names.length === 0 || bad !== undefined) {
    const got = bad === undefined ? "none" : JSON.stringify(bad.slice(0, 60));
    throw new IstaError(
      "DATA_CLASSES",
      `data: expected distinct printable class names of at most 200 characters in ${path}, got ${got}; rename it`,
    );
  }
}
