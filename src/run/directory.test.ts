// Tests of run directories on the real file system: files, records, checkpoints, what is torn, lost, newer or gone.
import fs from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failure } from "../../test/support/failure.js";
import { hashFile, jsonText, temporaryPrefix } from "../base/files.js";
import { resolveConfig } from "../config/config.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import type { CheckpointContents } from "./checkpoint.js";
import { epochName, type NewRun, RunDirectory } from "./directory.js";
import { describeRun, listRuns } from "./listing.js";
import { configOfBeginning } from "./new-folder.js";
import { readRecords } from "./records.js";
import { formatVersion, type RunSummary } from "./summary.js";

let folder: string;
const open: RunDirectory[] = [];
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-run-"));
});
afterEach(() => {
  for (const run of open.splice(0)) run.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

const { config } = resolveConfig("search", { preset: "demo", flags: { seed: 11 } });

function create(options: Partial<NewRun<"search">> = {}): RunDirectory {
  const run = RunDirectory.create({ kind: "search", config, root: folder, ...options });
  open.push(run);
  return run;
}

function reopen(run: RunDirectory): RunDirectory {
  run.close();
  const again = RunDirectory.open(run.path, "write");
  open.push(again);
  return again;
}

function contents(value: number): CheckpointContents {
  return {
    tensors: {
      model: new Map([["w", { shape: [2, 2], data: new Float32Array(4).fill(value) }]]),
      optimiser: new Map([["w.momentum", { shape: [4], data: new Float32Array(4).fill(-value) }]]),
    },
    state: { step: value, stream: [1, 2, 3, 4] },
  };
}

const summary: Omit<RunSummary, "formatVersion" | "kind"> = {
  status: "finished",
  arch: "found",
  method: "ista-two-stage",
  space: "darts",
  genotype: null,
  seed: 11,
  epochs: 3,
  parameters: 100,
  multiplyAdds: 200,
  testAccuracy: 0.9,
  validationAccuracy: null,
  testLoss: null,
  seconds: 5,
  processorSeconds: null,
  peakMemoryBytes: 1e6,
  knownAccuracies: null,
  exploration: null,
  diagnosis: null,
  superNetAccuracy: null,
  projectionGap: null,
  kendallTau: null,
  preset: "demo",
  dataset: "bundled",
};

describe("a new run", () => {
  it("has its configuration, and what it was made with", () => {
    const run = create({ versions: { libtorch: "1.13.1" }, command: ["search", "--preset", "demo"] });
    expect(run.name).toMatch(/^search-\d{8}-\d{6}$/);
    const read = RunDirectory.open(run.path, "read");
    expect(read.config("search")).toEqual(config);
    expect(read.meta).toMatchObject({
      formatVersion,
      kind: "search",
      seed: 11,
      preset: "demo",
      command: ["search", "--preset", "demo"],
      versions: { node: process.version, libtorch: "1.13.1" },
    });
    expect(failure(() => read.config("train")).code).toBe("RUN_DAMAGED");
  });

  it("gets a number where two begin in the same second", () => {
    const names = [create(), create(), create()].map((run) => run.name);
    expect(new Set(names).size).toBe(3);
  });

  it("takes a folder with no more than what a killed beginning leaves", () => {
    const out = join(folder, "killed");
    const run = create({ out });
    run.close();
    fs.rmSync(join(out, "meta.json"));
    // Without the lock, which comes first, config.json may be anybody's.
    expect(failure(() => create({ out })).code).toBe("RUN_EXISTS");
    const gone = { pid: 1, host: hostname(), startTicks: null, bootId: "another boot" };
    fs.writeFileSync(join(out, "lock.json"), JSON.stringify(gone));
    fs.writeFileSync(join(out, `${temporaryPrefix}1-meta.json`), "{");
    expect(configOfBeginning("search", out)).toEqual(config);
    expect(failure(() => RunDirectory.open(out, "write")).message).toContain("give its first command again");
    expect(create({ out }).meta.seed).toBe(11);
    expect(configOfBeginning("search", out)).toBeNull();
    expect(fs.readdirSync(out).sort()).toEqual(["config.json", "lock.json", "meta.json"]);
  });

  it("takes an empty folder and refuses one that holds something", () => {
    const out = join(folder, "mine");
    fs.mkdirSync(out);
    expect(create({ out }).path).toBe(out);
    expect(failure(() => create({ out })).code).toBe("RUN_EXISTS");
    expect(create({ name: "named" }).path).toBe(join(folder, "named"));
    expect(failure(() => create({ name: "named" })).code).toBe("RUN_EXISTS");
    fs.writeFileSync(join(folder, "file"), "");
    expect(failure(() => create({ name: "file" })).code).toBe("RUN_EXISTS");
    expect(failure(() => create({ out: join(folder, "file", "below") })).code).toMatch(
      /^FILE_(KIND|EXISTS)$/,
    );
  });

  it.each(["../out", "a/b", "", ".", "..", "-rf\n"])("refuses the name %j", (name) => {
    expect(failure(() => create({ name })).code).toBe("FILE_OUTSIDE");
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  // Root may write everywhere; test/faults.test.ts starts the program as somebody else there.
  it.skipIf(process.getuid?.() === 0)("says that it may not write", () => {
    fs.chmodSync(folder, 0o555);
    expect(failure(() => create()).code).toBe("FILE_DENIED");
    fs.chmodSync(folder, 0o755);
  });
});

describe("files", () => {
  it("land where they belong", () => {
    const run = create();
    run.writeGenotype({ space: "darts" });
    run.writeGenotype({ space: "darts" }, 3);
    run.writeFile("drawings/normal.svg", "<svg/>");
    expect(fs.readFileSync(join(run.path, "genotypes/epoch-003.json"), "utf8")).toBe(
      '{\n  "space": "darts"\n}\n',
    );
    expect(fs.existsSync(join(run.path, "genotype.json"))).toBe(true);
    expect(fs.readFileSync(join(run.path, "drawings/normal.svg"), "utf8")).toBe("<svg/>");
    expect(failure(() => run.writeFile("../outside", "")).code).toBe("FILE_OUTSIDE");
    fs.symlinkSync(tmpdir(), join(run.path, "link"));
    expect(failure(() => run.writeFile("link/outside", "")).code).toBe("FILE_OUTSIDE");
  });

  it("are refused for a run that was opened for reading", () => {
    const read = RunDirectory.open(create().path, "read");
    expect(() => read.writeFile("a", "")).toThrow("opened for reading");
  });
});

describe("records", () => {
  it("are appended, and a torn last one is recognised and repaired", () => {
    const run = create();
    run.appendRecord({ epoch: 0, loss: 2 });
    run.appendRecord({ epoch: 1, loss: 1 });
    run.saveCheckpoint("last", contents(1));
    const path = join(run.path, "metrics.jsonl");
    fs.appendFileSync(path, '{"epoch":2,"lo');
    expect(readRecords(path)).toMatchObject({ records: [{ epoch: 0 }, { epoch: 1 }], torn: true });
    const again = reopen(run);
    again.resume();
    again.appendRecord({ epoch: 2, loss: 0.5 });
    expect(again.records()).toEqual([
      { epoch: 0, loss: 2 },
      { epoch: 1, loss: 1 },
      { epoch: 2, loss: 0.5 },
    ]);
  });

  it.each(["nonsense", "[]", "null", "3", ""])("a line %j in the middle is damage, and named", (line) => {
    const run = create();
    fs.writeFileSync(join(run.path, "metrics.jsonl"), `{"epoch":0}\n${line}\n{"epoch":1}\n`);
    const error = failure(() => run.records());
    expect(error.code).toBe("RUN_DAMAGED");
    expect(error.message).toContain("line 2");
  });
});

describe("checkpoints", () => {
  const pathOf = (run: RunDirectory, name: string): string => join(run.path, "checkpoints", name);

  it("come back as they were, with the groups that were asked for", () => {
    const run = create();
    expect(run.hasCheckpoint("last")).toBe(false);
    run.saveCheckpoint("last", contents(1));
    expect(run.hasCheckpoint("last")).toBe(true);
    expect(run.loadCheckpoint("last")).toEqual({ ...contents(1), recordCount: 0, grown: {}, warning: null });
    const model = run.loadCheckpoint("last", ["model"]);
    expect(Object.keys(model.tensors)).toEqual(["model"]);
    expect(failure(() => run.loadCheckpoint("best")).code).toBe("CHECKPOINT_MISSING");
    expect(failure(() => run.loadCheckpoint("last", ["average"])).message).toContain("average");
    expect(failure(() => run.saveCheckpoint("../../x", contents(1))).code).toBe("FILE_OUTSIDE");
  });

  it("resume cuts the records to those that the checkpoint knows", () => {
    const run = create();
    run.appendRecord({ epoch: 0 });
    run.saveCheckpoint("last", contents(1));
    run.appendRecord({ epoch: 1 });
    run.appendRecord({ epoch: 2 });
    const again = reopen(run);
    expect(again.resume()).toMatchObject({ state: { step: 1 }, recordCount: 1, warning: null });
    again.appendRecord({ epoch: 1, again: true });
    expect(again.records()).toEqual([{ epoch: 0 }, { epoch: 1, again: true }]);
    again.saveCheckpoint("last", contents(2));
    expect(reopen(again).resume()?.recordCount).toBe(2);
  });

  it("resume tells of lost records and goes on", () => {
    const run = create();
    run.appendRecord({ epoch: 0 });
    run.saveCheckpoint("last", contents(1));
    fs.rmSync(join(run.path, "metrics.jsonl"));
    const again = reopen(run);
    expect(again.resume()?.warning).toContain("has lost 1 of 1 records");
    again.appendRecord({ epoch: 1 });
    again.saveCheckpoint("last", contents(2));
    expect(again.loadCheckpoint("last").recordCount).toBe(1);
  });

  const damages: [string, (path: string) => void][] = [
    ["a changed bit", (path) => flipBit(join(path, "model.safetensors"))],
    ["a changed state", (path) => flipBit(join(path, "state.json"))],
    ["a cut file", (path) => fs.truncateSync(join(path, "optimiser.safetensors"), 20)],
    ["a missing file", (path) => fs.rmSync(join(path, "state.json"))],
    ["no manifest", (path) => fs.rmSync(join(path, "checkpoint.json"))],
    ["a torn manifest", (path) => fs.truncateSync(join(path, "checkpoint.json"), 30)],
    ["a manifest that names a file elsewhere", (path) => rename(path, "../../../secret.json")],
    ["weights that are not finite", spoil],
    ["a missing folder", (path) => fs.rmSync(path, { recursive: true })],
  ];
  function flipBit(path: string): void {
    const bytes = fs.readFileSync(path);
    bytes[bytes.length - 3] ^= 1;
    fs.writeFileSync(path, bytes);
  }
  /** As a run would have written them whose training went wrong: the manifest agrees. */
  function spoil(path: string): void {
    const file = join(path, "model.safetensors");
    const { tensors } = readSafetensors(file);
    for (const { data } of tensors.values()) if (data instanceof Float32Array) data.fill(Number.NaN);
    writeSafetensors(file, tensors);
    const manifest = JSON.parse(fs.readFileSync(join(path, "checkpoint.json"), "utf8"));
    manifest.files["model.safetensors"] = hashFile(file);
    fs.writeFileSync(join(path, "checkpoint.json"), JSON.stringify(manifest));
  }
  function rename(path: string, name: string): void {
    const manifest = JSON.parse(fs.readFileSync(join(path, "checkpoint.json"), "utf8"));
    manifest.files[name] = manifest.files["state.json"];
    fs.writeFileSync(join(path, "checkpoint.json"), JSON.stringify(manifest));
  }

  it.each(damages)("%s: the one before is used, with a word about it", (_what, damage) => {
    const run = create();
    run.saveCheckpoint("last", contents(1));
    run.saveCheckpoint("last", contents(2));
    damage(pathOf(run, "last"));
    const loaded = reopen(run).resume()!;
    expect(loaded).toMatchObject({ ...contents(1) });
    expect(loaded.warning).toContain("used the one before");
    expect(loaded.warning).toContain(pathOf(run, "last"));
  });

  it.each(damages.slice(0, -1))("%s in both: an error, and nothing is changed", (_what, damage) => {
    const run = create();
    run.appendRecord({ epoch: 0 });
    run.saveCheckpoint("last", contents(1));
    run.saveCheckpoint("last", contents(2));
    run.appendRecord({ epoch: 1 });
    damage(pathOf(run, "last"));
    damage(pathOf(run, "last.previous"));
    const again = reopen(run);
    expect(failure(() => again.resume()).code).toBe("CHECKPOINT_DAMAGED");
    expect(again.records()).toHaveLength(2);
  });

  it("of a newer program are refused, not skipped", () => {
    const run = create();
    run.saveCheckpoint("last", contents(1));
    run.saveCheckpoint("last", contents(2));
    const manifest = join(pathOf(run, "last"), "checkpoint.json");
    const newer = { ...JSON.parse(fs.readFileSync(manifest, "utf8")), formatVersion: formatVersion + 1 };
    fs.writeFileSync(manifest, jsonText(newer));
    expect(failure(() => run.resume()).code).toBe("RUN_VERSION");
  });

  it("of single epochs are kept as many as asked for", () => {
    const run = create();
    for (let epoch = 0; epoch < 12; epoch++) {
      run.saveCheckpoint(epochName(epoch), contents(epoch));
      run.pruneEpochCheckpoints(3);
    }
    expect(fs.readdirSync(join(run.path, "checkpoints")).sort()).toEqual([
      "epoch-009",
      "epoch-010",
      "epoch-011",
    ]);
    expect(run.loadCheckpoint("epoch-010").state).toMatchObject({ step: 10 });
  });

  it("unfinished ones are cleaned away when the run is taken up", () => {
    const run = create();
    run.saveCheckpoint("last", contents(1));
    fs.mkdirSync(join(run.path, "checkpoints/.writing-1-last"));
    fs.writeFileSync(join(run.path, ".writing-2-summary.json"), "{");
    run.writeGenotype({ space: "nas-bench-201", cell: "" } as never, 0);
    fs.writeFileSync(join(run.path, "genotypes/.writing-3-epoch-001.json"), "{");
    reopen(run).resume();
    expect(fs.readdirSync(join(run.path, "checkpoints"))).toEqual(["last"]);
    expect(fs.readdirSync(join(run.path, "genotypes"))).toEqual(["epoch-000.json"]);
    const unfinished = fs.readdirSync(run.path).filter((name) => name.startsWith(temporaryPrefix));
    expect(unfinished).toEqual([]);
  });
});

describe("a run directory that goes away", () => {
  it.each([
    ["deleted", (path: string): void => fs.rmSync(path, { recursive: true })],
    ["moved", (path: string) => fs.renameSync(path, `${path}-moved`)],
    [
      "replaced",
      (path: string) => {
        fs.renameSync(path, `${path}-old`);
        fs.mkdirSync(path);
      },
    ],
  ])("%s: said so, not recreated, and no passing trouble", (_what, remove) => {
    const run = create();
    remove(run.path);
    expect(failure(() => run.writeFile("a/b", "")).code).toBe("RUN_GONE");
    expect(failure(() => run.saveCheckpoint("last", contents(1))).code).toBe("RUN_GONE");
    expect(failure(() => run.appendRecord({})).code).toBe("RUN_GONE");
    if (fs.existsSync(run.path)) expect(fs.readdirSync(run.path)).toEqual([]);
  });
});

describe("a run that is taken up", () => {
  /** As the loop saves them: after so many whole epochs. */
  const reached = (epoch: number): CheckpointContents => ({
    ...contents(epoch),
    state: { position: { epoch } },
  });
  const epochs = (names: readonly string[]): string[] => [...names].sort();
  const files = (run: RunDirectory) => ({
    epochs: run.records().map(({ epoch }) => epoch),
    genotypes: epochs(fs.readdirSync(join(run.path, "genotypes"))),
    checkpoints: epochs(fs.readdirSync(join(run.path, "checkpoints"))),
  });

  /** Everything of an epoch but the checkpoint `last`. */
  function epoch(run: RunDirectory, number: number): void {
    run.appendRecord({ epoch: number });
    run.writeGenotype({ space: "darts" }, number);
    run.saveCheckpoint("best", reached(number + 1));
    run.saveCheckpoint(epochName(number), reached(number + 1));
  }

  it("has nothing that came after its last checkpoint, and the best one that there was then", () => {
    const run = create();
    epoch(run, 0);
    run.saveCheckpoint("last", reached(1));
    const before = files(run);
    epoch(run, 1);
    expect(files(run).epochs).toEqual([0, 1]);
    const again = reopen(run);
    expect(again.resume()).toMatchObject({
      state: { position: { epoch: 1 } },
      recordCount: 1,
      warning: null,
    });
    expect(files(again)).toEqual(before);
    expect(again.loadCheckpoint("best")).toMatchObject({ state: { position: { epoch: 1 } }, warning: null });
    // Done again, it is as if it had not been interrupted: the one before the best is the best before.
    epoch(again, 1);
    const previous = join(run.path, "checkpoints/best.previous/state.json");
    expect(JSON.parse(fs.readFileSync(previous, "utf8"))).toEqual({ position: { epoch: 1 } });
  });

  it("begins anew where there is no checkpoint yet", () => {
    const run = create();
    epoch(run, 0);
    const again = reopen(run);
    expect(again.resume()).toBeNull();
    expect(files(again)).toEqual({ epochs: [], genotypes: [], checkpoints: [] });
  });

  it("is not believed finished with options that it was not finished with", () => {
    const run = create();
    run.writeSummary(summary);
    run.saveCheckpoint("last", reached(1));
    const again = reopen(run);
    // The configuration cannot be written: a folder is in its way.
    fs.rmSync(join(run.path, "config.json"));
    fs.mkdirSync(join(run.path, "config.json"));
    expect(failure(() => again.noteResumed({ ...config, epochs: 100 }, [])).code).toBe("FILE_KIND");
    expect(again.summary()?.status).toBe("interrupted");
  });
});

describe("trouble that will not pass", () => {
  it("is an error; records wait for their turn and checkpoints never count one that is not there", () => {
    const run = create();
    run.appendRecord({ epoch: 0 });
    run.saveCheckpoint("last", contents(1));
    // A folder in the way of the records.
    const path = join(run.path, "metrics.jsonl");
    const content = fs.readFileSync(path);
    fs.rmSync(path);
    fs.mkdirSync(path);
    expect(failure(() => run.appendRecord({ epoch: 1 })).code).toBe("FILE_KIND");
    expect(failure(() => run.saveCheckpoint("last", contents(2))).code).toBe("FILE_KIND");
    fs.rmdirSync(path);
    fs.writeFileSync(path, content);
    run.appendRecord({ epoch: 2 });
    run.saveCheckpoint("last", contents(3));
    expect(run.records()).toEqual([{ epoch: 0 }, { epoch: 1 }, { epoch: 2 }]);
    expect(run.loadCheckpoint("last").recordCount).toBe(3);
  });
});

describe("other versions and damage", () => {
  const setMeta = (run: RunDirectory, change: object): void => {
    const path = join(run.path, "meta.json");
    fs.writeFileSync(path, jsonText({ ...JSON.parse(fs.readFileSync(path, "utf8")), ...change }));
  };

  it.each<[string, object, string]>([
    ["newer", { formatVersion: formatVersion + 1 }, "RUN_VERSION"],
    ["no version", { formatVersion: "1" }, "RUN_DAMAGED"],
    ["no kind", { kind: "dance" }, "RUN_DAMAGED"],
  ])("%s", (_what, change, code) => {
    const run = create();
    setMeta(run, change);
    expect(failure(() => RunDirectory.open(run.path, "read")).code).toBe(code);
    expect(describeRun(run.path).problem).toContain(code);
  });

  it("keys of later versions are left alone", () => {
    const run = create();
    setMeta(run, { weather: "fine" });
    const again = reopen(run);
    again.noteResumed(
      { ...config, epochs: 9 },
      ["goes on with --epochs 9 instead of 6"],
      ["search", "--resume"],
    );
    const read = RunDirectory.open(run.path, "read");
    expect(read.meta).toMatchObject({ weather: "fine", resumed: [{ command: ["search", "--resume"] }] });
    expect(read.config("search").epochs).toBe(9);
  });

  it("a folder that is no run", () => {
    expect(failure(() => RunDirectory.open(folder, "read")).code).toBe("RUN_NOT_FOUND");
    expect(failure(() => RunDirectory.open(join(folder, "no"), "write")).code).toBe("RUN_NOT_FOUND");
  });
});

describe("listing", () => {
  it("tells what runs there are, in what state, and what is wrong with them", () => {
    const finished = create({ name: "finished" });
    finished.writeSummary(summary);
    finished.close();
    create({ name: "stopped" }).close();
    create({ name: "running" });
    const broken = create({ name: "broken" });
    fs.writeFileSync(join(broken.path, "summary.json"), "{");
    broken.close();
    fs.mkdirSync(join(folder, "other"));
    const listings = Object.fromEntries(listRuns(folder).map((run) => [run.name, run]));
    expect(Object.keys(listings).sort()).toEqual(["broken", "finished", "running", "stopped"]);
    expect(listings.finished).toMatchObject({ status: "finished", kind: "search", problem: null });
    expect(listings.finished.summary).toEqual({ ...summary, formatVersion, kind: "search" });
    expect(listings.stopped).toMatchObject({ status: "stopped", summary: null });
    expect(listings.running.status).toBe("running");
    expect(listings.broken.problem).toContain("FILE_JSON");
    expect(listRuns(join(folder, "nowhere"))).toEqual([]);
  });
});
