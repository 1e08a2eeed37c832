// `--dash` on a run: the dashboard in a process of its own, which ends with the run and never waits for its steps.
import { type ChildProcess, spawn } from "node:child_process";
import { setPriority } from "node:os";
import { basename, join, resolve } from "node:path";
import { packageFolder } from "../base/package.js";
import { trainingPath } from "../run/go-on.js";
import type { RunLocation } from "./options.js";

export interface RunDash {
  /** Where its page is; null where it could not start, which it has said itself. */
  readonly address: Promise<string | null>;
  close(): void;
}

/** What is followed: the run that is named, or else the folder that it will be in. */
function placesOf({ out, resume, root = "runs", name }: RunLocation & { resume?: string }): {
  roots: string[];
  run: string | null;
} {
  const run = resume ?? out ?? (name === undefined ? null : join(root, name));
  if (run === null) return { roots: [root], run: null };
  return { roots: [run, trainingPath(run)], run: basename(resolve(run)) };
}

/** Lower than the run: what is shown may come late. */
const priority = 10;

export function startRunDash(location: RunLocation & { resume?: string }): RunDash {
  const { roots, run } = placesOf(location);
  const words = ["dash", ...roots, "--with-parent", "--quiet"];
  const child: ChildProcess = spawn(process.execPath, [join(packageFolder, "ista-nas"), ...words], {
    // It ends when its input does: also where this process is killed.
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    if (child.pid !== undefined) setPriority(child.pid, priority);
  } catch {
    // Not allowed here, or over already.
  }
  const address = new Promise<string | null>((done) => {
    let text = "";
    child.stdout!.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      const [line, rest] = text.split("\n");
      if (rest !== undefined) done(`${line}${run === null ? "" : `#/run/${encodeURIComponent(run)}`}`);
    });
    child.once("error", () => done(null));
    child.once("close", () => done(null));
  });
  // An input that is gone already is no error of the run's.
  child.stdin!.on("error", () => {});
  child.unref();
  return { address, close: () => child.stdin!.end() };
}
