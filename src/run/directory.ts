// A run directory: configuration, metric records, genotypes, drawings, checkpoints and summary of one run.
import fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { type ErrorCode, IstaError } from "../base/errors.js";
import {
  jsonText,
  makeFolder,
  onFile,
  readJson,
  removeUnfinished,
  resolveInside,
  writeFileAtomic,
} from "../base/files.js";
import { packageVersion } from "../base/package.js";
import { type ConfigOf, checkConfig, type RunKind } from "../config/config.js";
import {
  type Checkpoint,
  type CheckpointContents,
  hasCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoint.js";
import { takeLock } from "./lock.js";
import { hostFacts, newFolder, type RunPlace } from "./new-folder.js";
import { appendRecord, type JsonObject, readRecords, truncateRecords } from "./records.js";
import {
  formatVersion,
  parseRunFile,
  type RunSummary,
  readSummary,
  type SummaryInput,
  summarySchema,
} from "./summary.js";

const splitSchema = z.looseObject({
  /** Of the choice. */
  seed: z.int(),
  /** Digest of the data's labels, classes and paths: of what was split. */
  listing: z.string(),
  /** How many of them are in which part. */
  counts: z.object({ trained: z.int(), heldOut: z.int(), test: z.int() }),
  /** Whether the test images were chosen among the training images. */
  testSetAside: z.boolean(),
  /** Digest of the indices of every part. */
  indices: z.string(),
});

/** Which images a run learnt from, held out and tested on: what determines it, and digests. */
export type SplitRecord = z.output<typeof splitSchema>;

const metaSchema = z.looseObject({
  formatVersion: z.int(),
  kind: z.enum(["search", "train"]),
  created: z.string(),
  /** The command line, without the program. */
  command: z.array(z.string()),
  seed: z.int(),
  preset: z.string().nullable(),
  /** Of the program, of Node, and of what else the caller names (libtorch, BLAS). */
  versions: z.record(z.string(), z.string()),
  host: z.looseObject({}),
  /** What tells the images from others, see data/identity.ts; null where an earlier program made the run. */
  dataIdentity: z.string().nullable().default(null),
  /** Of streamed pictures what they hold, see data/contents.ts; null of images in memory, or where an earlier program made the run. */
  dataContents: z.string().nullable().default(null),
  /** What the images were split by, see course/sources.ts; null where an earlier program made the run. */
  split: splitSchema.nullable().default(null),
  /** Each time that the run was taken up again. */
  resumed: z
    .array(z.object({ time: z.string(), command: z.array(z.string()), changes: z.array(z.string()) }))
    .default([]),
});

export type RunMeta = z.output<typeof metaSchema>;

export interface NewRun<Kind extends RunKind> extends RunPlace {
  kind: Kind;
  config: ConfigOf[Kind];
  /** Versions to note besides those of the program and of Node. */
  versions?: Readonly<Record<string, string>>;
  dataIdentity?: string;
  dataContents?: string | null;
  split?: SplitRecord;
  /** The command line; the process's own where not given. */
  command?: readonly string[];
}

/** The file that makes a folder a run directory. */
export const runFileName = "meta.json";

/** Failures after which the run may go on and try again: they can pass while it computes. */
const passing: readonly ErrorCode[] = ["FILE_DISK_FULL", "FILE_DENIED", "FILE_READ_ONLY", "FILE_IO"];

const maximumConfigBytes = 1 << 20;

export class RunDirectory {
  #meta: RunMeta;
  /** Records that a full disk kept from being written; they go first when the next one comes. */
  private readonly pending: JsonObject[] = [];
  private recordCount: number;

  private constructor(
    /** Absolute path. */
    readonly path: string,
    meta: RunMeta,
    private readonly inode: number,
    private readonly release: (() => void) | null,
  ) {
    this.#meta = meta;
    this.recordCount = 0;
  }

  /**
   * Makes the folder of a new run, locks it and writes config.json and meta.json.
   * @throws IstaError RUN_EXISTS where the folder is there and not empty, FILE_OUTSIDE for a name that is no plain one.
   */
  static create<Kind extends RunKind>(run: NewRun<Kind>): RunDirectory {
    const path = newFolder(run);
    const meta: RunMeta = {
      formatVersion,
      kind: run.kind,
      created: new Date().toISOString(),
      command: [...(run.command ?? process.argv.slice(2))],
      seed: run.config.seed,
      preset: run.config.preset,
      versions: { "ista-nas": packageVersion, node: process.version, ...run.versions },
      host: hostFacts(),
      dataIdentity: run.dataIdentity ?? null,
      dataContents: run.dataContents ?? null,
      split: run.split ?? null,
      resumed: [],
    };
    const release = takeLock(path);
    try {
      const directory = new RunDirectory(path, meta, fs.statSync(path).ino, release);
      directory.writeJson("config.json", run.config);
      directory.writeJson("meta.json", meta);
      return directory;
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Opens the folder of a run.
   * @param access `write` locks it, removes what cut-off writes left and repairs a torn last record; `read` only looks.
   * @throws IstaError RUN_NOT_FOUND, RUN_VERSION, RUN_DAMAGED, RUN_LOCKED
   */
  static open(path: string, access: "read" | "write"): RunDirectory {
    const absolute = resolve(path);
    if (!fs.existsSync(join(absolute, "meta.json"))) {
      throw new IstaError(
        "RUN_NOT_FOUND",
        `${path}: expected a run directory, it has no meta.json; \`ista-nas runs list\` shows them`,
      );
    }
    const meta = parseRunFile(join(absolute, "meta.json"), metaSchema);
    const release = access === "write" ? takeLock(absolute) : null;
    try {
      const run = new RunDirectory(absolute, meta, fs.statSync(absolute).ino, release);
      if (access === "write") {
        onFile("clean up", absolute, () => {
          const folders = ["checkpoints", "genotypes"].map((name) => join(absolute, name));
          for (const folder of [absolute, ...folders.filter((one) => fs.existsSync(one))])
            removeUnfinished(folder);
        });
        run.recordCount = truncateRecords(run.recordsPath, Number.POSITIVE_INFINITY);
      }
      return run;
    } catch (error) {
      release?.();
      throw error;
    }
  }

  get name(): string {
    return basename(this.path);
  }

  get meta(): RunMeta {
    return this.#meta;
  }

  private get recordsPath(): string {
    return join(this.path, "metrics.jsonl");
  }

  /**
   * The run's configuration, checked; options that did not exist when it was written have their defaults.
   * @throws IstaError RUN_DAMAGED where the run is of the other kind, CONFIG_...
   */
  config<Kind extends RunKind>(kind: Kind): ConfigOf[Kind] {
    if (this.meta.kind !== kind) {
      throw new IstaError("RUN_DAMAGED", `${this.path}: expected a ${kind} run, got a ${this.meta.kind} run`);
    }
    const path = join(this.path, "config.json");
    // Before there was a seed of splits, the run's seed was that too, which is what none means.
    const saved = { splitSeed: null, ...(readJson(path, maximumConfigBytes) as object | null) };
    return checkConfig(kind, saved, path);
  }

  /** Notes that the run goes on, with the configuration that it has now and what changed in it. */
  noteResumed(config: ConfigOf[RunKind], changes: readonly string[], command = process.argv.slice(2)): void {
    const entry = { time: new Date().toISOString(), command: [...command], changes: [...changes] };
    this.#meta = { ...this.meta, resumed: [...this.meta.resumed, entry] };
    this.writeJson("config.json", config);
    this.writeJson("meta.json", this.meta);
    // What it had come to is not its end any more, even if it is killed before it says so itself.
    const summary = this.summary();
    if (summary !== null) this.writeSummary({ ...summary, status: "interrupted" });
  }

  /** All whole metric records. @throws IstaError RUN_DAMAGED naming a line that is none. */
  records(): JsonObject[] {
    return readRecords(this.recordsPath).records;
  }

  /** Appends a metric record. On failure it is kept and written before the next one. @throws IstaError RUN_GONE, FILE_... */
  appendRecord(record: JsonObject): void {
    this.pending.push(record);
    this.flushRecords();
  }

  private flushRecords(): void {
    this.writing(() => {
      while (this.pending.length > 0) {
        appendRecord(this.recordsPath, this.pending[0]);
        this.pending.shift();
        this.recordCount += 1;
      }
    });
  }

  /**
   * Writes a file of the run atomically, making folders on the way.
   * @param name relative path, such as `genotypes/epoch-003.json`.
   * @throws IstaError FILE_OUTSIDE where the name leads out of the run, RUN_GONE, FILE_...
   */
  writeFile(name: string, data: string | Uint8Array): void {
    const path = resolveInside(this.path, name);
    this.writing(() => {
      makeFolder(dirname(path));
      writeFileAtomic(path, data);
    });
  }

  writeJson(name: string, value: unknown): void {
    this.writeFile(name, jsonText(value));
  }

  /** Writes `genotype.json`, or `genotypes/epoch-NNN.json` for one epoch (counted from 0). */
  writeGenotype(genotype: unknown, epoch?: number): void {
    this.writeJson(epoch === undefined ? "genotype.json" : `genotypes/${epochName(epoch)}.json`, genotype);
  }

  writeSummary(summary: SummaryInput): void {
    const whole = { ...summary, formatVersion, kind: this.meta.kind };
    // As JSON has it: a figure that is not finite is null.
    this.writeJson("summary.json", summarySchema.parse(JSON.parse(JSON.stringify(whole))));
  }

  /** The summary, null before the end of the run. @throws IstaError RUN_VERSION, RUN_DAMAGED */
  summary(): RunSummary | null {
    const summary = readSummary(this.path);
    if (summary === null || summary.space !== null) return summary;
    // Written before there were other methods and spaces: the configuration says which they were.
    const { space } = this.config(this.meta.kind);
    return { ...summary, space, method: this.meta.kind === "search" ? this.config("search").method : null };
  }

  /**
   * Saves a checkpoint together with the number of metric records so far.
   * @param name `last`, `best`, or `epochName(n)`.
   * @throws IstaError FILE_DISK_FULL, ... with the earlier checkpoint intact; RUN_GONE
   */
  saveCheckpoint(name: string, contents: CheckpointContents): void {
    this.flushRecords();
    this.writing(() => {
      makeFolder(join(this.path, "checkpoints"));
      writeCheckpoint(this.checkpointPath(name), contents, this.recordCount);
    });
  }

  /** Deletes checkpoints of single epochs but the latest `keep`. */
  pruneEpochCheckpoints(keep: number): void {
    const folder = join(this.path, "checkpoints");
    this.writing(() =>
      onFile("clean up", folder, () => {
        const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
        const epochs = names.filter((name) => /^epoch-\d+$/.test(name));
        epochs.sort((a, b) => Number(b.slice(6)) - Number(a.slice(6)));
        for (const name of epochs.slice(keep)) {
          fs.rmSync(join(folder, name), { recursive: true, force: true });
          fs.rmSync(join(folder, `${name}.previous`), { recursive: true, force: true });
        }
      }),
    );
  }

  hasCheckpoint(name: string): boolean {
    return hasCheckpoint(this.checkpointPath(name));
  }

  /**
   * Reads a checkpoint, or the one before where it is incomplete; `warning` tells.
   * @param groups the groups of tensors to read; all of them where not given.
   * @throws IstaError CHECKPOINT_MISSING, CHECKPOINT_DAMAGED, RUN_VERSION
   */
  loadCheckpoint(name: string, groups?: readonly string[]): Checkpoint {
    return readCheckpoint(this.checkpointPath(name), groups);
  }

  /**
   * Reads the last checkpoint and takes back the metric records made after it, so that the run can go on from there.
   * @param groups the groups of tensors that it must have; whatever there is where not given.
   * @throws IstaError as loadCheckpoint.
   */
  resume(groups?: readonly string[]): Checkpoint {
    const checkpoint = this.loadCheckpoint("last", groups);
    this.writing(() => {
      this.recordCount = truncateRecords(this.recordsPath, checkpoint.recordCount);
    });
    if (this.recordCount === checkpoint.recordCount) return checkpoint;
    const lost = `${this.recordsPath} has lost ${checkpoint.recordCount - this.recordCount} of ${checkpoint.recordCount} records`;
    return { ...checkpoint, warning: checkpoint.warning === null ? lost : `${checkpoint.warning}; ${lost}` };
  }

  /**
   * Runs a write that may fail for a time (full disk, permissions): returns what to tell the user, or null. The run may go
   * on and try again at its next save.
   * @throws IstaError what will not pass, such as RUN_GONE.
   */
  attempt(write: () => void): string | null {
    try {
      write();
      return null;
    } catch (error) {
      if (error instanceof IstaError && passing.includes(error.code)) {
        return `not saved, the run goes on and tries again later: ${error.code} ${error.message}`;
      }
      throw error;
    }
  }

  /** appendRecord, a passing failure as a warning. */
  tryAppendRecord(record: JsonObject): string | null {
    return this.attempt(() => this.appendRecord(record));
  }

  /** saveCheckpoint, a passing failure as a warning. */
  trySaveCheckpoint(name: string, contents: CheckpointContents): string | null {
    return this.attempt(() => this.saveCheckpoint(name, contents));
  }

  /** Gives the lock back. */
  close(): void {
    this.release?.();
  }

  private checkpointPath(name: string): string {
    return resolveInside(join(this.path, "checkpoints"), name);
  }

  /** Runs a write; says so where the folder is no longer the one that was locked. */
  private writing(write: () => void): void {
    if (this.release === null) throw new TypeError("the run was opened for reading");
    this.checkStillThere();
    try {
      write();
    } catch (error) {
      this.checkStillThere();
      throw error;
    }
  }

  private checkStillThere(): void {
    if (fs.statSync(this.path, { throwIfNoEntry: false })?.ino !== this.inode) {
      throw new IstaError(
        "RUN_GONE",
        `${this.path}: the run directory was moved or deleted while the run was going on`,
      );
    }
  }
}

/** `epoch-007`, for epochs counted from 0. */
export const epochName = (epoch: number): string => `epoch-${String(epoch).padStart(3, "0")}`;
