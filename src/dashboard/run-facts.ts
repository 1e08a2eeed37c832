// What the list and the page of a run say of it: read from its files, whatever state they are in.
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { lockHolder, lockName } from "../run/lock.js";
import type { JsonObject } from "../run/records.js";
import { type RunSummary, summarySchema } from "../run/summary.js";
import { operationLook } from "../space/operation.js";
import { architectureOf, findSpace } from "../space/registry.js";
import type { Space } from "../space/space.js";
import { seedGroupOf } from "../study/agreement.js";
import { lastRecord, recordsName } from "./record-tail.js";
import { lookAt, readObjectInside } from "./safe-files.js";
import type { RunDetail, RunRow, RunState, SpaceInfo } from "./types.js";

export const runFileName = "meta.json";
const files = [runFileName, "config.json", "summary.json", recordsName, lockName] as const;
const largestFile = 16 << 20;

type Facts = Readonly<Record<string, unknown>>;

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const finite = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

/** What is known of a run, read again where its files have changed. */
export class RunFacts {
  private stamps = "";
  private meta: Facts | null = null;
  private config: Facts = {};
  private summary: RunSummary | null = null;
  private record: JsonObject | null = null;
  private recordStamp = "";
  private changed: number | null = null;
  private held = false;

  /** @param folder real path */
  constructor(
    readonly id: string,
    readonly folder: string,
  ) {}

  /** Tells a changed run from an unchanged one, without the course of time. */
  get stamp(): string {
    return `${this.stamps} ${this.held}`;
  }

  /** Looks at the files again. */
  refresh(): void {
    const looks = files.map((name) => lookAt(this.folder, name));
    const [, , , records, lock] = looks;
    // A process that was killed leaves its lock behind, and changes no file when it dies.
    this.held = lock !== null && lockHolder(this.folder) !== null;
    this.changed = records === null ? null : records.mtimeMs;
    const stamps = looks.map((look) => look?.stamp ?? "-").join(",");
    if (stamps === this.stamps) return;
    this.stamps = stamps;
    this.meta = readObjectInside(this.folder, runFileName, largestFile);
    this.config = readObjectInside(this.folder, "config.json", largestFile) ?? {};
    const summary = readObjectInside(this.folder, "summary.json", largestFile);
    this.summary = summary === null ? null : (summarySchema.safeParse(summary).data ?? null);
    if (records?.stamp !== this.recordStamp) this.record = lastRecord(this.folder);
    this.recordStamp = records?.stamp ?? "";
  }

  private get state(): RunState {
    if (this.meta === null) return "unreadable";
    return this.held ? "running" : (this.summary?.status ?? "stopped");
  }

  private get kind(): RunRow["kind"] {
    const kind = this.meta?.kind;
    return kind === "search" || kind === "train" ? kind : null;
  }

  /** Runs that differ in the seed alone have the same. */
  private get group(): string {
    const data = this.meta?.dataIdentity ?? this.config.data;
    const versions = this.meta?.versions as Readonly<Record<string, unknown>> | undefined;
    return createHash("sha256")
      .update(seedGroupOf(this.kind, versions?.["ista-nas"], data, this.config))
      .digest("hex")
      .slice(0, 12);
  }

  /** Of the whole run: as its last record says, or else its configuration. */
  private get epochs(): number | null {
    const { epochs, trainEpochs, mode } = this.config;
    const planned = finite(epochs);
    // The first versions gave every search epochs of training, which only one-stage searches have.
    const trains = mode === undefined || mode === "one-stage";
    const whole = planned === null ? null : planned + (trains ? (finite(trainEpochs) ?? 0) : 0);
    return finite(this.record?.epochs) ?? whole;
  }

  /** Of the first versions, which had two, called modes. */
  private get oldMethod(): string | null {
    const mode = text(this.config.mode);
    return mode === null ? null : `ista-${mode}`;
  }

  private get epoch(): number {
    const recorded = finite(this.record?.epoch);
    return recorded === null ? (this.summary?.epochs ?? 0) : recorded + 1;
  }

  /** Seconds of the clock that an epoch takes. */
  private get pace(): number | null {
    const begun = Date.parse(text(this.meta?.created) ?? "");
    const { resumed } = this.meta ?? {};
    const wentOn = Array.isArray(resumed) && resumed.length > 0;
    // Evaluation and saving count too, so the clock says more than the seconds of the steps; a pause would not count.
    if (!wentOn && Number.isFinite(begun) && this.changed !== null && this.epoch > 0)
      return Math.max(0, (this.changed - begun) / 1000 / this.epoch);
    return finite(this.record?.seconds);
  }

  private secondsLeft(now: number): number | null {
    const { pace, epochs, changed } = this;
    if (this.state !== "running" || pace === null || epochs === null || changed === null) return null;
    const sinceRecord = Math.min(pace, Math.max(0, (now - changed) / 1000));
    return Math.max(0, (epochs - this.epoch) * pace - sinceRecord);
  }

  private get genotype(): unknown {
    return this.record?.answer ?? this.record?.genotype ?? null;
  }

  private get found(): string | null {
    const arch = text(this.config.arch);
    if (this.kind === "train") return arch === null ? null : basename(arch);
    const words = operationWords(this.summary?.genotype ?? this.genotype);
    return words === "" ? null : words;
  }

  row(now = Date.now()): RunRow {
    const { summary, record } = this;
    const one = (name: string): number | null => finite(record?.[name]);
    return {
      id: this.id,
      kind: this.kind,
      state: this.state,
      problem: this.meta === null ? `${runFileName} cannot be read` : null,
      method: text(this.config.method ?? this.summary?.method) ?? this.oldMethod,
      space: text(this.config.space),
      seed: finite(this.meta?.seed),
      created: text(this.meta?.created),
      epoch: this.epoch,
      epochs: this.epochs,
      secondsLeft: this.secondsLeft(now),
      changed: this.changed,
      loss: one("loss"),
      accuracy: one("accuracy"),
      validationAccuracy: summary?.validationAccuracy ?? one("validationAccuracy"),
      testAccuracy: summary?.testAccuracy ?? null,
      parameters: summary?.parameters ?? one("parameters"),
      found: this.found,
      group: this.group,
    };
  }

  detail(): RunDetail {
    const { command, versions, host, created, resumed, split, preset } = this.meta ?? {};
    return {
      row: this.row(),
      space: spaceInfo(text(this.config.space)),
      config: this.config,
      meta: { command, versions, host, created, resumed, split, preset },
      summary: this.summary,
    };
  }
}

const knownWords = new Map<string, string>();

/** "sep conv 3×3 ×5, skip ×3": the operations of an architecture, the most frequent first; empty where nothing knows it. */
function operationWords(genotype: unknown): string {
  if (genotype === null) return "";
  const key = JSON.stringify(genotype);
  const known = knownWords.get(key);
  if (known !== undefined) return known;
  const counts = new Map<string, number>();
  try {
    const { space, selection } = architectureOf(genotype);
    for (const [choice, kept] of selection.entries())
      for (const candidate of kept) {
        const { operation } = space.choices[choice].candidates[candidate];
        counts.set(operation, (counts.get(operation) ?? 0) + 1);
      }
  } catch {
    // Of a space that a plug-in adds, which is not loaded here.
  }
  const words = [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([operation, count]) => `${operationLook(operation).label} ×${count}`)
    .join(", ");
  if (knownWords.size > 5000) knownWords.clear();
  knownWords.set(key, words);
  return words;
}

/** Choices and looks of a space; null where nothing here knows it. */
export function spaceInfo(name: string | null): SpaceInfo | null {
  let space: Space;
  try {
    space = findSpace(name ?? "darts");
  } catch {
    return null;
  }
  const names = [
    ...new Set(space.choices.flatMap(({ candidates }) => candidates.map(({ operation }) => operation))),
  ];
  return {
    name: space.name,
    operations: names.map((operation) => {
      const { label, colour } = operationLook(operation);
      return { name: operation, label, ...colour };
    }),
    choices: space.choices.map(({ name, group, kept, candidates }) => ({
      ...{ name, group, kept },
      candidates: candidates.map(
        ({ operation, predecessor }) => [names.indexOf(operation), predecessor] as const,
      ),
    })),
  };
}
