// Which runs and studies are found below which folders, and what is said of each.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { packageFolder } from "../base/package.js";
import { darts } from "../space/darts/space.js";
import { Catalogue } from "./catalogue.js";
import { pointOf } from "./points.js";

const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "ista-nas-catalogue-")));
const at = (...names: string[]): string => join(folder, ...names);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
beforeEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const created = "2026-01-01T00:00:00.000Z";
function makeRun(name: string, config: object = {}, records: object[] = []): void {
  fs.mkdirSync(at(name), { recursive: true });
  const write = (file: string, text: string): void => fs.writeFileSync(at(name, file), text);
  write("meta.json", JSON.stringify({ formatVersion: 1, kind: "search", created, seed: 1 }));
  write("config.json", JSON.stringify({ space: "darts", epochs: 10, ...config }));
  if (records.length > 0) write("metrics.jsonl", `${records.map((one) => JSON.stringify(one)).join("\n")}\n`);
}

const idsOf = (...roots: string[]): string[] => {
  const catalogue = new Catalogue(roots.map((root) => at(root)));
  catalogue.refresh();
  return [...catalogue.runs.keys()].sort();
};

describe("Catalogue", () => {
  it("finds runs, folders of runs and studies, each once, under names that stay", () => {
    makeRun("runs/a");
    makeRun("runs/study/arm/seed-0");
    makeRun("other/a");
    fs.writeFileSync(at("runs/study/study.json"), "{}");
    expect(idsOf("runs")).toEqual(["a", "study/arm/seed-0"]);
    expect(idsOf("runs/a")).toEqual(["a"]);
    expect(idsOf("runs", "other")).toEqual(["other/a", "runs/a", "runs/study/arm/seed-0"]);
    expect(idsOf("runs/a", "other/a")).toEqual(["a", "a~2"]);
    expect(idsOf("runs", "runs/a")).toEqual(["runs/a", "runs/study/arm/seed-0"]);
    expect(idsOf("nowhere")).toEqual([]);
    const catalogue = new Catalogue([at("runs")]);
    catalogue.refresh();
    expect([...catalogue.studies.keys()]).toEqual(["study"]);
  });

  it("sees what comes, changes and goes", () => {
    const catalogue = new Catalogue([at("runs")]);
    catalogue.refresh();
    expect(catalogue.runs.size).toBe(0);
    makeRun("runs/a", {}, [{ epoch: 0, epochs: 10, loss: 2 }]);
    catalogue.refresh();
    const run = catalogue.runs.get("a")!;
    const { stamp } = run;
    expect(run.row()).toMatchObject({ state: "stopped", epoch: 1, epochs: 10, loss: 2 });
    fs.appendFileSync(at("runs/a/metrics.jsonl"), `${JSON.stringify({ epoch: 1, epochs: 7, loss: 1 })}\n`);
    catalogue.refresh();
    expect(catalogue.runs.get("a")).toBe(run);
    expect(run.stamp).not.toBe(stamp);
    // The last record knows better than the options how long it will be.
    expect(run.row()).toMatchObject({ epoch: 2, epochs: 7, loss: 1 });
    fs.rmSync(at("runs/a"), { recursive: true });
    catalogue.refresh();
    expect(catalogue.runs.size).toBe(0);
  });

  it("groups runs that differ in nothing but seed and machine", () => {
    const options = { batchSize: 64, seed: 0, threads: 1 };
    makeRun("runs/a", options);
    makeRun("runs/b", { ...options, seed: 1, threads: 2 });
    makeRun("runs/c", { ...options, batchSize: 32 });
    const catalogue = new Catalogue([at("runs")]);
    catalogue.refresh();
    const [a, b, c] = ["a", "b", "c"].map((id) => catalogue.runs.get(id)!.row().group);
    expect(a).toBe(b);
    expect(c).not.toBe(a);
  });

  it("knows runs of the first versions", () => {
    const old = join(packageFolder, "test/golden/old-run");
    const catalogue = new Catalogue([old]);
    catalogue.refresh();
    const rows = ["one-stage", "two-stage"].map((id) => catalogue.runs.get(id)!.row());
    const lengths = rows.map(({ id }) => JSON.parse(fs.readFileSync(join(old, id, "config.json"), "utf8")));
    expect(rows).toMatchObject([
      { method: "ista-one-stage", epochs: lengths[0].epochs + lengths[0].trainEpochs },
      { method: "ista-two-stage", epochs: lengths[1].epochs },
    ]);
  });

  it("lists damaged runs with what is wrong, and tells the time left by the clock", () => {
    makeRun("runs/bad");
    fs.writeFileSync(at("runs/bad/meta.json"), "{");
    makeRun("runs/live", {}, [
      { epoch: 0, loss: 2, seconds: 1 },
      { epoch: 1, loss: 1, seconds: 1 },
    ]);
    const lock = { pid: process.pid, host: "elsewhere", startTicks: null, bootId: null };
    fs.writeFileSync(at("runs/live/lock.json"), JSON.stringify(lock));
    // Two epochs in 20 seconds.
    const then = Date.parse(created) / 1000 + 20;
    fs.utimesSync(at("runs/live/metrics.jsonl"), then, then);
    const catalogue = new Catalogue([at("runs")]);
    catalogue.refresh();
    expect(catalogue.runs.get("bad")!.row()).toMatchObject({
      state: "unreadable",
      problem: expect.stringContaining("meta.json"),
    });
    const row = catalogue.runs.get("live")!.row(1000 * (then + 4));
    expect(row).toMatchObject({ state: "running", epoch: 2, epochs: 10 });
    expect(row.secondsLeft).toBeCloseTo(8 * 10 - 4, 6);
  });
});

describe("pointOf", () => {
  it("keeps what the page draws, also of the first versions, and nothing of what it does not know", () => {
    const { selection } = darts.named.ISTA_twostage;
    const choices = selection.map((support) => ({
      support,
      code: [0.123456789],
      residual: 0.5,
      frozen: true,
    }));
    const record = {
      epoch: 3,
      phase: "search",
      loss: 1.23456789,
      accuracy: null,
      nodes: choices,
      extra: "text",
    };
    expect(pointOf({ ...record, answer: darts.toGenotype(selection) })).toMatchObject({
      ...{ epoch: 3, phase: "search", n: { loss: 1.23457 }, support: selection, answer: selection },
      choices: selection.map(() => ({ b: [0.123457], residual: 0.5, frozen: true })),
    });
    expect(pointOf({ epoch: 0, genotype: { space: "of a plug-in" } })).toEqual({
      ...{ epoch: 0, phase: "", n: {}, support: undefined, answer: undefined },
    });
    expect(pointOf({ epoch: "3" })).toBeNull();
  });
});
