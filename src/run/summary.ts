// summary.json of a run: the outcome in a few numbers, written by searches and trainings, read by comparisons.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { readJson } from "../base/files.js";
import { requirePlain } from "./plain.js";

/** Version of everything in a run directory; raised when an older program would misread it. */
export const formatVersion = 1;

/** Of a JSON file of a run; a search of ten thousand trials writes about one. */
export const maximumRunFileBytes = 8 << 20;

const optionalNumber = z.number().nullable().default(null);

export const rankingSchema = z.object({
  /** tau-b, -1 to 1; null where one of the two sides has no two different values. */
  tau: z.number().min(-1).max(1).nullable(),
  /** Column of the table that accuracies with shared weights were compared with. */
  column: z.string(),
  architectures: z.int().min(0),
  /** Candidates with batch norms in these architectures, and how many of them were ever trained. */
  candidates: z.int().min(0),
  trainedCandidates: z.int().min(0),
});

export const explorationSchema = z.object({
  /** Connections (candidates of all choices) that any network of the search had, and how many there are. */
  connectionsTried: z.int().min(0),
  connections: z.int().min(1),
  /** The last epoch, from 1, after which the answer was another one than before; 0 where it never changed. */
  lastChange: z.int().min(0),
  epochs: z.int().min(0),
});

export const summarySchema = z.object({
  formatVersion: z.int(),
  kind: z.enum(["search", "train"]),
  status: z.enum(["finished", "interrupted", "failed"]),
  /** Name under which results of the same cells are compared: a known genotype's name, or the run that found it. */
  arch: z.string(),
  /** Of a search; null for a training. */
  method: z.string().nullable().default(null),
  space: z.string().nullable().default(null),
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
  /** What a search did after its last epoch, such as choosing among architectures; absent where it did nothing. */
  conclusion: z.record(z.string(), z.unknown()).optional(),
  /** Time of computing, all resumed parts together. */
  seconds: z.number(),
  /** Processor time, user and system, of all threads and all resumed parts together; null where an earlier program began the run. */
  processorSeconds: optionalNumber,
  peakMemoryBytes: optionalNumber,
  /** Of a search: what its table says of the found architecture, by column, per cent; null without a table or a row. */
  knownAccuracies: z.record(z.string(), z.number()).nullable().default(null),
  /** Held-out accuracy of the super-net at the end of the search, statistics of batch norms computed again, 0..1. */
  superNetAccuracy: optionalNumber,
  /** That accuracy minus the one of the same weights with the kept candidates alone; see course/projection.ts. */
  projectionGap: optionalNumber,
  /** How shared weights rank architectures whose accuracies are known; see course/ranking.ts. */
  kendallTau: rankingSchema.nullable().default(null),
  /** Of a search: connections that its networks had, and since when its answer stands; see course/exploration.ts. */
  exploration: explorationSchema.nullable().default(null),
  /** Of a search, what is to be known of it beyond its result; which figures there are depends on the method. */
  diagnosis: z.record(z.string(), z.unknown()).nullable().default(null),
  preset: z.string().nullable().default(null),
  /** Name of the data set's folder. */
  dataset: z.string().default(""),
});

export type RunSummary = z.output<typeof summarySchema>;
/** What has a default may be left out. */
export type SummaryInput = Omit<z.input<typeof summarySchema>, "formatVersion" | "kind">;

/**
 * A random architecture is another one for each seed, but its runs are one protocol: `random:1` and `random:2` are
 * averaged as `random`.
 */
export const family = (arch: string): string => arch.replace(/^random:.*$/, "random");

/** What the table of a run says of its architecture in a column, per cent; null where it says nothing. */
export function knownAccuracy({ knownAccuracies }: RunSummary, column: string): number | null {
  return knownAccuracies !== null && Object.hasOwn(knownAccuracies, column) ? knownAccuracies[column] : null;
}

/** @throws IstaError RUN_VERSION where `version` is from the future, RUN_DAMAGED where it is no version. */
export function checkFormatVersion(version: unknown, path: string): void {
  if (!Number.isSafeInteger(version) || (version as number) < 1) {
    throw new IstaError(
      "RUN_DAMAGED",
      `read ${path}: expected a formatVersion, got ${JSON.stringify(version)}`,
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
  if (!existsSync(path)) return null;
  requirePlain(runPath);
  return parseRunFile(path, summarySchema);
}

/** Reads a JSON file of a run directory, with its format version and its schema checked. */
export function parseRunFile<T>(path: string, schema: z.ZodType<T>): T {
  const value = readJson(path, maximumRunFileBytes);
  checkFormatVersion((value as { formatVersion?: unknown } | null)?.formatVersion, path);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new IstaError("RUN_DAMAGED", `read ${path}: ${issue.path.join(".")}: ${issue.message}`);
}
