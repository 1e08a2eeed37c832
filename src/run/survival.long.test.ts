// 60 kills at random moments of writing, and full, read-only and vanished file systems that are really so.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { killAndResume } from "../../test/support/killed-run.js";
import { contendForStaleLock } from "../../test/support/lock-holder.js";
import { RandomStream } from "../base/random.js";
import { resolveConfig } from "../config/config.js";
import { RunDirectory } from "./directory.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-survival-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const { config } = resolveConfig("search", { preset: "demo" });

it("SIGKILL at 60 random moments while checkpoints are written", async () => {
  const program = compiledProgram();
  const run = RunDirectory.create({ kind: "search", config, out: join(folder, "run") });
  run.close();
  const random = RandomStream.named(0, "kills");
  let before = 0;
  let inWrite = 0;
  for (let round = 0; round < 60; round++) {
    const outcome = await killAndResume(program, run.path, random.uniform() * 60);
    expect(outcome.step).toBeGreaterThan(before);
    before = outcome.step;
    inWrite += Number(outcome.inWrite);
  }
  console.log(`${before} checkpoints, 60 kills, ${inWrite} of them in the middle of a write`);
  expect(inWrite).toBeGreaterThan(5);
});

it("of 8 processes that find a stale lock at once exactly one gets it, 20 times", async () => {
  const program = compiledProgram();
  for (let round = 0; round < 20; round++) {
    const words = await contendForStaleLock(program, folder, 8);
    expect(words).toEqual([...Array(7).fill("RUN_LOCKED"), "held"]);
  }
});

/** Mounts a small file system in memory; false where that is not allowed (no root, or a container without the right). */
function mount(at: string, options: string): boolean {
  try {
    fs.mkdirSync(at, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "none", at], { stdio: "pipe" });
    return true;
  } catch (error) {
    console.log(`not tested: cannot mount a tmpfs here (${String(error).split("\n")[0]})`);
    return false;
  }
}

describe("file systems", () => {
  const state = (step: number, size: number) => ({
    tensors: { model: new Map([["w", { shape: [size], data: new Float32Array(size).fill(step) }]]) },
    state: { step },
  });

  it("a full disk is reported, the earlier checkpoint stays, and the run goes on when there is room", (context) => {
    const disk = join(folder, "disk");
    if (!mount(disk, "size=4m")) return context.skip();
    try {
      const warnings: string[] = [];
      const warn = (text: string) => warnings.push(text);
      const run = RunDirectory.create({ kind: "search", config, out: join(disk, "run"), warn });
      /** What was warned of in `write`. */
      const during = (write: () => void): string => {
        warnings.length = 0;
        write();
        return warnings.join();
      };
      const save = (step: number, size: number) =>
        during(() => run.saveCheckpoint("last", state(step, size)));
      run.appendRecord({ epoch: 1 });
      run.saveCheckpoint("last", state(1, 200_000));
      const fill = join(disk, "other");
      fs.writeFileSync(fill, Buffer.alloc(2_700_000));
      for (const attempt of [2, 3, 4]) {
        expect(save(attempt, 200_000)).toContain("FILE_DISK_FULL");
        expect(run.loadCheckpoint("last")).toMatchObject({ state: { step: 1 }, warning: null });
        expect(fs.readdirSync(join(run.path, "checkpoints"))).toEqual(["last"]);
      }
      // To the last byte: now not even a record fits.
      const file = fs.openSync(fill, "a");
      for (const size of [100_000, 4096, 1]) {
        try {
          for (;;) fs.writeSync(file, Buffer.alloc(size));
        } catch (error) {
          expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
        }
      }
      fs.closeSync(file);
      const long = "x".repeat(10_000);
      expect(during(() => run.appendRecord({ epoch: 2, long }))).toContain("FILE_DISK_FULL");
      expect(run.records()).toEqual([{ epoch: 1 }]);
      expect(save(2, 10)).toContain("FILE_DISK_FULL");
      expect(during(() => run.writeFile("other.json", long))).toContain("FILE_DISK_FULL");
      expect(() => run.requireWritten()).toThrow(
        "not saved: record 2 of metrics.jsonl, checkpoints/last, other.json",
      );
      expect(fs.readdirSync(run.path).filter((name) => name.startsWith("."))).toEqual([]);
      fs.rmSync(fill);
      expect(during(() => run.appendRecord({ epoch: 3 }))).toContain("there is room again");
      expect(fs.readFileSync(join(run.path, "other.json"), "utf8")).toBe(long);
      expect(save(3, 200_000)).toBe("");
      expect(run.records()).toEqual([{ epoch: 1 }, { epoch: 2, long }, { epoch: 3 }]);
      expect(run.loadCheckpoint("last")).toMatchObject({ state: { step: 3 }, recordCount: 3 });
      run.close();
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("a disk that became read-only is reported; what is there can be read", (context) => {
    const disk = join(folder, "disk");
    if (!mount(disk, "size=4m")) return context.skip();
    try {
      const run = RunDirectory.create({ kind: "search", config, out: join(disk, "run") });
      run.saveCheckpoint("last", state(1, 10));
      execFileSync("mount", ["-o", "remount,ro", disk]);
      expect(() => run.saveCheckpoint("last", state(2, 10))).toThrow(
        expect.objectContaining({ code: "FILE_READ_ONLY" }),
      );
      expect(RunDirectory.open(run.path, "read").loadCheckpoint("last").state).toEqual({ step: 1 });
      expect(() => RunDirectory.open(run.path, "write")).toThrow(
        expect.objectContaining({ code: "FILE_READ_ONLY" }),
      );
      execFileSync("mount", ["-o", "remount,rw", disk]);
      run.saveCheckpoint("last", state(2, 10));
      expect(run.loadCheckpoint("last").state).toEqual({ step: 2 });
      run.close();
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});
