// Child processes that take the lock of a folder, for tests of what happens between processes.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

/**
 * A process that tries to take the lock at the moment `at` (milliseconds since 1970), prints `held` or the error's code, and
 * stays until it is killed.
 */
export function lockHolderProcess(program: string, folder: string, at = 0): ChildProcess {
  const script = `
    const { takeLock } = await import(${JSON.stringify(join(program, "dist/src/run/lock.js"))});
    process.on("SIGTERM", () => process.exit(0));
    while (Date.now() < ${at});
    try { takeLock(${JSON.stringify(folder)}); console.log("held"); } catch (error) { console.log(error.code ?? error); }
    setInterval(() => {}, 1000);`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** The first thing that a child prints. */
export const firstWord = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => child.stdout!.once("data", (data) => resolve(String(data).trim())));

/** Ends a child and waits until it is gone. */
export function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  return gone;
}

/**
 * Leaves a stale lock and lets `count` processes find it at once.
 * @returns what each came to, sorted.
 */
export async function contendForStaleLock(program: string, folder: string, count: number): Promise<string[]> {
  const dead = lockHolderProcess(program, folder);
  await firstWord(dead);
  await end(dead, "SIGKILL");
  const at = Date.now() + 1000;
  const children = Array.from({ length: count }, () => lockHolderProcess(program, folder, at));
  const words = await Promise.all(children.map(firstWord));
  await Promise.all(children.map((child) => end(child, "SIGKILL")));
  return words.sort();
}
