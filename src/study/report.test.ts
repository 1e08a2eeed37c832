// Reports on made-up run directories: figures, pairs, what is refused, what is left out, and every form of output.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/support/data.js";
import type { IstaError } from "../base/errors.js";
import { jsonText } from "../base/files.js";
import { resolveConfig } from "../config/config.js";
import { parseCsv } from "../formats/csv.js";
import { RunDirectory } from "../run/directory.js";
import { withTable } from "../run/known-accuracies.js";
import type { RunSummary } from "../run/summary.js";
import { collectRuns } from "./collect.js";
import { openStudy, runsOf } from "./directory.js";
import { studyOfMethods } from "./plan.js";
import { type ReportOptions, reportOf } from "./report.js";
import { drawReportSvg, writeReportFiles } from "./report-files.js";
import { formatArmsCsv, formatMarkdown, formatReport, formatRunsCsv } from "./report-text.js";

const { folder: root } = temporaryFolder();
let number = 0;
let folder: string;
beforeEach(() => {
  folder = join(root, String(number++));
  mkdirSync(folder);
});

interface Made {
  options?: Record<string, unknown>;
  summary?: Partial<RunSummary> | null;
  dataIdentity?: string;
  version?: string;
}

/** A run directory with a summary. */
function make(
  name: string,
  method: string,
  seed: number,
  { options, summary, dataIdentity, version }: Made = {},
) {
  const { config } = resolveConfig("search", {
    flags: { method, data: "bundled", epochs: 20, seed, ...options },
  });
  const run = RunDirectory.create({
    ...{ kind: "search" as const, config, out: join(folder, name), command: [] },
    dataIdentity: dataIdentity ?? "same",
  });
  if (summary !== null)
    run.writeSummary({
      ...{ status: "finished", arch: name, method, seed, epochs: 20, seconds: 10 },
      ...{ processorSeconds: 15, peakMemoryBytes: 2 ** 28, parameters: 1000, dataset: "bundled" },
      ...summary,
    });
  run.close();
  if (version !== undefined) {
    const meta = { ...run.meta, versions: { "ista-nas": version } };
    writeFileSync(join(run.path, "meta.json"), jsonText(meta));
  }
  return run.path;
}

/** Per cent of held-out images by seed. */
const make3 = (method: string, values: number[], made: Made = {}): string[] =>
  values.map((value, seed) =>
    make(`${method}-${seed}`, method, seed, { ...made, summary: { validationAccuracy: value / 100 } }),
  );

const report = async (places: string[] = [folder], options: ReportOptions = {}) =>
  reportOf(await collectRuns(places), options);

async function refusal(places?: string[], options?: ReportOptions): Promise<IstaError> {
  return report(places, options).then(
    () => expect.fail("expected an error"),
    (error) => error,
  );
}

describe("a report", () => {
  it("has figures of each arm, and differences to random by seed", async () => {
    make3("spos", [91, 93, 95]);
    make3("random", [90, 91, 92, 70]);
    const { column, baseline, arms, differences, armsDifferIn, missing } = await report();
    expect({ column, baseline, missing }).toEqual({
      column: "validationAccuracy",
      baseline: "random",
      missing: [],
    });
    expect(armsDifferIn).toEqual(["method"]);
    const spos = arms.find(({ arm }) => arm === "spos")!;
    expect(spos).toMatchObject({
      ...{ count: 3, deviation: 2, peakMemoryBytes: 2 ** 28 },
      ...{ best: { value: 95, seed: 2 }, worst: { value: 91, seed: 0 } },
    });
    expect(spos.mean).toBeCloseTo(93, 10);
    expect(spos.processorSeconds).toMatchObject({ mean: 15 });
    // The fourth seed has no partner.
    expect(differences).toMatchObject([{ arm: "spos", count: 3, difference: { permutation: { p: 0.25 } } }]);
    expect(differences[0].difference!.mean).toBeCloseTo(2, 10);
    const unpaired = await report([folder], { unpaired: true, baseline: "spos" });
    expect(unpaired).toMatchObject({ paired: false, differences: [{ arm: "random", count: 4 }] });
    expect(unpaired.differences[0].difference!.permutation).toMatchObject({ exact: true, drawn: 35 });
  });

  it("is the same as tables, Markdown, CSV and a figure", async () => {
    make3("spos", [91, 93, 95]);
    make3("random", [90, 91, 92]);
    make("unfinished", "spos", 7, { summary: { status: "interrupted", epochs: 3 } });
    const found = await report();
    const text = formatReport(found);
    expect(text).toMatch(/^spos +3 +93\.00 +2\.00 +88\.03 to 97\.97 +95\.00 +91\.00$/m);
    expect(text).toMatch(/^spos +3 +\+2\.00 +-0\.48 to \+4\.48 +0\.250 +0\.074$/m);
    expect(text).toMatch(/^spos +15\.0 s +10\.0 s +256\.0 MiB +1\.00 k$/m);
    expect(text).toContain("Left out: spos seed 7");
    expect(text).toContain("interrupted after 3 epochs");
    const wide = text.split("\n").filter((line) => line.length > 80 && !line.startsWith("Left out"));
    expect(wide).toEqual([]);
    const markdown = formatMarkdown(found);
    expect(markdown).toContain("| spos | 3 | +2.00 | -0.48 to +4.48 | 0.250 | 0.074 |");
    const [names, ...rows] = parseCsv(formatArmsCsv(found), "report.csv").map(({ fields }) => fields);
    expect(rows).toHaveLength(2);
    expect(new Set([names, ...rows].map(({ length }) => length)).size).toBe(1);
    expect(rows.find(([arm]) => arm === "random")).toContain("91");
    expect(parseCsv(formatRunsCsv(found), "runs.csv")).toHaveLength(7);
    expect(drawReportSvg(found).match(/class="dot"/g)).toHaveLength(6);
    expect(writeReportFiles(folder, found)).toContain("report.md");
  });

  it("takes the test column of known accuracies where there is one, and others by name", async () => {
    for (const seed of [0, 1])
      for (const method of ["spos", "random"])
        make(`${method}-${seed}`, method, seed, {
          options: { table: "t.csv" },
          summary: { validationAccuracy: 0.5, knownAccuracies: { val: 60 + seed, c10_test: 90 + seed } },
        });
    const found = await report();
    expect(found.column).toBe("c10_test");
    expect(found.arms[0].mean).toBe(90.5);
    expect((await report([folder], { column: "val" })).arms[0].mean).toBe(60.5);
    expect((await report([folder], { column: "validationAccuracy" })).arms[0].mean).toBe(50);
    const { code, message } = await refusal([folder], { column: "vla" });
    expect({ code, message }).toEqual({
      code: "USAGE",
      message: expect.stringContaining("did you mean val?"),
    });
  });

  it("looks architectures up in a table afterwards", async () => {
    const cell = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|";
    const genotype = { space: "nas-bench-201", cell };
    make("a", "random", 0, {
      summary: { genotype, validationAccuracy: 0.1 },
      options: { space: "nas-bench-201" },
    });
    writeFileSync(join(root, "table.csv"), `architecture,test\n${cell},77.5\n`);
    const collection = await collectRuns([folder]);
    const runs = withTable(collection.runs, join(root, "table.csv"));
    expect(reportOf({ ...collection, runs }, { lookedUp: true })).toMatchObject({
      column: "test",
      arms: [{ mean: 77.5, interval: null }],
    });
  });

  it("says what is missing instead of leaving it out in silence", async () => {
    make3("spos", [91]);
    make("no-figure", "spos", 1, { summary: { validationAccuracy: null } });
    make("no-summary", "random", 2, { summary: null });
    make("damaged", "random", 3);
    writeFileSync(join(folder, "damaged/meta.json"), "{");
    const { missing } = await report();
    expect(missing.map(({ path, reason }) => [path.split("/").at(-1), reason])).toEqual(
      expect.arrayContaining([
        ["damaged", expect.stringContaining("FILE_JSON")],
        ["no-figure", "it has no held-out accuracy"],
        ["no-summary", "stopped"],
      ]),
    );
    expect(missing).toHaveLength(3);
  });

  it("refuses to be made of nothing", async () => {
    make("a", "spos", 0, { summary: { status: "failed" } });
    const error = await refusal();
    expect(error.code).toBe("STUDY_EMPTY");
    expect(error.message).toContain("failed after 20 epochs");
    expect((await refusal([join(folder, "none")])).code).toBe("RUN_NOT_FOUND");
  });
});

describe("arms", () => {
  it("are named by methods, or as the command line says", async () => {
    const [a, b] = make3("spos", [91, 93]);
    const [c] = make3("random", [90]);
    const { arms, baseline, differences } = await report([`small=${a}`, `small=${b}`, c]);
    expect(arms.map(({ arm, count }) => [arm, count])).toEqual([
      ["small", 2],
      ["random", 1],
    ]);
    expect(baseline).toBe("random");
    expect(differences).toMatchObject([{ arm: "small", count: 1 }]);
  });

  it("without a common seed are not paired, with a seed twice only as groups", async () => {
    make("a", "spos", 0, { summary: { validationAccuracy: 0.5 } });
    make("b", "random", 1, { summary: { validationAccuracy: 0.4 } });
    const found = await report();
    expect(found.differences).toEqual([{ arm: "spos", count: 0, difference: null }]);
    expect(formatReport(found)).toContain("no seed in common");
    make("c", "spos", 0, { summary: { validationAccuracy: 0.6 } });
    expect(await refusal()).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("seed 0 twice"),
    });
    expect((await report([folder], { unpaired: true })).arms[0].count).toBe(2);
  });
});

describe("runs that differ in more than they say are refused", () => {
  const both = (made: Made): void => {
    make3("random", [90]);
    make("other", "spos", 0, { ...made, summary: { validationAccuracy: 0.9 } });
  };

  it.each<[string, Made]>([
    ["data", { dataIdentity: "others" }],
    ["version", { version: "9.9.9" }],
    ["validationFraction", { options: { validationFraction: 0.25 } }],
    ["limitTrain", { options: { limitTrain: 100 } }],
    ["epochs", { options: { epochs: 30 } }],
    ["space", { options: { space: "nas-bench-201" } }],
  ])("%s", async (key, made) => {
    both(made);
    const { code, message } = await refusal();
    expect(code).toBe("STUDY_DIFFERS");
    expect(message).toContain(`${key} is `);
    const allowed = /--allow-differences (\S+)$/.exec(message)![1].split(",");
    expect(allowed).toContain(key);
    const found = await report([folder], { allowed });
    expect(found.allowedDifferences).toEqual(expect.arrayContaining([key]));
    expect(formatReport(found)).toContain("which was allowed");
  });

  it("within an arm, where even an option of the method may not", async () => {
    make("a", "random", 0, { options: { candidates: 3 }, summary: { validationAccuracy: 0.5 } });
    make("b", "random", 1, { options: { candidates: 4 }, summary: { validationAccuracy: 0.5 } });
    expect(await refusal()).toMatchObject({
      code: "STUDY_DIFFERS",
      message: expect.stringMatching(/candidates is 3 \(random seed 0, .*\) and 4 \(random seed 1, /),
    });
    const named = await report([`three=${join(folder, "a")}`, `four=${join(folder, "b")}`]);
    expect(named.armsDifferIn).toEqual(["candidates"]);
  });

  it("but not for what methods have as their own defaults, nor for where the data lie", async () => {
    make3("random", [90], { options: { data: "/here" } });
    make3("darts", [91], { options: { data: "/there" } });
    const { armsDifferIn } = await report();
    expect(armsDifferIn).toEqual(expect.arrayContaining(["method", "batchSize", "learningRate"]));
    expect((await refusal([folder], { allowed: ["dta"] })).message).toContain("did you mean data?");
  });
});

describe("a study", () => {
  const plan = studyOfMethods(["spos", "random"], { data: "bundled", epochs: 20 }, [0, 1], "spos");

  it("is reported with its plan, from wherever it was moved, with runs that belong to it named twice", async () => {
    const study = openStudy(plan, { out: join(folder, "s"), name: null });
    const [first, second] = runsOf(study);
    study.close();
    for (const { arm, path } of [first, second])
      make(path.slice(folder.length + 1), arm, 0, { summary: { validationAccuracy: 0.9 } });
    renameSync(join(folder, "s"), join(folder, "moved"));
    const found = await report([join(folder, "moved"), join(folder, "moved", "spos")]);
    expect(found).toMatchObject({ baseline: "spos", differences: [{ arm: "random", count: 1 }] });
    expect(found.runs).toHaveLength(2);
    expect(found.missing.map(({ arm, seed, reason }) => [arm, seed, reason])).toEqual([
      ["spos", 1, "not begun"],
      ["random", 1, "not begun"],
    ]);
  });

  it("refuses a run that is not as planned", async () => {
    const study = openStudy(plan, { out: join(folder, "s"), name: null });
    study.close();
    const options = { epochs: 5, candidates: 5 };
    make("s/random/seed-0", "random", 0, { options, summary: { validationAccuracy: 0.5 } });
    const { code, message } = await refusal([join(folder, "s")]);
    expect(code).toBe("STUDY_DIFFERS");
    expect(message).toMatch(/epochs is 5 .* and 20 \(the plan of /);
  });
});
