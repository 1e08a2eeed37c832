// Tests of the small text helpers: duplicate JSON keys, nearest names, numbers for people, tables, colour.
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { formatBytes, formatCount, formatDuration, formatPercent, formatTable } from "./format.js";
import { duplicateKey } from "./json.js";
import { editDistance, nearest, suggestion } from "./nearest.js";
import { hasColour, printable, printableJson, printableLines, styled } from "./terminal.js";

describe("duplicate keys", () => {
  it.each([
    ['{"a":1,"a":2}', "a"],
    ['{"a":1,"\\u0061":2}', "a"],
    ['{"x":[{"b" : 1, "c":{"b":0}, "b":2}]}', "b"],
    ['{"__proto__":1,"__proto__":2}', "__proto__"],
    ['{"a\\\\":1,"a\\"":2,"a\\\\":3}', "a\\"],
    ['{"a":"a","b":{"a":"b:"}}', null],
    ['["a","a",{"a":1},{"a":1}]', null],
    ['"a"', null],
  ])("%s: %j", (text, key) => {
    expect(duplicateKey(text)).toBe(key);
  });

  it("finds none in what JSON.stringify writes, and the one that was added", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.json()), (value) => {
        const text = JSON.stringify(value);
        expect(duplicateKey(text)).toBeNull();
        const [key] = Object.keys(value);
        if (key !== undefined)
          expect(duplicateKey(`${text.slice(0, -1)},${JSON.stringify(key)}:0}`)).toBe(key);
      }),
    );
  });

  it("reads strings of any length", () => {
    expect(duplicateKey(`{"a":"${"\\n".repeat(5_000_000)}","a":0}`)).toBe("a");
  });
});

describe("nearest names", () => {
  it("counts a swap as one step", () => {
    expect(editDistance("lambda", "lamdba")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  it("finds what was meant across spellings, and nothing for what is far", () => {
    const known = ["batchSize", "learningRate", "epochs"];
    expect(nearest("batch-size", known)).toBe("batchSize");
    expect(nearest("epoch", known)).toBe("epochs");
    expect(nearest("learnignRate", known)).toBe("learningRate");
    expect(nearest("zebra", known)).toBeNull();
    expect(nearest("e".repeat(1e6), known)).toBeNull();
    expect(suggestion("epoch", known)).toBe("did you mean epochs?");
    expect(suggestion("zebra", known)).toContain("batchSize, learningRate, epochs");
  });
});

describe("numbers for people", () => {
  it.each([
    [0.0042, "4 ms"],
    [12.34, "12.3 s"],
    [59.96, "1 min 00 s"],
    [200, "3 min 20 s"],
    [3599.7, "1 h 00 min"],
    [3840, "1 h 04 min"],
    [60 * 3600 * 2, "5 d 0 h"],
    [Number.POSITIVE_INFINITY, "?"],
  ])("%d seconds: %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it("bytes, counts, shares", () => {
    expect([0, 1023, 1024, 1.45 * 2 ** 30].map(formatBytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "1.4 GiB"]);
    expect([0, 950, 999_600, 3_316_726, 515_226_000].map(formatCount)).toEqual([
      "0",
      "950",
      "1.00 M",
      "3.32 M",
      "515 M",
    ]);
    expect(formatPercent(0.91254)).toBe("91.25 %");
  });

  it("tables align numbers at the right and leave no blanks at line ends", () => {
    const rows = [
      { name: "a", value: 5 },
      { name: "longer", value: 12345 },
    ];
    const table = formatTable(rows, [
      { title: "VALUE", align: "right", cell: (row) => String(row.value) },
      { title: "NAME", cell: (row) => row.name },
    ]);
    expect(table).toBe("VALUE  NAME\n    5  a\n12345  longer");
  });
});

describe("colour", () => {
  const saved = { ...process.env };
  afterEach(() => {
    process.env = { ...saved };
  });
  const terminal = { isTTY: true } as NodeJS.WriteStream;

  it("is for terminals, unless NO_COLOR or a dumb one", () => {
    process.env = { TERM: "xterm" };
    expect(hasColour(terminal)).toBe(true);
    expect(hasColour({} as NodeJS.WriteStream)).toBe(false);
    expect(styled("x", "red", terminal)).toBe("\u001b[31mx\u001b[39m");
    process.env = { TERM: "xterm", NO_COLOR: "1", FORCE_COLOR: "1" };
    expect(styled("x", "red", terminal)).toBe("x");
    process.env = { TERM: "dumb" };
    expect(hasColour(terminal)).toBe(false);
    process.env = { FORCE_COLOR: "1" };
    expect(hasColour({} as NodeJS.WriteStream)).toBe(true);
  });

  it("never passes on control characters, line ends and direction marks of others", () => {
    const hostile = "a\u001b[2Jb\u0007\tc\nd\u009b\u202ee\u2066\u2028\u061c\u00e4\u{1f600}";
    const shown = "a\\x1b[2Jb\\x07\\tc\\nd\\x9b\\u202ee\\u2066\\u2028\\u061c\u00e4\u{1f600}";
    expect(printable(hostile)).toBe(shown);
    expect(printableLines("x\ny\r")).toBe("x\ny\\r");
    const json = printableJson({ [hostile]: hostile }, 2);
    expect(json).toMatch(/^\{\n {2}"[\x20-\x7eä😀]*"\n\}$/u);
    expect(JSON.parse(json)).toEqual({ [hostile]: hostile });
    expect(formatTable([hostile], [{ title: "NAME", cell: (name) => name }])).toBe(`NAME\n${shown}`);
  });
});
