// The records of runs as rows of plain values, for spreadsheets and programs that follow experiments.
import { join } from "node:path";
import type { RunDirectory } from "./directory.js";
import { stepsFileName } from "./growing-files.js";
import { type JsonObject, readRecords } from "./records.js";

export type Row = ReadonlyMap<string, string | number | boolean | null>;

const isScalar = (value: unknown): value is string | number | boolean | null =>
  value === null || typeof value !== "object";

/** Nested values by their path, `choices.normal node 2.residual`; lists of plain values with blanks between them. */
function* flattened(value: unknown, path: string): Generator<[string, string | number | boolean | null]> {
  if (isScalar(value)) yield [path, value];
  else if (Array.isArray(value) && value.every(isScalar)) yield [path, value.join(" ")];
  else
    for (const [key, part] of Object.entries(value as object)) {
      // A choice has a name, which says more than its number.
      const named = (part as { choice?: unknown } | null)?.choice;
      const name = Array.isArray(value) && typeof named === "string" ? named : key;
      yield* flattened(part, path === "" ? name : `${path}.${name}`);
    }
}

/** A record of an epoch with the run that it is of, and how many steps were taken until its end. */
export interface EpochRecord extends JsonObject {
  readonly run: string;
  readonly kind: string;
  readonly seed: number;
  readonly step: number;
}

/** @throws IstaError RUN_DAMAGED, CONFIG_* */
export function epochRecords(run: RunDirectory): EpochRecord[] {
  const { kind, seed } = run.meta;
  const { batchSize } = run.config(kind);
  let step = 0;
  return run.records().map((record) => {
    const { steps, images } = record as { steps?: number; images?: number };
    // Earlier programs did not record steps; all batches but the last of an epoch are whole ones.
    step += steps ?? Math.ceil((images ?? 0) / batchSize);
    return { run: run.name, kind, seed, step, ...record };
  });
}

/** The rows of `--log-every` with the run that they are of; none where the run has none. @throws IstaError RUN_DAMAGED */
export function stepRecords(run: RunDirectory): JsonObject[] {
  const { kind, seed } = run.meta;
  return readRecords(join(run.path, stepsFileName)).records.map((row) => ({
    run: run.name,
    kind,
    seed,
    ...row,
  }));
}

/** Epochs as rows with a column for every value. */
export const flatRows = (records: readonly JsonObject[]): Row[] =>
  records.map((record) => new Map(flattened(record, "")));

/** Column names of rows, in the order in which they come first, and the rows as texts; empty where a row has no such value. */
export function tableOf(rows: readonly Row[]): string[][] {
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  return [columns, ...rows.map((row) => columns.map((column) => String(row.get(column) ?? "")))];
}
