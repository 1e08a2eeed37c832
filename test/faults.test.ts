// What real runs do about full and read-only disks, vanished and forbidden folders, divergence, missing memory and false checkpoints.
import { createHash } from "node:crypto";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunDirectory } from "../src/run/directory.js";
import { begin, perform, smallRuns, succeed } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { fillDisk, mountSmallDisk, remount, unmount } from "./support/small-disk.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-faults-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const endless = [...smallRuns.train, "--epochs", "1000"];

/** Names of what is half-written in the run's checkpoints. */
const unfinished = (path: string): string[] =>
  fs.readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("."));

function expectLoadable(path: string): void {
  expect(RunDirectory.open(path, "read").loadCheckpoint("last").warning).toBeNull();
}

/** The last checkpoint of a run that has ended is whole, and nothing half-written lies about. */
function expectWholeCheckpoint(path: string): void {
  expectLoadable(path);
  expect(unfinished(path)).toEqual([]);
}

describe("file systems", () => {
  it("a full disk: a warning, the earlier checkpoint stays, and the run saves when there is room again", async (context) => {
    const disk = join(folder, "full");
    if (!mountSmallDisk(disk, "size=160m")) return context.skip();
    try {
      const path = join(disk, "run");
      const running = begin(program, [...endless, "--out", path]);
      await running.said(/epoch 2\/1000/);
      fillDisk(join(disk, "other"));
      await running.said(/not saved, the run goes on and tries again later: FILE_DISK_FULL/);
      expectLoadable(path);
      // The run goes on trying. What it is writing just now must go, too.
      const writing = unfinished(path);
      await expect
        .poll(() => unfinished(path).filter((name) => writing.includes(name)), { timeout: 20_000 })
        .toEqual([]);
      const before = fs.readFileSync(join(path, "checkpoints/last/state.json"), "utf8");
      fs.rmSync(join(disk, "other"));
      await expect
        .poll(() => fs.readFileSync(join(path, "checkpoints/last/state.json"), "utf8"), { timeout: 60_000 })
        .not.toBe(before);
      running.kill("SIGTERM");
      const { status, err } = await running.ended;
      expect(status, err).toBe(130);
      expectWholeCheckpoint(path);
      const run = RunDirectory.open(path, "read");
      const { epoch } = (run.loadCheckpoint("last").state as { position: { epoch: number } }).position;
      // The records of the epochs in which there was no room came later, none is missing.
      expect(run.records().map((record) => record.epoch)).toEqual(Array.from({ length: epoch }, (_, i) => i));
    } finally {
      unmount(disk);
    }
  });

  it("stopped while the disk is full: an error, because it could not be saved", async (context) => {
    const disk = join(folder, "full-at-the-end");
    if (!mountSmallDisk(disk, "size=160m")) return context.skip();
    try {
      const path = join(disk, "run");
      const running = begin(program, [...endless, "--out", path]);
      await running.said(/epoch 1\/1000/);
      fillDisk(join(disk, "other"));
      await running.said(/FILE_DISK_FULL/);
      running.kill("SIGINT");
      const { status, err } = await running.ended;
      expect(status).toBe(1);
      expect(err).toMatch(/^error FILE_DISK_FULL: .*$/m);
      expectWholeCheckpoint(path);
      fs.rmSync(join(disk, "other"));
      await succeed(program, ["train", "--resume", path, "--epochs", "20"]);
    } finally {
      unmount(disk);
    }
  });

  it("a disk that becomes read-only: a warning, and the run goes on", async (context) => {
    const disk = join(folder, "read-only");
    if (!mountSmallDisk(disk, "size=160m")) return context.skip();
    try {
      const path = join(disk, "run");
      const running = begin(program, [...endless, "--out", path]);
      await running.said(/epoch 1\/1000/);
      // Refused while a file is open for writing.
      for (let attempt = 0; ; attempt++) {
        try {
          remount(disk, "ro");
          break;
        } catch (error) {
          if (attempt > 1000) throw error;
        }
      }
      await running.said(/not saved, the run goes on and tries again later: FILE_READ_ONLY/);
      remount(disk, "rw");
      running.kill("SIGTERM");
      expect((await running.ended).status).toBe(130);
      expectWholeCheckpoint(path);
      remount(disk, "ro");
      const again = await perform(program, ["train", "--resume", path]);
      expect(again).toMatchObject({ status: 1, err: expect.stringMatching(/^error FILE_READ_ONLY: /) });
    } finally {
      unmount(disk);
    }
  });

  it("a run directory deleted underneath: an error, and nothing is made anew", async () => {
    const path = join(folder, "deleted");
    const running = begin(program, [...endless, "--out", path]);
    await running.said(/epoch 1\/1000/);
    fs.renameSync(path, `${path}-moved`);
    const { status, err } = await running.ended;
    expect(status).toBe(1);
    expect(err).toMatch(/^error RUN_GONE: .*was moved or deleted while the run was going on$/m);
    expect(fs.existsSync(path)).toBe(false);
    expectWholeCheckpoint(`${path}-moved`);
  });

  it("a folder without permission: an error before the work begins", async (context) => {
    if (process.getuid?.() !== 0) {
      console.log("not tested: only root can start the program as somebody else");
      return context.skip();
    }
    const forbidden = join(folder, "forbidden");
    fs.mkdirSync(forbidden, { mode: 0o755 });
    for (const place of [folder, program]) fs.chmodSync(place, 0o755);
    const nobody = { uid: 65_534, cwd: "/" };
    const begun = await perform(program, [...smallRuns.train, "--out", join(forbidden, "run")], nobody);
    // Where the program itself lies in a folder that others cannot enter, there is nothing to see.
    if (begun.status === 126 || /EACCES.*ista-nas|ERR_MODULE_NOT_FOUND|Cannot find module/.test(begun.err)) {
      console.log("not tested: another user cannot read the program here");
      return context.skip();
    }
    expect(begun).toMatchObject({ status: 1, out: "" });
    expect(begun.err).toMatch(/^error FILE_DENIED: .*$/m);
    expect(fs.readdirSync(forbidden)).toEqual([]);
  });
});

describe("divergence", () => {
  it.each(["two-stage", "train"] as const)("%s: the step, the rate and the layer are named", async (kind) => {
    const path = join(folder, `diverged-${kind}`);
    const words = [...smallRuns[kind], "--learning-rate", "1e30", "--gradient-clip", "0", "--out", path];
    const { status, err } = await perform(program, words);
    expect(status).toBe(1);
    expect(err).toMatch(
      /^error RUN_DIVERGED: training: the (loss|gradient's norm) became \S+ at step \d+ of epoch 1, learning rate 1e\+30; it began in the (output|weights|gradient) of? ?\S+.*; the last checkpoint is as it was/m,
    );
    expect(JSON.parse(fs.readFileSync(join(path, "summary.json"), "utf8")).status).toBe("failed");
    expectWholeCheckpoint(path);
    // What is left can be taken up, and comes to the same end.
    const again = await perform(program, [words[0], "--resume", path]);
    expect(again).toMatchObject({ status: 1, err: expect.stringContaining("error RUN_DIVERGED") });
    expect(again.err).toContain("goes on after epoch 0, step");
  });
});

describe("memory", () => {
  it("a run that cannot fit is refused before anything is written, naming both numbers and ways out", async () => {
    const path = join(folder, "huge");
    const words = [
      "train",
      "--arch",
      "ISTA_twostage",
      "--data",
      "bundled",
      "--channels",
      "4096",
      "--batch-size",
      "8192",
    ];
    const { status, err } = await perform(program, [...words, "--out", path]);
    expect(status).toBe(1);
    expect(err).toMatch(
      /^error MEMORY_NEEDED: memory: the run needs about .*iB \(.*\), the machine has .*iB; use /m,
    );
    expect(fs.existsSync(path)).toBe(false);
  });

  it("an allocation that fails in a step is an error that names what was asked for; the run can be taken up", async () => {
    const path = join(folder, "starved");
    const words = [
      ...smallRuns.train,
      "--limit-train",
      "4000",
      "--epochs",
      "1",
      "--validation-fraction",
      "0",
    ];
    const small = begin(program, [...words, "--out", path]);
    await small.said(/train 1\/1/);
    small.kill("SIGTERM");
    expect((await small.ended).status).toBe(130);
    // The same state with batches for which the address space of the process does not suffice.
    const config = JSON.parse(fs.readFileSync(join(path, "config.json"), "utf8"));
    fs.writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, batchSize: 3000, channels: 4 }));
    const state = join(path, "checkpoints/last/state.json");
    rewrite(path, ({ position, course }) => ({ course, position: { ...position, step: 0 } }));
    const before = fs.readFileSync(state, "utf8");
    const starved = await perform(program, ["train", "--resume", path], { addressSpace: 2400 });
    expect(starved).toMatchObject({ status: 1, signal: null });
    expect(starved.err).toMatch(
      /^error ENGINE_OUT_OF_MEMORY: train: step 1 of epoch 1: ista::\w+ \(.*Float\[3000, .*\): .*tried to allocate \d+ bytes.*; the last checkpoint is as it was: /m,
    );
    expect(fs.readFileSync(state, "utf8")).toBe(before);
    await succeed(program, ["train", "--resume", path]);
  });
});

type State = { position: Record<string, unknown>; course: Record<string, unknown> };

/** Replaces state.json of the last checkpoint, with checksums that are right. */
function rewrite(path: string, change: (state: State) => unknown): void {
  const checkpoint = join(path, "checkpoints/last");
  const state = JSON.parse(fs.readFileSync(join(checkpoint, "state.json"), "utf8"));
  const text = Buffer.from(JSON.stringify(change(state)));
  fs.writeFileSync(join(checkpoint, "state.json"), text);
  const manifest = JSON.parse(fs.readFileSync(join(checkpoint, "checkpoint.json"), "utf8"));
  const sha256 = createHash("sha256").update(text).digest("hex");
  manifest.files["state.json"] = { bytes: text.length, sha256 };
  fs.writeFileSync(join(checkpoint, "checkpoint.json"), JSON.stringify(manifest));
}

describe("checkpoints that are whole and yet wrong", () => {
  let search: string;
  beforeAll(async () => {
    search = join(folder, "search");
    const running = begin(program, [...smallRuns["one-stage"], "--out", search]);
    await running.said(/epoch 1\//);
    running.kill("SIGTERM");
    expect((await running.ended).status).toBe(130);
  }, 120_000);

  it.each<[string, string, (state: State) => unknown]>([
    ["no position", "CHECKPOINT_DAMAGED", (state) => ({ course: state.course })],
    ["nothing", "CHECKPOINT_DAMAGED", () => null],
    [
      "a step before the first",
      "CHECKPOINT_DAMAGED",
      ({ position, course }) => ({ course, position: { ...position, step: -1 } }),
    ],
    [
      "a step beyond the last",
      "CHECKPOINT_DAMAGED",
      ({ position, course }) => ({ course, position: { ...position, step: 1e9 } }),
    ],
    [
      "half an epoch",
      "CHECKPOINT_DAMAGED",
      ({ position, course }) => ({ course, position: { ...position, epoch: 0.5 } }),
    ],
    [
      "no codes",
      "CODES_INVALID",
      ({ position, course }) => ({ position, course: { ...course, codes: undefined } }),
    ],
    [
      "text for codes",
      "CODES_INVALID",
      ({ position, course }) => ({ position, course: { ...course, codes: "x" } }),
    ],
    [
      "no phase",
      "CHECKPOINT_DAMAGED",
      ({ position, course }) => ({ position, course: { ...course, searchEpochs: "soon" } }),
    ],
    [
      "frozen nodes that are none",
      "CHECKPOINT_DAMAGED",
      ({ position, course }) => ({ position, course: { ...course, forced: [null, 3] } }),
    ],
  ])("%s: %s", async (what, code, change) => {
    const path = join(folder, `wrong ${what}`);
    fs.cpSync(search, path, { recursive: true });
    rewrite(path, change);
    const { status, err } = await perform(program, ["search", "--resume", path]);
    expect(status).toBe(1);
    expect(err).toMatch(new RegExp(`^error ${code}: .*$`, "m"));
  });

  it("without weights", async () => {
    const path = join(folder, "without weights");
    fs.cpSync(search, path, { recursive: true });
    const manifest = join(path, "checkpoints/last/checkpoint.json");
    const value = JSON.parse(fs.readFileSync(manifest, "utf8"));
    delete value.files["model.safetensors"];
    fs.writeFileSync(manifest, JSON.stringify(value));
    fs.rmSync(join(path, "checkpoints/last.previous"), { recursive: true, force: true });
    const { status, err } = await perform(program, ["search", "--resume", path]);
    expect({ status, err }).toMatchObject({
      status: 1,
      err: expect.stringMatching(/error CHECKPOINT_DAMAGED: .*model/),
    });
  });
});
