// CSV by RFC 4180: what is written comes back, whatever the quotes and line ends.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectError } from "../../test/support/data.js";
import { formatCsv, parseCsv } from "./csv.js";

const fieldsOf = (text: string): (readonly string[])[] => parseCsv(text, "t.csv").map(({ fields }) => fields);

describe("parseCsv", () => {
  it.each([
    [
      "plain rows",
      "a,b\n1,2\n",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "no line end at the end",
      "a,b\n1,2",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "CRLF and CR",
      "a,b\r\n1,2\r3,4",
      [
        ["a", "b"],
        ["1", "2"],
        ["3", "4"],
      ],
    ],
    ["a byte order mark, also before a quote", '\ufeff"a",b\n', [["a", "b"]]],
    ["commas, doubled quotes and line ends between quotes", '"x, ""y""\r\nz",2\n', [['x, "y"\r\nz', "2"]]],
    ["quotes inside a plain field", 'a"b,c\n', [['a"b', "c"]]],
    [
      "empty fields",
      ',\n"",\n',
      [
        ["", ""],
        ["", ""],
      ],
    ],
    ["empty lines, left out", "\na\n\n  \nb\n\n", [["a"], ["b"]]],
    ["nothing", "", []],
  ])("reads %s", (_, text, expected) => expect(fieldsOf(text)).toEqual(expected));

  it("says in which line a row begins", () => {
    const rows = parseCsv('a\r\n"b\nc\nd",e\n\nf\n', "t.csv");
    expect(rows.map(({ line }) => line)).toEqual([1, 2, 6]);
  });

  it("gives back what was written", () => {
    const field = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "é") });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(field, field), { maxLength: 6 }),
        fc.constantFrom("\n", "\r\n"),
        (rows, end) => {
          const text = rows
            .map((row) => row.map((one) => `"${one.replaceAll('"', '""')}"`).join(",") + end)
            .join("");
          expect(fieldsOf(text)).toEqual(rows);
        },
      ),
    );
  });

  it("names the line of a quote that is wrong", async () => {
    await expectError(
      () => parseCsv('a\n"b\nc', "t.csv"),
      "TABLE_INVALID",
      "t.csv",
      "line 2",
      "closing quote",
    );
    await expectError(() => parseCsv('a\n"b\nc"d,e', "t.csv"), "TABLE_INVALID", "line 3", 'got "d"');
  });
});

it("formatCsv writes what parseCsv reads", () => {
  expect(
    formatCsv([
      ["a", 'b"c'],
      ["1,2", ""],
    ]),
  ).toBe('a,"b""c"\n"1,2",\n');
  const rows = fc.array(fc.array(fc.string(), { minLength: 2, maxLength: 4 }), { maxLength: 5 });
  // A mark at the very beginning is read as one of byte order.
  fc.assert(
    fc.property(rows, (fields) => {
      expect(fieldsOf(`x,y\n${formatCsv(fields)}`)).toEqual([["x", "y"], ...fields]);
    }),
  );
});
