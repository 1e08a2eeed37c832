// A run directory: configuration, metric records, genotypes, drawings, checkpoints and summary of one run.
import fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import {
  dropFolder,
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
import { bringBack } from "./bring-back.js";
import {
  type Checkpoint,
  type CheckpointContents,
  hasCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoint.js";
import { flushGrown, type GrowingFile, type GrownSizes, growFile } from "./growing-files.js";
import { lockName, takeLock } from "./lock.js";
import { hostFacts, maximumConfigBytes, newFolder, type RunPlace } from "./new-folder.js";
import { requirePlain } from "./plain.js";
import { appendRecord, type JsonObject, readRecords } from "./records.js";
import {
  formatVersion,
  parseRunFile,
  type RunSummary,
  readSummary,
  type SummaryInput,
  summarySchema,
} from "./summary.js";
import { WaitingWrites } from "./waiting-writes.js";

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
  /** Told of writes that fail for a time; where not given, they are errors. */
  warn?: (text: string) => void;
}

/** The file that makes a folder a run directory. */
export const runFileName = "meta.json";

export class RunDirectory {
  #meta: RunMeta;
  private readonly writes: WaitingWrites;
  /** Records in the file, and those among them that wait. */
  private recordCount = 0;
  private recordsGiven = 0;
  /** Of the growing files, what is written of them. */
  private grown: GrownSizes = {};
  private partsGiven = 0;

  private constructor(
    /** Absolute path. */
    readonly path: string,
    meta: RunMeta,
    private readonly inode: number,
    private readonly release: (() => void) | null,
    warn: ((text: string) => void) | null,
    /** Whether another process writes it, see `follow`. */
    private readonly isFollowed = false,
  ) {
    this.#meta = meta;
    this.writes = new WaitingWrites(warn);
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
      // Of a run there that was killed before it said what it is.
      onFile("clean up", path, () => removeUnfinished(path));
      const directory = new RunDirectory(path, meta, fs.statSync(path).ino, release, run.warn ?? null);
      directory.writeAtOnce("config.json", jsonText(run.config));
      directory.writeAtOnce("meta.json", jsonText(meta));
      return directory;
    } catch (error) {
      // Without the lock, it would be somebody else's to the next that wants the folder.
      fs.rmSync(join(path, "config.json"), { force: true });
      release();
      throw error;
    }
  }

  /**
   * Opens the folder of a run.
   * @param access `write` locks it, to be followed by `resume`; `read` only looks.
   * @param warn told of writes that fail for a time; where not given, they are errors.
   * @throws IstaError RUN_NOT_FOUND, RUN_VERSION, RUN_DAMAGED, RUN_LOCKED, FILE_LINK
   */
  static open(path: string, access: "read" | "write", warn?: (text: string) => void): RunDirectory {
    const absolute = resolve(path);
    if (!fs.existsSync(join(absolute, runFileName))) {
      const way = fs.existsSync(join(absolute, lockName))
        ? "a run was ended here before it had begun: give its first command again"
        : "`ista-nas runs list` shows them";
      throw new IstaError(
        "RUN_NOT_FOUND",
        `${path}: expected a run directory, it has no ${runFileName}; ${way}`,
      );
    }
    requirePlain(absolute);
    const meta = parseRunFile(join(absolute, "meta.json"), metaSchema);
    const release = access === "write" ? takeLock(absolute) : null;
    try {
      return new RunDirectory(absolute, meta, fs.statSync(absolute).ino, release, warn ?? null);
    } catch (error) {
      release?.();
      throw error;
    }
  }

  /**
   * A run directory that another process of the same run writes, perhaps on another machine: there is nothing to be read, and what is
   * written goes nowhere.
   * @param path and meta as the other process has them
   */
  static follow(path: string, meta: RunMeta): RunDirectory {
    return new RunDirectory(path, meta, 0, () => {}, null, true);
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
    if (this.isFollowed) return;
    const entry = { time: new Date().toISOString(), command: [...command], changes: [...changes] };
    this.#meta = { ...this.meta, resumed: [...this.meta.resumed, entry] };
    // First, as what it had come to is not its end any more: killed after this line, it does not pass for one with the new options.
    const summary = this.summary();
    if (summary !== null)
      this.writeAtOnce("summary.json", this.summaryText({ ...summary, status: "interrupted" }));
    this.writeAtOnce("config.json", jsonText(config));
    this.writeAtOnce("meta.json", jsonText(this.meta));
  }

  /** All whole metric records. @throws IstaError RUN_DAMAGED naming a line that is none. */
  records(): JsonObject[] {
    return this.isFollowed ? [] : readRecords(this.recordsPath).records;
  }

  /**
   * Appends a metric record. This and all that is written from here on is written in the order in which it was given; what fails for
   * a time, on a full disk, waits and is written before the next (see WaitingWrites).
   * @throws IstaError RUN_GONE, FILE_...
   */
  appendRecord(record: JsonObject): void {
    this.recordsGiven += 1;
    this.keep(`record ${this.recordsGiven} of metrics.jsonl`, () => {
      appendRecord(this.recordsPath, record);
      this.recordCount += 1;
    });
  }

  /**
   * Writes a file of the run atomically, making folders on the way.
   * @param name relative path, such as `genotypes/epoch-003.json`.
   * @throws IstaError FILE_OUTSIDE where the name leads out of the run, RUN_GONE, FILE_...
   */
  writeFile(name: string, data: string | Uint8Array): void {
    this.writeFileBy(name, (path) => writeFileAtomic(path, data));
  }

  /** As writeFile; `write` writes what it is given the path of, atomically. */
  writeFileBy(name: string, write: (path: string) => void): void {
    const path = resolveInside(this.path, name);
    this.keep(name, () => {
      makeFolder(dirname(path));
      write(path);
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
    this.writeFile("summary.json", this.summaryText(summary));
  }

  /** Writes the summary of a run that ends by an error, even where others wait. @throws IstaError FILE_..., RUN_GONE */
  writeLastSummary(summary: SummaryInput): void {
    this.writeAtOnce("summary.json", this.summaryText(summary));
  }

  private summaryText(summary: SummaryInput): string {
    const whole = { ...summary, formatVersion, kind: this.meta.kind };
    // As JSON has it: a figure that is not finite is null.
    return jsonText(summarySchema.parse(JSON.parse(JSON.stringify(whole))));
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
   * @returns whether it is written, and does not wait
   * @throws IstaError RUN_GONE
   */
  saveCheckpoint(name: string, contents: CheckpointContents): boolean {
    const path = this.checkpointPath(name);
    this.keep(`checkpoints/${name}`, () => {
      makeFolder(join(this.path, "checkpoints"));
      flushGrown(this.path, this.grown);
      writeCheckpoint(path, contents, { recordCount: this.recordCount, grown: this.grown });
    });
    return this.writes.names.length === 0;
  }

  /** Whether anything of a growing file is there. */
  hasGrown(name: GrowingFile): boolean {
    return this.grown[name] !== undefined;
  }

  /**
   * Appends to a file that grows with the run. Each part is there once, whenever the run is killed and taken up again.
   * @throws IstaError RUN_GONE, FILE_...
   */
  grow(name: GrowingFile, data: Uint8Array): void {
    this.partsGiven += 1;
    this.keep(`part ${this.partsGiven} of ${name}`, () => {
      this.grown = { ...this.grown, [name]: growFile(this.path, name, data) };
    });
  }

  /** Deletes checkpoints of single epochs but the latest `keep`. */
  pruneEpochCheckpoints(keep: number): void {
    const folder = join(this.path, "checkpoints");
    const latest = (names: string[]): string[] =>
      names
        .filter((name) => /epoch-\d+$/.test(name))
        .sort((a, b) => Number(b.split("-")[1]) - Number(a.split("-")[1]));
    // Those that wait are as many as are kept, however long the disk is full.
    for (const name of latest(this.writes.names).slice(keep)) this.writes.forget(name);
    this.keep("old checkpoints/epoch-*", () =>
      onFile("clean up", folder, () => {
        const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
        for (const name of latest(names).slice(keep)) {
          dropFolder(join(folder, name));
          fs.rmSync(join(folder, `${name}.previous`), { recursive: true, force: true });
        }
      }),
    );
  }

  /**
   * Tries once more to write what waits.
   * @throws IstaError that names all that is missing, with the code of what keeps it from being written; RUN_GONE
   */
  requireWritten(): void {
    this.writes.finish();
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
   * Reads the last checkpoint and brings the directory back to it, so that the run can go on from there; to its beginning where there
   * is none.
   * @param groups the groups of tensors that it must have; whatever there is where not given.
   * @returns null where there is none
   * @throws IstaError as loadCheckpoint, and then nothing is changed; FILE_*
   */
  resume(groups?: readonly string[]): Checkpoint | null {
    const checkpoint = this.hasCheckpoint("last") ? this.loadCheckpoint("last", groups) : null;
    this.writing(() => {
      const left = bringBack(this.path, checkpoint);
      this.recordCount = left.recordCount;
      this.grown = left.grown;
    });
    this.recordsGiven = this.recordCount;
    if (checkpoint === null || this.recordCount === checkpoint.recordCount) return checkpoint;
    const lost = `${this.recordsPath} has lost ${checkpoint.recordCount - this.recordCount} of ${checkpoint.recordCount} records`;
    return { ...checkpoint, warning: checkpoint.warning === null ? lost : `${checkpoint.warning}; ${lost}` };
  }

  /** Gives the lock back. */
  close(): void {
    this.release?.();
  }

  /** Writes in order, see WaitingWrites. */
  private keep(name: string, write: () => void): void {
    if (this.isFollowed) return;
    this.requireWritable();
    this.writes.do(name, () => this.writing(write));
  }

  /** Writes out of order: what a run cannot begin or go on without, or ends with. */
  private writeAtOnce(name: string, text: string): void {
    if (this.isFollowed) return;
    this.writing(() => writeFileAtomic(resolveInside(this.path, name), text));
  }

  private checkpointPath(name: string): string {
    return resolveInside(join(this.path, "checkpoints"), name);
  }

  /** Runs a write; says so where the folder is no longer the one that was locked. */
  private writing(write: () => void): void {
    this.requireWritable();
    this.checkStillThere();
    try {
      write();
    } catch (error) {
      this.checkStillThere();
      throw error;
    }
  }

  private requireWritable(): void {
    if (this.release === null) throw new TypeError("the run was opened for reading");
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
