// Known accuracies on the command line: `arch show --table`, `search --table`, and the columns of `runs compare`.
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { nasBench201 } from "../src/space/nas-bench-201/space.js";
import { randomSelection } from "../src/space/space.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at, call, json } = line;
const [{ format }] = nasBench201.texts;

beforeAll(() => {
  const drawn = Array.from({ length: 200 }, (_, seed) =>
    format(randomSelection(nasBench201, RandomStream.named(seed, "table"))),
  );
  const texts = new Set([format(nasBench201.named.ResNet_cell.selection), ...drawn]);
  const rows = [...texts].map((text, index) => `${text},${80 + index / 20},${index / 2}`);
  writeFileSync(at("table.csv.gz"), gzipSync(`architecture,validation,test\n${rows.join("\n")}\n`));
});

describe("arch show --table", () => {
  it("prints what the table says below the cells", () => {
    const out = succeed(call("arch", "show", "ResNet_cell", "--table", "table.csv.gz"));
    expect(out).toContain("nor_conv_3x3");
    expect(out).toMatch(/validation +80 %\ntest +0 %\n$/);
    const { genotype, knownAccuracies } = json("arch", "show", "ResNet_cell", "--table", "table.csv.gz");
    expect(genotype.space).toBe("nas-bench-201");
    expect(knownAccuracies).toEqual({ validation: 80, test: 0 });
  });

  it("says when the table does not have them", () => {
    const words = ["arch", "show", "all_nor_conv_3x3", "--table", "table.csv.gz"];
    expect(succeed(call(...words))).toContain("not in table.csv.gz");
    expect(json(...words).knownAccuracies).toBeNull();
  });

  it("refuses a table of another space, a missing one, and forms without a place for it", () => {
    const show = (...words: string[]) => call("arch", "show", ...words);
    fail(show("ISTA_twostage", "--table", "table.csv.gz"), 1, "TABLE_INVALID", "line 2", "darts");
    fail(show("ResNet_cell", "--table", "none.csv"), 1, "FILE_NOT_FOUND", "none.csv");
    fail(show("ResNet_cell", "--table", "table.csv.gz", "--format", "json"), 2, "USAGE", "--format text");
  });
});

describe("a search with a table", () => {
  const search = (name: string, seed: number, ...words: string[]) =>
    call(
      ...["search", "--data", "bundled", "--space", "nas-bench-201", "--cells", "3", "--channels", "2"],
      ...["--limit-train", "64", "--limit-test", "16", "--batch-size", "8", "--epochs", "1"],
      ...["--seed", String(seed), "--name", name, ...words],
    );

  it("shows gap, tau and known accuracies; they stand beside those of other runs", () => {
    const { err } = search("first", 1, "--table", "table.csv.gz", "--ranked-architectures", "3");
    expect(err).toContain("known: ");
    expect(err).toContain("projection gap 0.0 points (only what is kept was ever built): held-out accuracy");
    expect(err).toMatch(/Kendall's tau .*validation, 3 architectures/);
    succeed(search("second", 2));

    const both = succeed(call("runs", "compare", "first", "second"));
    expect(both).toContain("GAP");
    expect(both).toContain("TAU");
    const { runs, groups } = json("runs", "compare", "first", "second");
    expect(runs[0].kendallTau).toMatchObject({ column: "validation", architectures: 3 });
    expect(runs[1].kendallTau).toBeNull();
    expect(groups[0].projectionGap).toMatchObject({ count: 2, mean: 0 });

    // A run that had no table beside it can be looked up afterwards.
    expect(runs[1].knownAccuracies).toBeNull();
    writeFileSync(at("found.csv"), `architecture,test\n${runs[1].genotype.cell},94.25\n`);
    const looked = json("runs", "compare", "first", "second", "--table", "found.csv");
    expect(looked.runs[1].knownAccuracies).toEqual({ test: 94.25 });

    expect(succeed(call("runs", "compare", "second"))).not.toContain("TAU");
    const shown = succeed(call("runs", "show", "first"));
    expect(shown).toMatch(/projection gap +0.00 %/);
    expect(shown).toContain("Kendall's tau");
  });
});
