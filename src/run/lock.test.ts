// Tests of the lock with real processes: the second is refused, what a dead one left is recognised.
import { spawn } from "node:child_process";
import fs from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { IstaError } from "../base/errors.js";
import { lockHolder, takeLock } from "./lock.js";

let folder: string;
let program: string;
beforeAll(() => {
  program = compiledProgram();
});
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-lock-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const lockPath = (): string => join(folder, "lock.json");

function failure(action: () => unknown): IstaError {
  try {
    action();
  } catch (error) {
    if (error instanceof IstaError) return error;
    throw error;
  }
  throw new Error("expected an error");
}

/** A process that takes the lock, says so, and then does what `then` says. */
function holder(then: string): ReturnType<typeof spawn> {
  const url = JSON.stringify(join(program, "dist/src/run/lock.js"));
  const script = `const { takeLock } = await import(${url});
    try { takeLock(${JSON.stringify(folder)}); console.log("held"); } catch (error) { console.log(error.code); }
    ${then}`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

const firstWord = (child: ReturnType<typeof spawn>): Promise<string> =>
  new Promise((resolve) => child.stdout!.once("data", (data) => resolve(String(data).trim())));
const ended = (child: ReturnType<typeof spawn>): Promise<void> =>
  new Promise((resolve) => child.once("exit", () => resolve()));

const forever = "setInterval(() => {}, 1000);";

describe("between processes", () => {
  it("the second is refused with the first one's id, and gets the lock when that one was killed", async () => {
    const child = holder(forever);
    expect(await firstWord(child)).toBe("held");
    const error = failure(() => takeLock(folder));
    expect(error.code).toBe("RUN_LOCKED");
    expect(error.message).toContain(`process ${child.pid} `);
    expect(lockHolder(folder)!.pid).toBe(child.pid);
    child.kill("SIGKILL");
    await ended(child);
    expect(fs.existsSync(lockPath())).toBe(true);
    expect(lockHolder(folder)).toBeNull();
    takeLock(folder)();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("is given back at the end of the process", async () => {
    await ended(holder("process.exit(0);"));
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("of many that find a stale lock at once, exactly one gets it", async () => {
    const dead = holder(forever);
    await firstWord(dead);
    dead.kill("SIGKILL");
    await ended(dead);
    const children = Array.from({ length: 8 }, () => holder(forever));
    const words = await Promise.all(children.map(firstWord));
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map(ended));
    expect(words.sort()).toEqual([...Array(7).fill("RUN_LOCKED"), "held"]);
  });
});

describe("within a process", () => {
  it("a run is taken up only once", () => {
    const release = takeLock(folder);
    expect(failure(() => takeLock(folder)).message).toContain(`process ${process.pid} `);
    release();
    takeLock(folder)();
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
