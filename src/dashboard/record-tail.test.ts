// Records followed as they come: whole lines only, from where a reader was, and anew where the file is not what it was.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { lastRecord, RecordTail } from "./record-tail.js";

const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "ista-nas-tail-")));
const file = join(folder, "metrics.jsonl");
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
beforeEach(() => fs.rmSync(file, { force: true }));

const line = (epoch: number, loss = 1): string => `${JSON.stringify({ epoch, loss })}\n`;
const write = (...lines: string[]): void => fs.writeFileSync(file, lines.join(""));
const append = (text: string): void => fs.appendFileSync(file, text);

function everything(tail: RecordTail): { reset: boolean; epochs: unknown[] } {
  const epochs: unknown[] = [];
  let reset = false;
  for (let more = true; more; ) {
    const part = tail.read();
    if (part.reset) epochs.length = 0;
    reset ||= part.reset;
    epochs.push(...part.records.map(({ epoch }) => epoch));
    more = part.more;
  }
  return { reset, epochs };
}

describe("RecordTail", () => {
  it("tells each record once, when its line is whole", () => {
    const tail = new RecordTail(folder);
    expect(everything(tail)).toEqual({ reset: false, epochs: [] });
    write(line(0), line(1).slice(0, 7));
    expect(everything(tail)).toEqual({ reset: false, epochs: [0] });
    append(line(1).slice(7));
    expect(everything(tail)).toEqual({ reset: false, epochs: [1] });
    expect(everything(tail)).toEqual({ reset: false, epochs: [] });
  });

  it("begins anew where the file was cut, also when it has grown beyond its old size since", () => {
    const tail = new RecordTail(folder);
    write(line(0), line(1), line(2));
    everything(tail);
    write(line(0));
    expect(everything(tail)).toEqual({ reset: true, epochs: [0] });
    append(line(1));
    everything(tail);
    fs.truncateSync(file, line(0).length);
    append(line(1, 0.123456789) + line(2) + line(3));
    expect(everything(tail)).toEqual({ reset: true, epochs: [0, 1, 2, 3] });
  });

  it("goes on from the position of an earlier one", () => {
    const first = new RecordTail(folder);
    write(line(0), line(1));
    everything(first);
    append(line(2) + line(3));
    expect(everything(new RecordTail(folder, first.position))).toEqual({ reset: false, epochs: [2, 3] });
    const second = new RecordTail(folder, first.position);
    everything(second);
    expect(everything(new RecordTail(folder, second.position))).toEqual({ reset: false, epochs: [] });
  });

  it("tells all where that position is not in the file any more", () => {
    const first = new RecordTail(folder);
    write(line(0), line(1), line(2));
    everything(first);
    write(line(0), line(1), line(2, 5), line(3));
    expect(everything(new RecordTail(folder, first.position))).toEqual({ reset: true, epochs: [0, 1, 2, 3] });
    write(line(0));
    expect(everything(new RecordTail(folder, first.position))).toEqual({ reset: true, epochs: [0] });
    expect(everything(new RecordTail(folder, "nonsense")).epochs).toEqual([0]);
  });

  it("reads files of many megabytes and lines of one, and skips lines that are no records", () => {
    const long = `${JSON.stringify({ epoch: 0, text: "x".repeat(3 << 20) })}\n`;
    write(long, "no record\n", ...Array.from({ length: 5000 }, (_, index) => line(index + 1)));
    expect(everything(new RecordTail(folder)).epochs).toEqual(
      Array.from({ length: 5001 }, (_, index) => index),
    );
    expect(lastRecord(folder)).toMatchObject({ epoch: 5000 });
    write(long);
    expect(lastRecord(folder)).toMatchObject({ epoch: 0 });
    append("{torn");
    expect(lastRecord(folder)).toMatchObject({ epoch: 0 });
  });

  it("follows no link", () => {
    const outside = join(folder, "outside");
    fs.writeFileSync(outside, line(7));
    fs.symlinkSync(outside, file);
    expect(everything(new RecordTail(folder)).epochs).toEqual([]);
    expect(lastRecord(folder)).toBeNull();
  });
});
