// Tests of the lock with real processes: the second is refused, what a dead one left is recognised.
import fs from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { failure } from "../../test/support/failure.js";
import { contendForStaleLock, end, firstWord, lockHolderProcess } from "../../test/support/lock-holder.js";
import { lockHolder, takeLock } from "./lock.js";

let folder: string;
let program: string;
beforeAll(() => {
  program = compiledProgram();
}, 120_000);
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-lock-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const lockPath = (): string => join(folder, "lock.json");

describe("between processes", () => {
  it("the second is refused with the first one's id, and gets the lock when that one was killed", async () => {
    const child = lockHolderProcess(program, folder);
    expect(await firstWord(child)).toBe("held");
    const error = failure(() => takeLock(folder));
    expect(error.code).toBe("RUN_LOCKED");
    expect(error.message).toContain(`process ${child.pid} `);
    expect(lockHolder(folder)!.pid).toBe(child.pid);
    await end(child, "SIGKILL");
    expect(fs.existsSync(lockPath())).toBe(true);
    expect(lockHolder(folder)).toBeNull();
    takeLock(folder)();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("is given back at the end of the process", async () => {
    const child = lockHolderProcess(program, folder);
    await firstWord(child);
    await end(child, "SIGTERM");
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("of many that find a stale lock at once, exactly one gets it", async () => {
    const words = await contendForStaleLock(program, folder, 8);
    expect(words).toEqual([...Array(7).fill("RUN_LOCKED"), "held"]);
  });
});

describe("within a process", () => {
  it("a run is taken up only once", () => {
    const release = takeLock(folder);
    expect(failure(() => takeLock(folder)).message).toContain(`process ${process.pid} `);
    release();
    takeLock(folder)();
  });

  it("a lock that another took after it was deleted by hand is left alone", () => {
    const release = takeLock(folder);
    fs.writeFileSync(lockPath(), "another's");
    release();
    expect(fs.readFileSync(lockPath(), "utf8")).toBe("another's");
  });
});

describe("a lock is stale", () => {
  const own = (): Record<string, unknown> => {
    const release = takeLock(folder);
    const value = JSON.parse(fs.readFileSync(lockPath(), "utf8"));
    release();
    return value;
  };

  it.each<[string, (lock: Record<string, unknown>) => unknown]>([
    ["where another process got the same id later", (lock) => ({ ...lock, startTicks: "1" })],
    ["where the machine was started again", (lock) => ({ ...lock, bootId: "another" })],
    ["where no process has the id", (lock) => ({ ...lock, pid: 2 ** 30 })],
    ["where it holds nonsense", () => "nonsense"],
    ["where it is a list", () => []],
    ["where its id is impossible", (lock) => ({ ...lock, pid: -1 })],
  ])("%s", (_what, change) => {
    fs.writeFileSync(lockPath(), JSON.stringify(change(own())));
    expect(lockHolder(folder)).toBeNull();
    takeLock(folder)();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("never where it is of another machine: that cannot be known here", () => {
    fs.writeFileSync(lockPath(), JSON.stringify({ ...own(), host: `not-${hostname()}`, pid: 2 ** 30 }));
    const error = failure(() => takeLock(folder));
    expect(error.code).toBe("RUN_LOCKED");
    expect(error.message).toContain(`delete ${lockPath()}`);
  });
});
