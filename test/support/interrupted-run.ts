// Interrupts a run again and again, goes on with it each time, and compares what comes of it with an undisturbed one.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { RandomStream } from "../../src/base/random.js";
import {
  begin,
  expectSameResults,
  pause,
  resultsOf,
  type SmallRun,
  smallRuns,
  succeed,
} from "./command-line.js";

export interface Reference {
  readonly results: Readonly<Record<string, unknown>>;
  /** From the line that names the run directory to the end. */
  readonly milliseconds: number;
}

/** Runs undisturbed. */
export async function undisturbed(program: string, kind: SmallRun, path: string): Promise<Reference> {
  const command = begin(program, [...smallRuns[kind], "--out", path]);
  await command.said(/run directory/);
  const started = performance.now();
  const ending = await command.ended;
  expect(ending, ending.err).toMatchObject({ status: 0 });
  return { results: resultsOf(path), milliseconds: performance.now() - started };
}

export interface Interruptions {
  /** How often the run was interrupted before its end. */
  count: number;
  /** How many of them left a checkpoint half-written or half-replaced. */
  inWrite: number;
}

/** Whether a write of a checkpoint was cut off, or its replacement. */
function leftUnfinished(path: string): boolean {
  const folder = join(path, "checkpoints");
  if (!existsSync(folder)) return false;
  const names = readdirSync(folder);
  return (
    names.some((name) => name.startsWith(".writing-")) ||
    (names.includes("last.previous") && !names.includes("last"))
  );
}

function isFinished(path: string): boolean {
  const summary = join(path, "summary.json");
  return existsSync(summary) && JSON.parse(readFileSync(summary, "utf8")).status === "finished";
}

/**
 * Interrupts at random moments until the run is finished or has been interrupted `times` times, then lets it finish; its
 * results must be those of the undisturbed run. A run that was over before the first interruption, because the
 * undisturbed one happened to be slow, is begun anew and interrupted sooner.
 */
export async function interruptedLikeUndisturbed(
  program: string,
  kind: SmallRun,
  path: string,
  reference: Reference,
  { times, signals, random }: { times: number; signals: readonly NodeJS.Signals[]; random: RandomStream },
): Promise<Interruptions> {
  const command = smallRuns[kind][0];
  const counts: Interruptions = { count: 0, inWrite: 0 };
  const first = [...smallRuns[kind], "--out", path];
  let words = first;
  // The mean leaves something to do for the rounds after it.
  let longest = (1.5 * reference.milliseconds) / times;
  while (counts.count < times) {
    const running = begin(program, words);
    await running.said(/run directory|goes on after|begins again/);
    words = [command, "--resume", path];
    await pause(random.uniform() * longest);
    const signal = signals[counts.count % signals.length];
    running.kill(signal);
    const ending = await running.ended;
    // Too late, perhaps only just: the process was on its way out.
    if (isFinished(path)) {
      if (counts.count > 0) break;
      expectSameResults(path, reference.results);
      rmSync(path, { recursive: true });
      words = first;
      longest /= 2;
      continue;
    }
    if (signal === "SIGKILL") expect(ending, ending.err).toMatchObject({ status: null, signal });
    else expect(ending, ending.err).toMatchObject({ status: 130, signal: null });
    counts.count += 1;
    counts.inWrite += Number(leftUnfinished(path));
  }
  await succeed(program, [command, "--resume", path]);
  expectSameResults(path, reference.results);
  return counts;
}
