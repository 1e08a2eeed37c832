// The lock of a run directory: one process writes at a time, and a lock that its holder left behind is recognised.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { jsonText, onFile } from "../base/files.js";

const lockName = "lock.json";

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
  const holder = readLock(join(folder, lockName));
  return holder !== null && (holder.host !== hostname() || isRunning(holder)) ? holder : null;
}

function readLock(path: string): LockHolder | null {
  let text: string;
  try {
    text = fs.readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return lockSchema.parse(JSON.parse(text));
  } catch {
    // Locks appear whole, by link: one that cannot be read was damaged later and says nothing about a living process.
    return null;
  }
}

const held = new Set<string>();

function releaseAll(): void {
  for (const path of held) fs.rmSync(path, { force: true });
}

/**
 * Takes the lock of a run directory; it is given back by the returned function or when the process exits.
 * @throws IstaError RUN_LOCKED with the process id of the holder; FILE_... where the folder cannot be written.
 */
export function takeLock(folder: string): () => void {
  const path = join(folder, lockName);
  onFile("lock", path, () => {
    const own = join(folder, `.writing-${randomBytes(6).toString("hex")}-${lockName}`);
    try {
      fs.writeFileSync(own, jsonText(thisProcess()), { flag: "wx" });
      // A link, unlike a rename, fails where the name is taken: of two processes only one gets it.
      while (!tryLink(own, path)) clearStale(folder, path);
    } finally {
      fs.rmSync(own, { force: true });
    }
  });
  if (held.size === 0) process.once("exit", releaseAll);
  held.add(path);
  return () => {
    held.delete(path);
    fs.rmSync(path, { force: true });
    if (held.size === 0) process.removeListener("exit", releaseAll);
  };
}

function tryLink(from: string, to: string): boolean {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Removes a lock whose holder is gone. @throws IstaError RUN_LOCKED where it is not gone. */
function clearStale(folder: string, path: string): void {
  const holder = lockHolder(folder);
  if (holder !== null) throw locked(folder, path, holder);
  const aside = join(folder, `.writing-${randomBytes(6).toString("hex")}-stale-lock`);
  try {
    fs.renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  // Another process may have cleared the stale lock and taken its own between the two steps above: give it back.
  const moved = readLock(aside);
  const fresh = moved !== null && (moved.host !== hostname() || isRunning(moved));
  if (fresh) tryLink(aside, path);
  fs.rmSync(aside, { force: true });
  if (fresh) throw locked(folder, path, moved);
}

function locked(folder: string, path: string, holder: LockHolder): IstaError {
  const here = holder.host === hostname();
  const way = here
    ? "wait for it, or end it first"
    : `if nothing runs there any more, delete ${path} and try again`;
  return new IstaError(
    "RUN_LOCKED",
    `${folder}: process ${holder.pid}${here ? "" : ` on ${holder.host}`} works on this run; ${way}`,
  );
}
