// The lock of a run directory: one process writes at a time, and a lock that its holder left behind is recognised.
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { jsonText, onFile, readFileLimited, temporaryPrefix } from "../base/files.js";
import { requirePlain } from "./plain.js";

/** Bytes of a lock, of which one of ours takes about 200. */
const largestLock = 1 << 16;

/** The file, in the folder that it locks. */
export const lockName = "lock.json";

const lockSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  /** Ticks between the boot and the start of the process: tells it from a later one with the same id. */
  startTicks: z.string().nullable(),
  /** Changes with every boot: no process outlives one. */
  bootId: z.string().nullable(),
});

export type LockHolder = z.output<typeof lockSchema>;

const readProc = (path: string): string | null => {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    // No /proc here (not Linux), or no such process.
    return null;
  }
};

/** Field 22 of /proc/PID/stat; counted from the last parenthesis, as the program's name may hold anything. */
function startTicks(pid: number): string | null {
  const stat = readProc(`/proc/${pid}/stat`);
  return stat === null ? null : (stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null);
}

const bootId = (): string | null => readProc("/proc/sys/kernel/random/boot_id")?.trim() ?? null;

const thisProcess = (): LockHolder => ({
  pid: process.pid,
  host: hostname(),
  startTicks: startTicks(process.pid),
  bootId: bootId(),
});

function isRunning(holder: LockHolder): boolean {
  if (holder.bootId !== null && holder.bootId !== bootId()) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it runs, under another user.
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const ticks = startTicks(holder.pid);
  return holder.startTicks === null || ticks === null || ticks === holder.startTicks;
}

/** Who holds the lock in `folder` and still runs; null where nobody does. A lock of another host counts as held. */
export function lockHolder(folder: string): LockHolder | null {
  requirePlain(folder);
  return runningHolder(readLock(join(folder, lockName)) ?? "");
}

function readLock(path: string): string | null {
  try {
    return readFileLimited(path, largestLock).toString("utf8");
  } catch (error) {
    if (error instanceof IstaError && error.code === "FILE_NOT_FOUND") return null;
    throw error;
  }
}

/** The process that a lock's text names, where it runs. */
function runningHolder(text: string): LockHolder | null {
  let holder: LockHolder;
  try {
    holder = lockSchema.parse(JSON.parse(text));
  } catch {
    // Locks appear whole, by link: one that cannot be read was damaged later and says nothing about a living process.
    return null;
  }
  return holder.host !== hostname() || isRunning(holder) ? holder : null;
}

const held = new Map<string, string>();

function release(path: string): void {
  // A user may have deleted the lock by hand, and another process taken it since.
  if (readLock(path) === held.get(path)) fs.rmSync(path, { force: true });
  held.delete(path);
}

function releaseAll(): void {
  for (const path of held.keys()) release(path);
}

/**
 * Takes the lock of a run directory; it is given back by the returned function or when the process exits.
 * @param what the folder is, for messages
 * @throws IstaError RUN_LOCKED with the process id of the holder; FILE_... where the folder cannot be written.
 */
export function takeLock(folder: string, what = "run"): () => void {
  requirePlain(folder);
  const path = join(folder, lockName);
  const own = jsonText(thisProcess());
  onFile("lock", path, () => acquire(folder, path, own, what));
  if (held.size === 0) process.once("exit", releaseAll);
  held.set(path, own);
  return () => {
    if (held.has(path)) release(path);
    if (held.size === 0) process.removeListener("exit", releaseAll);
  };
}

/** Puts `own` at `path`, clearing away what processes that are gone left there. */
function acquire(folder: string, path: string, own: string, what: string): void {
  while (!create(folder, path, own)) {
    const text = readLock(path);
    if (text === null) continue;
    const holder = runningHolder(text);
    if (holder !== null) throw locked(folder, path, holder, what);
    // Who clears a stale lock must hold a lock for just that one: without it, a process that judged early and acts late
    // would remove the lock that another has taken in the meantime.
    const claim = join(folder, `${temporaryPrefix}stale-${createHash("sha256").update(text).digest("hex")}`);
    acquire(folder, claim, own, what);
    if (readLock(path) === text) fs.rmSync(path, { force: true });
    fs.rmSync(claim, { force: true });
  }
}

/** Creates the file `path` with its whole text at once; false where there is one. A link, unlike a rename, replaces nothing. */
function create(folder: string, path: string, text: string): boolean {
  const temporary = join(folder, `${temporaryPrefix}${randomBytes(6).toString("hex")}-lock`);
  try {
    fs.writeFileSync(temporary, text, { flag: "wx" });
    fs.linkSync(temporary, path);
    return true;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    // ENOENT: the process that has just got the lock cleaned up, this temporary file included.
    if (syscall === "link" && (code === "EEXIST" || code === "ENOENT")) return false;
    throw error;
  } finally {
    fs.rmSync(temporary, { force: true });
  }
}

function locked(folder: string, path: string, holder: LockHolder, what: string): IstaError {
  const here = holder.host === hostname();
  const way = here
    ? "wait for it, or end it first"
    : `if nothing runs there any more, delete ${path} and try again`;
  return new IstaError(
    "RUN_LOCKED",
    `${folder}: process ${holder.pid}${here ? "" : ` on ${holder.host}`} works on this ${what}; ${way}`,
  );
}
