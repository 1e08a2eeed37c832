// Tables of known accuracies: what is found for an architecture, and what is refused.
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import { mutate } from "../../test/support/mutate.js";
import { IstaError } from "../base/errors.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { AccuracyTable } from "./accuracy-table.js";
import { formatGenotypeJson } from "./genotype-json.js";

const { folder, write } = temporaryFolder();
const [{ format }] = nasBench201.texts;
const { all_nor_conv_3x3: convolutions, ResNet_cell: residual } = nasBench201.named;
const [first, second] = [convolutions, residual].map(({ selection }) => format(selection));
const head = "architecture,validation,test";
const good = `${head}\n${first},90.2,93.76\n${second},85,1e1\n`;

let files = 0;
function read(content: string | Uint8Array, space = nasBench201): AccuracyTable {
  files += 1;
  return AccuracyTable.read(write(`${files}.csv`, content), space);
}

describe("a table", () => {
  it("gives the accuracies of an architecture by the names of the columns", () => {
    const table = read(good);
    expect(table.columns).toEqual(["validation", "test"]);
    expect(table.lookup(convolutions.selection)).toEqual({ validation: 90.2, test: 93.76 });
    expect(table.lookup(residual.selection)).toEqual({ validation: 85, test: 10 });
    expect(table.lookup([[0], [0, 5], [0, 5, 10]])).toBeNull();
  });

  it.each([
    ["gzipped, whatever its name", gzipSync(good)],
    ["with CRLF and a byte order mark", `\ufeff${good.replaceAll("\n", "\r\n")}`],
    ["with quotes and blanks", good.replace(first, `" ${first} "`).replace("90.2", '" 90.2 "')],
    ["with the architectures last", `validation,test,architecture\n90.2,93.76,${first}\n85,10.0,${second}`],
    [
      "in the JSON form",
      good.replace(
        first,
        JSON.stringify(formatGenotypeJson({ space: nasBench201, ...convolutions }))
          .replaceAll('\\"', '""')
          .replace("\\n", ""),
      ),
    ],
  ])("may be %s", (_, content) => {
    const table = read(content);
    expect(table.lookup(convolutions.selection)).toEqual({ validation: 90.2, test: 93.76 });
    expect(table.lookup(residual.selection)).toEqual({ validation: 85, test: 10 });
  });

  it("finds architectures whose candidates stand in another order", () => {
    const shuffled = residual.selection.map((chosen) => chosen.toReversed());
    expect(read(good).lookup(shuffled)).toEqual({ validation: 85, test: 10 });
  });

  it("may be of any space that has a text", () => {
    const { selection } = darts.named.ISTA_twostage;
    const python = darts.texts[0].format(selection).replaceAll('"', '""').replace(/\s+/g, " ");
    const table = read(`architecture,test\n"${python}",97.4\n`, darts);
    expect(table.lookup(selection)).toEqual({ test: 97.4 });
    const other = selection.map((chosen) => chosen.toReversed());
    expect(table.lookup(other)).toEqual({ test: 97.4 });
  });

  it("may leave fields empty: those accuracies are not known", () => {
    const table = read(`${head}\n${first},,93.76\n${second},85, \n`);
    expect(table.lookup(convolutions.selection)).toEqual({ test: 93.76 });
    expect(table.architectures("validation")).toEqual([residual.selection]);
    expect(table.architectures("test")).toEqual([convolutions.selection]);
  });

  it("lists architectures in the same order, whatever that of the rows", () => {
    const turned = `${head}\n${second},85,10\n${first},90.2,93.76\n`;
    expect(read(turned).architectures("test")).toEqual(read(good).architectures("test"));
  });

  it("knows which column is of validation images, if one is", () => {
    expect(read(good.replace("validation,test", "test,valid")).validationColumn).toBe("valid");
    expect(read(good.replace("validation,test", "b,a")).validationColumn).toBe("b");
  });

  it("keeps columns with names of any kind", () => {
    const table = read(good.replace("validation,test", "__proto__,constructor"));
    expect(Object.entries(table.lookup(convolutions.selection)!)).toEqual([
      ["__proto__", 90.2],
      ["constructor", 93.76],
    ]);
    expect(table.architectures("toString")).toEqual([]);
  });
});

describe("a file is refused", () => {
  it.each<[string, string | Uint8Array, ...string[]]>([
    ["that is empty", "", "expected a first line"],
    ["without rows", `${head}\n`, "expected rows"],
    [
      "without architectures",
      good.replace("architecture", "arch"),
      "line 1: expected a column architecture",
      '"arch"',
    ],
    ["without accuracies", `architecture\n${first}\n`, "expected columns of accuracies"],
    ["with a column twice", good.replace("test", "validation"), "expected every column once"],
    ["with a column without a name", good.replace("test", ""), "expected printable names"],
    ["with too few fields", good.replace(",1e1", ""), "line 3: expected 3 fields", "got 2"],
    ["with a row twice", `${good}\n${first},1,2\n`, "line 5: expected every architecture once", "of line 2"],
    [
      "with a number above 100",
      good.replace("93.76", "937.6"),
      "line 2: expected a number of 0 to 100",
      "test",
      '"937.6"',
    ],
    ["with a number below 0", good.replace("93.76", "-1"), "line 2", '"-1"'],
    ["with words", good.replace("93.76", "high"), "line 2", '"high"', "leave columns out"],
    ["with hexadecimal numbers", good.replace("93.76", "0x10"), "line 2", '"0x10"'],
    [
      "with an unknown operation",
      good.replace(/nor_conv_3x3/, "conv_9x9"),
      "line 2: expected an architecture of nas-bench-201",
      "conv_9x9",
    ],
    ["with a text of another space", good.replace(first, "Genotype"), "line 2", "text or JSON", "--space"],
    [
      "with JSON of another space",
      good.replace(
        first,
        JSON.stringify(formatGenotypeJson({ space: darts, ...darts.named.ISTA_twostage }))
          .replaceAll('\\"', '""')
          .replaceAll("\\n", ""),
      ),
      "line 2",
      "got one of darts",
    ],
    ["with a quote that is not closed", good.replace(first, `"${first}`), "line 2", "closing quote"],
    ["that is no text", Uint8Array.of(0xff, 0xfe, 0x41), "expected CSV in UTF-8"],
    ["that is half of a gzip file", gzipSync(good).subarray(0, 40), "expected gzip data", "copy it again"],
  ])("%s", async (_, content, ...words) => expectError(() => read(content), "TABLE_INVALID", ...words));

  it("that decompresses to more than any table has", async () => {
    const bomb = gzipSync(Buffer.alloc(65 << 20));
    await expectError(() => read(bomb), "FILE_TOO_LARGE", "gzip");
  });

  it("that is not there", () =>
    expectError(() => AccuracyTable.read(`${folder}/none.csv`, nasBench201), "FILE_NOT_FOUND", "none.csv"));

  it("with one clear line, whatever is wrong with it", () => {
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), (seed, gzipped) => {
        const whole = Buffer.from(good);
        const content = gzipped ? gzipSync(mutate(whole, seed)) : mutate(whole, seed);
        try {
          for (const value of Object.values(read(content).lookup(convolutions.selection) ?? {}))
            expect(value).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect(error).toBeInstanceOf(IstaError);
          expect((error as IstaError).code).toBe("TABLE_INVALID");
          expect((error as IstaError).message).not.toContain("\n");
        }
      }),
      { numRuns: 300 },
    );
  });
});
