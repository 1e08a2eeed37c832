// Checkpoints: a folder with tensors, state and checksums, replaced as a whole, with the one before as a fallback.
import fs from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { hashFile, jsonText, readJson, replaceFolder, writePieces } from "../base/files.js";
import { packageVersion } from "../base/package.js";
import { type StoredTensor, safetensorsPieces } from "../formats/safetensors.js";
import { readWeightsFile } from "../formats/weights-file.js";
import { eventsFileName, type GrownSizes, stepsFileName } from "./growing-files.js";
import { formatVersion, parseRunFile } from "./summary.js";

export type TensorGroup = ReadonlyMap<string, StoredTensor>;

export interface CheckpointContents {
  /** Tensors by group and name; each group is one file, such as `model` and `optimiser`. */
  tensors: Readonly<Record<string, TensorGroup>>;
  /** Everything else that the run needs to go on, as JSON. */
  state: unknown;
}

export interface Checkpoint {
  tensors: Record<string, Map<string, StoredTensor>>;
  state: unknown;
  /** Number of metric records there were when it was made. */
  recordCount: number;
  /** Sizes of the growing files then. */
  grown: GrownSizes;
  /** What was wrong with the newer checkpoint where this is the one before, otherwise null. */
  warning: string | null;
}

const manifestName = "checkpoint.json";
const stateName = "state.json";
const maximumStateBytes = 512 << 20;
/** Objects, lists and texts; numbers, which are most of a state, are none of them. */
const maximumStateParts = 10_000_000;

/** Written last: a folder without it, or with other checksums, is not a checkpoint. */
const manifestSchema = z.object({
  formatVersion: z.int(),
  program: z.string(),
  saved: z.string(),
  recordCount: z.int().min(0),
  /** Of a checkpoint that an earlier program made, none. */
  grown: z
    .object({ [stepsFileName]: z.int().min(0).optional(), [eventsFileName]: z.int().min(0).optional() })
    .default({}),
  files: z.record(
    // Names from a file that may lie must not lead anywhere else.
    z.string().regex(/^[A-Za-z0-9_-]+\.(json|safetensors)$/),
    z.object({ bytes: z.int().min(0), sha256: z.string() }),
  ),
});

/** Where the checkpoint before lies. */
export const previousOf = (folder: string): string => `${folder}.previous`;

/**
 * Saves a checkpoint as `folder`; the one that was there stays as `folder.previous`. Killed at any moment, or on a full
 * disk, one complete checkpoint is left.
 * @throws IstaError FILE_DISK_FULL, FILE_DENIED ... and then the old checkpoint is untouched.
 */
export function writeCheckpoint(
  folder: string,
  contents: CheckpointContents,
  { recordCount, grown }: Pick<Checkpoint, "recordCount" | "grown">,
): void {
  replaceFolder(folder, previousOf(folder), (temporary) => {
    const files: Record<string, { bytes: number; sha256: string }> = {};
    for (const [group, tensors] of Object.entries(contents.tensors)) {
      const name = `${group}.safetensors`;
      files[name] = writePieces(join(temporary, name), safetensorsPieces(tensors, { format: "pt" }));
    }
    files[stateName] = writePieces(join(temporary, stateName), [Buffer.from(jsonText(contents.state))]);
    const saved = new Date().toISOString();
    const manifest = { formatVersion, program: packageVersion, saved, recordCount, grown, files };
    writePieces(join(temporary, manifestName), [Buffer.from(jsonText(manifest))]);
  });
}

/** Whether there is anything to load, complete or not. */
export function hasCheckpoint(folder: string): boolean {
  return fs.existsSync(folder) || fs.existsSync(previousOf(folder));
}

/**
 * Reads the checkpoint `folder`, or the one before where it is incomplete.
 * @param groups the groups of tensors to read; all of them where not given.
 * @throws IstaError CHECKPOINT_MISSING, CHECKPOINT_DAMAGED with what is wrong with each, RUN_VERSION.
 */
export function readCheckpoint(folder: string, groups?: readonly string[]): Checkpoint {
  const problems: string[] = [];
  for (const candidate of [folder, previousOf(folder)]) {
    if (!fs.existsSync(candidate)) continue;
    try {
      const checkpoint = readFolder(candidate, groups);
      const warning =
        candidate === folder
          ? null
          : `${problems[0] ?? `${folder} is missing (the program was ended while it was replaced)`}; used the one before, ${candidate}`;
      return { ...checkpoint, warning };
    } catch (error) {
      if (!(error instanceof IstaError) || error.code === "RUN_VERSION") throw error;
      problems.push(error.message);
    }
  }
  if (problems.length === 0)
    throw new IstaError("CHECKPOINT_MISSING", `${folder}: there is no such checkpoint`);
  throw new IstaError("CHECKPOINT_DAMAGED", `${problems.join("; ")}; no complete checkpoint is left`);
}

function readFolder(folder: string, groups?: readonly string[]): Omit<Checkpoint, "warning"> {
  const manifest = parseRunFile(join(folder, manifestName), manifestSchema);
  const tensors: Checkpoint["tensors"] = {};
  for (const [name, promised] of Object.entries(manifest.files)) {
    const group = name.endsWith(".safetensors") ? name.slice(0, -".safetensors".length) : null;
    if (group !== null && groups !== undefined && !groups.includes(group)) continue;
    const path = join(folder, name);
    const found = hashFile(path);
    if (found.bytes !== promised.bytes || found.sha256 !== promised.sha256) {
      const what = found.bytes === promised.bytes ? "another checksum" : `${found.bytes} bytes`;
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        `${path}: expected ${promised.bytes} bytes as written, got ${what}`,
      );
    }
    if (group !== null) tensors[group] = readWeightsFile(path).tensors;
  }
  const missing = [...(groups ?? [])].filter((group) => !Object.hasOwn(tensors, group));
  if (missing.length > 0 || !Object.hasOwn(manifest.files, stateName)) {
    const names = [...missing, ...(Object.hasOwn(manifest.files, stateName) ? [] : [stateName])];
    throw new IstaError("CHECKPOINT_DAMAGED", `${folder}: it has no ${names.join(", ")}`);
  }
  return {
    tensors,
    state: readJson(join(folder, stateName), maximumStateBytes, maximumStateParts),
    recordCount: manifest.recordCount,
    grown: manifest.grown,
  };
}
