// A file of records, a line each, followed while it grows: from any place on, through truncation, replacement and torn lines.
import { createHash } from "node:crypto";
import type { JsonObject } from "../run/records.js";
import { parseObject, readPart, withFileInside } from "./safe-files.js";

export const recordsName = "metrics.jsonl";
const lineFeed = 10;
const partBytes = 1 << 20;
/** Longer lines are no records. */
const longestLine = 64 << 20;

export interface TailPart {
  /** Whether what was read before is void: the file was cut or replaced. */
  readonly reset: boolean;
  readonly records: readonly JsonObject[];
  /** Whether there is more to read at once. */
  readonly more: boolean;
}

const digestOf = (line: string): string => createHash("sha256").update(line).digest("hex").slice(0, 12);

export class RecordTail {
  private offset = 0;
  private inode: number | null = null;
  /** Lines read, records or not. */
  private lines = 0;
  /** Digest of the last line read. */
  private digest = "";
  private last: { text: string; end: number } | null = null;
  /** Where a reader was that comes back: all up to there is known to it, if it is still the same. */
  private skipTo: { lines: number; digest: string } | null = null;

  /** @param position of an earlier tail of the file, to go on from there */
  constructor(
    private readonly folder: string,
    position = "",
    private readonly name: string = recordsName,
  ) {
    const [, lines, digest] = /^(\d{1,9})-([0-9a-f]{12})$/.exec(position) ?? [];
    if (lines !== undefined && Number(lines) > 0) this.skipTo = { lines: Number(lines), digest };
  }

  /** From which another tail, also of a later server, goes on; empty before the first line. */
  get position(): string {
    return this.lines === 0 ? "" : `${this.lines}-${this.digest}`;
  }

  private begin(inode: number | null): void {
    this.offset = 0;
    this.inode = inode;
    this.lines = 0;
    this.digest = "";
    this.last = null;
  }

  /** Reads what has come since the last call, at most about a megabyte. */
  read(): TailPart {
    const nothing: TailPart = { reset: false, records: [], more: false };
    const found = withFileInside(this.folder, this.name, (file, { size, ino }) => {
      // A file that was cut and has grown beyond the old size meanwhile shows by its last known line.
      const replaced =
        this.inode !== null && (ino !== this.inode || size < this.offset || !this.stands(file));
      if (replaced) this.begin(ino);
      this.inode = ino;
      let length = partBytes;
      let bytes = readPart(file, this.offset, Math.min(length, size - this.offset));
      while (bytes.lastIndexOf(lineFeed) === -1 && bytes.length === length && length < longestLine) {
        length *= 2;
        bytes = readPart(file, this.offset, Math.min(length, size - this.offset));
      }
      return { replaced, bytes, size };
    });
    if (found === null) {
      const had = this.lines > 0;
      this.begin(null);
      return { ...nothing, reset: had };
    }
    const { replaced, bytes, size } = found;
    const whole = bytes.lastIndexOf(lineFeed) + 1;
    const start = this.offset;
    this.offset += whole;
    const texts = bytes.subarray(0, whole).toString("utf8").split("\n").slice(0, -1);
    const records: JsonObject[] = [];
    for (const text of texts) {
      this.lines += 1;
      const skip = this.skipTo;
      if (skip !== null) {
        if (this.lines < skip.lines) continue;
        this.skipTo = null;
        this.digest = digestOf(text);
        if (this.digest === skip.digest) continue;
        // Not what the reader knows: all over again.
        this.begin(this.inode);
        return { reset: true, records: [], more: true };
      }
      const record = parseObject(text);
      if (record !== null) records.push(record);
    }
    if (texts.length > 0) this.lastLine(texts[texts.length - 1], start + whole);
    const more = whole > 0 && this.offset < size;
    if (!more && this.skipTo !== null) {
      // Fewer lines than the reader knows.
      this.skipTo = null;
      this.begin(this.inode);
      return { reset: true, records: [], more: size > 0 };
    }
    return { reset: replaced, records, more };
  }

  private lastLine(text: string, end: number): void {
    this.digest = digestOf(text);
    this.last = { text, end };
  }

  /** Whether the last line read is still where it was. */
  private stands(file: number): boolean {
    if (this.last === null || this.last.end !== this.offset) return true;
    const wanted = Buffer.from(`${this.last.text}\n`);
    return readPart(file, this.offset - wanted.length, wanted.length).equals(wanted);
  }
}

/** The last whole record of a file of records and the time of its last change; null where there is none. */
export function lastRecord(folder: string): JsonObject | null {
  return withFileInside(folder, recordsName, (file, { size }) => {
    for (let length = 1 << 16; ; length *= 4) {
      const start = Math.max(0, size - length);
      const bytes = readPart(file, start, size - start);
      const end = bytes.lastIndexOf(lineFeed);
      const before = end <= 0 ? -1 : bytes.lastIndexOf(lineFeed, end - 1);
      if (end >= 0 && (before >= 0 || start === 0))
        return parseObject(bytes.subarray(before + 1, end).toString("utf8"));
      if (start === 0 || length > longestLine) return null;
    }
  });
}
