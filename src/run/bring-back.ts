// The one place that brings a run directory back to its last checkpoint: what was recorded and saved after it is done again.
import fs from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { dropFolder, onFile, removeUnfinished } from "../base/files.js";
import { type Checkpoint, previousOf, readCheckpoint } from "./checkpoint.js";
import { cutGrown } from "./growing-files.js";
import { truncateRecords } from "./records.js";

const stateSchema = z.object({ position: z.object({ epoch: z.int().min(0) }) });

/** Whole epochs that were done when a checkpoint was made; null where its state does not say. */
function epochsOf(state: unknown): number | null {
  const found = stateSchema.safeParse(state);
  return found.success ? found.data.position.epoch : null;
}

const entriesOf = (folder: string): string[] => (fs.existsSync(folder) ? fs.readdirSync(folder) : []);

/** `epoch-012`, `epoch-012.json`, `epoch-012.previous`: 12. */
const epochIn = (name: string): number => Number(/^epoch-(\d+)(\.|$)/.exec(name)?.[1] ?? -1);

/** Whether a checkpoint was made after so many epochs; one that cannot be read will be replaced, or named when it is needed. */
function isAfter(folder: string, epochs: number): boolean {
  try {
    return (epochsOf(readCheckpoint(folder, []).state) ?? 0) > epochs;
  } catch (error) {
    if (error instanceof IstaError) return false;
    throw error;
  }
}

/**
 * Removes what writes that were cut off left, and everything that came after the checkpoint; after its beginning, where there is
 * none. Killed in between, it can be done again. Only for who holds the lock.
 * @returns how many records there are then: fewer than the checkpoint knows of, if some were lost; and sizes of growing files
 * @throws IstaError FILE_*, RUN_DAMAGED
 */
export function bringBack(
  path: string,
  checkpoint: Checkpoint | null,
): Pick<Checkpoint, "recordCount" | "grown"> {
  const checkpoints = join(path, "checkpoints");
  const genotypes = join(path, "genotypes");
  const epochs = checkpoint === null ? 0 : epochsOf(checkpoint.state);
  return onFile("clean up", path, () => {
    for (const folder of [path, checkpoints, genotypes]) if (fs.existsSync(folder)) removeUnfinished(folder);
    if (epochs !== null) {
      for (const name of entriesOf(genotypes))
        if (epochIn(name) >= epochs) fs.rmSync(join(genotypes, name), { force: true });
      for (const name of entriesOf(checkpoints))
        if (epochIn(name) >= epochs) dropFolder(join(checkpoints, name));
      const best = join(checkpoints, "best");
      while (fs.existsSync(best) && isAfter(best, epochs)) {
        dropFolder(best);
        if (fs.existsSync(previousOf(best))) fs.renameSync(previousOf(best), best);
      }
    }
    const grown = cutGrown(path, checkpoint?.grown ?? {});
    return { recordCount: truncateRecords(join(path, "metrics.jsonl"), checkpoint?.recordCount ?? 0), grown };
  });
}
