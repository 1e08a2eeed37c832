// A run directory may be somebody else's: what is inside of it is read and written there, and nowhere that a link leads to.
import fs from "node:fs";
import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { onFile } from "../base/files.js";

/** What this program reads or changes in the folder of a run or of a study; other things in it are the user's own. */
const ownFile = /\.(json|jsonl|safetensors|log)$/;
const ownFolders: readonly string[] = ["checkpoints", "genotypes", "page"];

function refuse(path: string, entry: fs.Dirent): never {
  if (entry.isSymbolicLink())
    throw new IstaError(
      "FILE_LINK",
      `${path}: expected a file or folder of the run itself, got a symbolic link, which is not followed inside of a run directory; put what it points to in its place`,
    );
  throw new IstaError("FILE_KIND", `${path}: expected a file, got a device, pipe or socket; remove it`);
}

/** None where the folder has gone meanwhile: another process may be saving a checkpoint. */
function entriesOf(path: string): fs.Dirent[] {
  try {
    return onFile("read", path, () => fs.readdirSync(path, { withFileTypes: true }));
  } catch (error) {
    if (error instanceof IstaError && error.code === "FILE_NOT_FOUND") return [];
    throw error;
  }
}

/**
 * Refuses links, pipes and devices among the files of a run, of which nothing is opened. The folder itself may be reached by a link.
 * @param folders names of those in it that are the run's as a whole
 * @throws IstaError FILE_LINK, FILE_KIND, FILE_DENIED ...
 */
export function requirePlain(folder: string, folders = ownFolders): void {
  const look = (path: string, isOwn: (name: string) => boolean): void => {
    for (const entry of entriesOf(path)) {
      if (!isOwn(entry.name)) continue;
      const inside = join(path, entry.name);
      if (entry.isDirectory()) look(inside, () => true);
      else if (!entry.isFile()) refuse(inside, entry);
    }
  };
  look(folder, (name) => folders.includes(name) || ownFile.test(name));
}
