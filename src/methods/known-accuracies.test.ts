// Whole searches with a table of known accuracies beside them: what is recorded and printed, interruption, and that it decides nothing.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type SearchFlags, searchConfig } from "../../test/support/courses.js";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import type { ErrorCode } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { silentObserver } from "../course/loop.js";
import { readCheckpoint } from "../run/checkpoint.js";
import { RunDirectory } from "../run/directory.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { randomSelection } from "../space/space.js";
import { runSearch } from "./run-search.js";

const { folder, write } = temporaryFolder();
const [{ format }] = nasBench201.texts;

/** A table of 300 architectures, among them those of the given ones. */
function writeTable(name: string, texts: readonly string[]): string {
  const drawn = Array.from({ length: 300 }, (_, seed) =>
    format(randomSelection(nasBench201, RandomStream.named(seed, "table"))),
  );
  const rows = [...new Set([...texts, ...drawn])].map((text, index) => `${text},${index / 10},${index / 5}`);
  return write(name, `architecture,validation,test\n${rows.join("\n")}\n`);
}

const base = { method: "ista-two-stage", space: "nas-bench-201", epochs: 2 } as const;
let runs = 0;

async function search(flags: SearchFlags, stop = (_lines: readonly string[]): boolean => false) {
  const lines: string[] = [];
  const phases = new Set<string>();
  const observer = {
    ...silentObserver,
    line: (text: string) => void lines.push(text),
    progress: ({ phase }: { phase: string }) => void phases.add(phase),
  };
  runs += 1;
  const out = join(folder, `run-${runs}`);
  const control = { observer, stop: () => stop([...lines, ...phases]) };
  const result = await runSearch({ config: searchConfig({ ...base, ...flags }), out }, control);
  return { ...result, lines, observer };
}

const cellOf = (record: { genotype?: unknown } | undefined): string =>
  (record!.genotype as { cell: string }).cell;
const recordsOf = (path: string) => RunDirectory.open(path, "read").records();
const modelOf = (path: string) => readCheckpoint(join(path, "checkpoints/last")).tensors.model;

describe("a search with a table", () => {
  it("records what the table says, and finds what it finds without one", async () => {
    const plain = await search({});
    expect(plain.summary).toMatchObject({ knownAccuracies: null, kendallTau: null, projectionGap: 0 });
    expect(plain.summary.superNetAccuracy).toBeGreaterThanOrEqual(0);
    expect(plain.lines.join("\n")).toContain("projection gap 0.0 points");
    expect(recordsOf(plain.path).some((record) => "knownAccuracies" in record)).toBe(false);

    const cells = recordsOf(plain.path).map((record) => cellOf(record));
    const table = writeTable("known.csv", cells.slice(-1));
    const known = await search({ table, rankedArchitectures: 3 });
    expect(known.summary.knownAccuracies).toEqual({ validation: 0, test: 0 });
    expect(known.summary.genotype).toEqual(plain.summary.genotype);
    expect(modelOf(known.path)).toEqual(modelOf(plain.path));
    const records = recordsOf(known.path);
    expect(records.map((record) => cellOf(record))).toEqual(cells);
    expect(records.at(-1)!.knownAccuracies).toEqual({ validation: 0, test: 0 });
    expect(known.lines.join("\n")).toContain("known: validation 0 %, test 0 %");

    expect(known.summary.kendallTau).toMatchObject({ column: "validation", architectures: 3 });
    expect(known.lines.join("\n")).toMatch(
      /Kendall's tau .* and validation, 3 architectures; \d+ of their \d+ candidates/,
    );
    const ranking = JSON.parse(readFileSync(join(known.path, "ranking.json"), "utf8"));
    expect(ranking).toMatchObject(known.summary.kendallTau!);
    expect(ranking.rows).toHaveLength(3);
    expect(known.summary.projectionGap).toBe(0);
  });

  it("says when the table does not have the architecture", async () => {
    const table = write("other.csv", `architecture,test\n${format([[0], [0, 5], [0, 5, 10]])},10\n`);
    const { summary, lines, path } = await search({ table, epochs: 1 });
    expect(summary.knownAccuracies).toBeNull();
    expect(recordsOf(path)[0].knownAccuracies).toBeNull();
    expect(lines).toContain("  known: not in the table");
  });

  it("stopped in the ranking goes on to the same end, also with a table that moved", async () => {
    const table = writeTable("ranked.csv", []);
    const whole = await search({ table, rankedArchitectures: 4 });
    const stopped = await search({ table, rankedArchitectures: 4 }, (said) => said.includes("ranking"));
    expect(stopped.status).toBe("interrupted");
    expect(stopped.summary).toMatchObject({
      status: "interrupted",
      epochs: 2,
      kendallTau: null,
      projectionGap: null,
    });
    expect(existsSync(join(stopped.path, "ranking.json"))).toBe(false);
    const moved = write("moved.csv", readFileSync(table));
    const control = { observer: stopped.observer, stop: () => false };
    const result = await runSearch({ resume: stopped.path, flags: { table: moved } }, control);
    expect(result.status).toBe("finished");
    const { kendallTau, knownAccuracies, genotype, superNetAccuracy, projectionGap } = whole.summary;
    expect(result.summary).toMatchObject({
      kendallTau,
      knownAccuracies,
      genotype,
      superNetAccuracy,
      projectionGap,
    });
    expect(readFileSync(join(result.path, "ranking.json"), "utf8")).toBe(
      readFileSync(join(whole.path, "ranking.json"), "utf8"),
    );
  });

  it("stopped in the measurement of the gap goes on, too", async () => {
    const stopped = await search({ epochs: 1 }, (said) => said.some((line) => line.startsWith("epoch 1/1")));
    expect(stopped.summary).toMatchObject({ status: "interrupted", projectionGap: null });
    const control = { observer: silentObserver, stop: () => false };
    const { summary } = await runSearch({ resume: stopped.path, flags: {} }, control);
    expect(summary).toMatchObject({ status: "finished", projectionGap: 0 });
  });

  it("that trains its network measures the gap and leaves the ranking out", async () => {
    const table = writeTable("one-stage.csv", []);
    const flags = { method: "ista-one-stage", trainEpochs: 1, epochs: 1, validationFraction: 0.25 };
    const { summary, lines, path } = await search({ ...flags, table, rankedArchitectures: 2 });
    expect(summary).toMatchObject({ projectionGap: 0, kendallTau: null });
    expect(summary.testAccuracy).not.toBeNull();
    expect(lines.join("\n")).toContain("no architectures are ranked");
    expect(existsSync(join(path, "ranking.json"))).toBe(false);
  });

  it("without held-out images measures nothing", async () => {
    const { summary } = await search({
      method: "ista-one-stage",
      trainEpochs: 0,
      epochs: 1,
      validationFraction: 0,
    });
    expect(summary).toMatchObject({ projectionGap: null, superNetAccuracy: null, kendallTau: null });
  });
});

describe("other methods", () => {
  it.each(["darts", "pc-darts"])(
    "%s has a gap between its mixture and what it keeps, and ranks",
    async (method) => {
      const table = writeTable(`${method}.csv`, []);
      const rest = method === "pc-darts" ? { restEpochs: 0 } : {};
      const flags = { method, channels: 4, epochs: 1, table, rankedArchitectures: 2, ...rest };
      const { summary } = await search(flags);
      expect(summary.superNetAccuracy).toBeGreaterThanOrEqual(0);
      expect(Math.abs(summary.projectionGap!)).toBeLessThanOrEqual(1);
      const { candidates, trainedCandidates, architectures } = summary.kendallTau!;
      expect(architectures).toBe(2);
      expect(trainedCandidates).toBe(candidates);
    },
  );

  it("spos has shared weights to rank with, and no mixture", async () => {
    const table = writeTable("spos.csv", []);
    const flags = { method: "spos", epochs: 1, evaluations: 4, population: 2, survivors: 1 };
    const { summary, lines } = await search({ ...flags, table, rankedArchitectures: 2 });
    expect(summary).toMatchObject({ projectionGap: null, kendallTau: { architectures: 2 } });
    expect(lines.some((line) => line.startsWith("known accuracies of the found architecture: "))).toBe(true);
  });

  it("trials rank by trials, and find the same without", async () => {
    const table = writeTable("trials.csv", []);
    const trials = { epochs: 3, trialSteps: 2, warmupTrials: 2, heldOutImages: 32, finalists: 0 };
    const flags = { method: "ista-trials", ...trials };
    const { summary, lines, path } = await search({ ...flags, table, rankedArchitectures: 3 });
    expect(summary).toMatchObject({ projectionGap: null, kendallTau: { architectures: 3 } });
    expect(lines.join("\n")).toMatch(/Kendall's tau .* between accuracies after trials and validation, 3/);
    const alone = await search(flags);
    expect(alone.summary.genotype).toEqual(summary.genotype);
    expect([...modelOf(alone.path)]).toEqual([...modelOf(path)]);
  });

  it("random has neither", async () => {
    const table = writeTable("random.csv", []);
    const flags = { method: "random", candidates: 2, epochs: 2 };
    const { summary, lines } = await search({ ...flags, table, rankedArchitectures: 2 });
    expect(summary).toMatchObject({ projectionGap: null, kendallTau: null });
    expect(lines.join("\n")).toContain("no architectures are ranked");
  });
});

describe("before anything is written", () => {
  const untouched = (): string => join(folder, `run-${runs}`);

  it.each<[SearchFlags, ErrorCode, ...string[]]>([
    [
      { rankedArchitectures: 3 },
      "CONFIG_VALUE",
      "--ranked-architectures 3: expected a table",
      "--table FILE",
    ],
    [{ table: "none.csv" }, "FILE_NOT_FOUND", "none.csv"],
  ])("%j is refused", async (flags, code, ...words) => {
    await expectError(() => search(flags), code, ...words);
    expect(existsSync(untouched())).toBe(false);
  });

  it("so are a ranking without held-out images, and a table of another space", async () => {
    const table = writeTable("fine.csv", []);
    const flags = { method: "ista-one-stage", validationFraction: 0, table, rankedArchitectures: 1 };
    await expectError(() => search(flags), "CONFIG_VALUE", "held-out images", "--validation-fraction");
    await expectError(() => search({ table, space: "darts" }), "TABLE_INVALID", "line 2", "--space");
    expect(existsSync(untouched())).toBe(false);
  });
});
