// metrics.jsonl: one JSON record a line, appended and flushed; a line that a kill or a full disk tore is recognised.
import fs from "node:fs";
import { IstaError } from "../base/errors.js";
import { onFile, readFileLimited, writeFully } from "../base/files.js";
import { jsonParts } from "../base/json.js";

export type JsonObject = { readonly [key: string]: unknown };

const maximumBytes = 64 << 20;
/** Objects, lists and texts of all records: ten thousand epochs have some two million. */
const maximumParts = 4_000_000;
const lineFeed = 10;

/**
 * The whole records of a file and how many bytes they take; a torn last line (no line feed at its end) is left out.
 * @throws IstaError RUN_DAMAGED naming the line that is not a JSON object.
 */
export function readRecords(path: string): { records: JsonObject[]; bytes: number; torn: boolean } {
  if (!fs.existsSync(path)) return { records: [], bytes: 0, torn: false };
  const content = readFileLimited(path, maximumBytes);
  if (jsonParts(content) > maximumParts)
    throw new IstaError(
      "FILE_TOO_LARGE",
      `read ${path}: expected records of at most ${maximumParts} objects, lists and texts, got more`,
    );
  const bytes = content.lastIndexOf(lineFeed) + 1;
  const lines = content.subarray(0, bytes).toString("utf8").split("\n").slice(0, -1);
  const records = lines.map((line, index) => {
    let record: unknown = null;
    try {
      record = JSON.parse(line);
    } catch {
      // Reported below, together with lines that are JSON but no object.
    }
    if (record === null || typeof record !== "object" || Array.isArray(record)) {
      throw new IstaError(
        "RUN_DAMAGED",
        `read ${path}: line ${index + 1} is not a record; restore or cut the file`,
      );
    }
    return record as JsonObject;
  });
  return { records, bytes, torn: bytes < content.length };
}

/** Appends a record and flushes it; on failure the file is as before. @throws IstaError FILE_DISK_FULL, ... */
export function appendRecord(path: string, record: JsonObject): void {
  onFile("append to", path, () => {
    const file = fs.openSync(path, "a");
    try {
      const before = fs.fstatSync(file).size;
      try {
        writeFully(file, [Buffer.from(`${JSON.stringify(record)}\n`)]);
        fs.fsyncSync(file);
      } catch (error) {
        fs.ftruncateSync(file, before);
        throw error;
      }
    } finally {
      fs.closeSync(file);
    }
  });
}

/** Cuts a file to its first `count` records, a torn line included; returns how many there are then: fewer, if some were lost. */
export function truncateRecords(path: string, count: number): number {
  const { records, bytes, torn } = readRecords(path);
  if (records.length <= count && !torn) return records.length;
  onFile("cut", path, () => {
    const content = readFileLimited(path, maximumBytes);
    let end = 0;
    for (let line = 0; line < count && end < bytes; line++) end = content.indexOf(lineFeed, end) + 1;
    fs.truncateSync(path, end);
  });
  return Math.min(records.length, count);
}
