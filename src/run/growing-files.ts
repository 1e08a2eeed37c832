// Files that grow by parts as a run goes on, and are cut back to a checkpoint when it is taken up again: each part is there once.
import fs from "node:fs";
import { dirname, join } from "node:path";
import { makeFolder, onFile, writeFully } from "../base/files.js";

/** A line for every few steps. */
export const stepsFileName = "steps.jsonl";
/** What TensorBoard reads; it looks for files with "tfevents" in their names. */
export const eventsFileName = "tensorboard/events.out.tfevents.ista-nas";

const growingFiles = [stepsFileName, eventsFileName] as const;
export type GrowingFile = (typeof growingFiles)[number];

/** Bytes by name; what is not there yet is left out. */
export type GrownSizes = Readonly<Partial<Record<GrowingFile, number>>>;

/** Appends; on failure the file is as before. Not flushed: the next checkpoint does that. @returns the size. @throws IstaError FILE_* */
export function growFile(folder: string, name: GrowingFile, data: Uint8Array): number {
  const path = join(folder, name);
  makeFolder(dirname(path));
  return onFile("append to", path, () => {
    const file = fs.openSync(path, "a");
    try {
      const before = fs.fstatSync(file).size;
      try {
        writeFully(file, [data]);
      } catch (error) {
        fs.ftruncateSync(file, before);
        throw error;
      }
      return before + data.length;
    } finally {
      fs.closeSync(file);
    }
  });
}

/** Puts on the disk what was appended. @throws IstaError FILE_* */
export function flushGrown(folder: string, sizes: GrownSizes): void {
  for (const name of Object.keys(sizes)) {
    const path = join(folder, name);
    onFile("flush", path, () => {
      const file = fs.openSync(path, "r+");
      fs.fsyncSync(file);
      fs.closeSync(file);
    });
  }
}

/** Cuts the files back to these sizes; those without one are removed. @returns the sizes that they have then. @throws IstaError FILE_* */
export function cutGrown(folder: string, sizes: GrownSizes): GrownSizes {
  const left: Partial<Record<GrowingFile, number>> = {};
  for (const name of growingFiles) {
    const path = join(folder, name);
    const present = fs.statSync(path, { throwIfNoEntry: false })?.size;
    if (present === undefined) continue;
    const size = Math.min(present, sizes[name] ?? 0);
    onFile("cut", path, () => (size === 0 ? fs.rmSync(path) : fs.truncateSync(path, size)));
    if (size > 0) left[name] = size;
  }
  return left;
}
