// The command line of each run of a study: an ordinary search, safe to repeat.
import { join } from "node:path";
import { packageFolder } from "../base/package.js";
import { printable } from "../base/terminal.js";
import type { Study, StudyRun } from "./directory.js";

/** The program itself, as a file that Node runs. */
export const programPath = join(packageFolder, "ista-nas");

/** Threads of the tensor engine for each run: what the user wants, or a share of the cores where a run's options say nothing. */
export interface Threads {
  readonly count: number;
  readonly wanted: boolean;
}

/**
 * What follows the program's name to begin a run, to go on with it, or to do nothing where it is finished.
 * @param threads null for what the run's options say, or one per core
 */
export function wordsOf({ plan, arms }: Study, run: StudyRun, threads: Threads | null): string[] {
  const said = threads === null || (!threads.wanted && "threads" in arms.get(run.arm)!.options);
  return [
    ...["search", "--config", run.configPath, "--seed", String(run.seed), "--out", run.path, "--go-on"],
    ...(said ? [] : ["--threads", String(threads.count)]),
    ...plan.plugins.flatMap((plugin) => ["--plugin", plugin]),
  ];
}

/** A word as a POSIX shell takes it for itself. */
const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** A command of this program as users type it, beginning with `ista-nas`, to be shown. */
export const typedLine = (words: readonly string[]): string =>
  printable(["ista-nas", ...words].map(quoted).join(" "));

/** The command as a line for a shell. */
export const shellLine = (words: readonly string[]): string => [programPath, ...words].map(quoted).join(" ");
