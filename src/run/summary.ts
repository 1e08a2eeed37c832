// summary.json of a run: the outcome in a few numbers, written by searches and trainings, read by comparisons.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { readJson } from "../base/files.js";

/** Version of everything in a run directory; raised when an older program would misread it. */
export const formatVersion = 1;

const optionalNumber = z.number().nullable().default(null);

export const summarySchema = z.object({
  formatVersion: z.int(),
  kind: z.enum(["search", "train"]),
  status: z.enum(["finished", "interrupted", "failed"]),
  /** Name under which results of the same cells are compared: a known genotype's name, or the run that found it. */
  arch: z.string(),
  /** The genotype as JSON; null where none came about. */
  genotype: z.unknown().default(null),
  seed: z.int(),
  /** Epochs done. */
  epochs: z.number(),
  /** Number of parameters without the auxiliary head. */
  parameters: optionalNumber,
  /** Mult-adds of convolutions and linear layers for one image. */
  multiplyAdds: optionalNumber,
  /** Share of images classified right, 0..1. */
  testAccuracy: optionalNumber,
  validationAccuracy: optionalNumber,
  testLoss: optionalNumber,
  /** Time of computing, all resumed parts together. */
  seconds: z.number(),
  peakMemoryBytes: optionalNumber,
  preset: z.string().nullable().default(null),
  /** Name of the data set's folder. */
  dataset: z.string().default(""),
});

export type RunSummary = z.output<typeof summarySchema>;

/** @throws IstaError RUN_VERSION where `version` is from the future, RUN_DAMAGED where it is no version. */
export function checkFormatVersion(version: unknown, path: string): void {
  if (!Number.isSafeInteger(version) || (version as number) < 1) {
    throw new IstaError(
      "RUN_DAMAGED",
      `read ${path}: expected a formatVersion, came ${JSON.stringify(version)}`,
    );
  }
  if ((version as number) > formatVersion) {
    throw new IstaError(
      "RUN_VERSION",
      `read ${path}: it was written by a newer program (format ${version}, this one knows up to ${formatVersion}); update ista-nas`,
    );
  }
}

/**
 * The summary of a run, null where it has none yet. Keys that this version does not know are ignored.
 * @throws IstaError RUN_VERSION, RUN_DAMAGED, FILE_JSON
 */
export function readSummary(runPath: string): RunSummary | null {
  const path = join(runPath, "summary.json");
  return existsSync(path) ? parseRunFile(path, summarySchema) : null;
}

/** Reads a JSON file of a run directory, with its format version and its schema checked. */
export function parseRunFile<T>(path: string, schema: z.ZodType<T>): T {
  const value = readJson(path, 64 << 20);
  checkFormatVersion((value as { formatVersion?: unknown } | null)?.formatVersion, path);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new IstaError("RUN_DAMAGED", `read ${path}: ${issue.path.join(".")}: ${issue.message}`);
}
