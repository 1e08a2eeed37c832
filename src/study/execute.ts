// Carries the runs of a study out, some side by side, each in a process of its own; what is finished already is kept.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { IstaError } from "../base/errors.js";
import { onFile, readFileLimited } from "../base/files.js";
import { trainingPath } from "../run/go-on.js";
import { lockHolder } from "../run/lock.js";
import { readSummary } from "../run/summary.js";
import { programPath, type Threads, wordsOf } from "./commands.js";
import { runIsFinished, runsOf, type Study, type StudyRun } from "./directory.js";

export interface RunOutcome {
  readonly run: StudyRun;
  /** `kept`: it was finished before. `waiting`: nothing was done with it, as the study was stopped before its turn. */
  readonly outcome: "finished" | "kept" | "failed" | "interrupted" | "waiting";
  /** Why it failed: code and message of its error, or how its process ended. */
  readonly problem: string | null;
}

/** Where a study is. */
export interface StudyProgress {
  readonly done: number;
  readonly all: number;
  readonly running: number;
  /** Estimated from the runs that are finished; null before the first one. */
  readonly secondsLeft: number | null;
}

export interface StudyObserver {
  /** A run has ended, or was kept. */
  ended(outcome: RunOutcome, progress: StudyProgress): void;
  /** Now and then. */
  progress(progress: StudyProgress): void;
  /** A line that stays. */
  line(text: string): void;
}

export interface StudyControl {
  readonly observer: StudyObserver;
  /** Runs side by side. */
  readonly jobs: number;
  readonly threads: Threads;
  /** Aborted when the user asks to stop: what runs is saved, and nothing else is begun. */
  readonly stop: AbortSignal;
}

const waitMilliseconds = 500;
const progressMilliseconds = 1000;
const maximumLogBytes = 64 << 20;

/** The last error that a run reported in its log, behind what earlier attempts wrote; null where there is none. */
function reportedError(path: string, start: number): string | null {
  const log = readFileLimited(path, maximumLogBytes).subarray(start).toString("utf8");
  return [...log.matchAll(/^error ([A-Z_]+: .*)$/gm)].at(-1)?.[1] ?? null;
}

/** Seconds of computing of a finished run. */
const secondsOf = ({ path }: StudyRun): number =>
  [path, trainingPath(path)].reduce((sum, one) => sum + (readSummary(one)?.seconds ?? 0), 0);

class StudyExecution {
  private readonly outcomes = new Map<string, RunOutcome>();
  private readonly begun = new Map<string, number>();
  private readonly children = new Set<ChildProcess>();
  private readonly seconds: number[] = [];
  private readonly queue: StudyRun[];

  constructor(
    private readonly study: Study,
    private readonly control: StudyControl,
  ) {
    this.queue = runsOf(study);
  }

  async carryOut(): Promise<RunOutcome[]> {
    const { jobs, stop, observer } = this.control;
    const all = [...this.queue];
    const end = (): void => {
      for (const child of this.children) child.kill("SIGTERM");
    };
    const ticker = setInterval(() => observer.progress(this.progress), progressMilliseconds);
    stop.addEventListener("abort", end);
    try {
      await Promise.all(Array.from({ length: jobs }, () => this.work()));
    } finally {
      stop.removeEventListener("abort", end);
      clearInterval(ticker);
    }
    return all.map((run) => this.outcomes.get(run.path) ?? { run, outcome: "waiting", problem: null });
  }

  private get progress(): StudyProgress {
    const [done, running] = [this.outcomes.size, this.begun.size];
    const all = done + running + this.queue.length;
    const now = performance.now() / 1000;
    const mean = this.seconds.reduce((sum, value) => sum + value, 0) / this.seconds.length;
    const begun = [...this.begun.values()].reduce((sum, since) => sum + Math.min(mean, now - since), 0);
    const left = Math.max(0, (all - done) * mean - begun) / this.control.jobs;
    return { done, all, running, secondsLeft: this.seconds.length === 0 ? null : left };
  }

  /** One of the runs side by side: takes the next one, again and again. */
  private async work(): Promise<void> {
    for (let run = this.queue.shift(); run !== undefined; run = this.queue.shift()) {
      if (this.control.stop.aborted) return;
      this.begun.set(run.path, performance.now() / 1000);
      const outcome = await this.carryOutRun(run).catch((error): RunOutcome => {
        // A run whose folder cannot be read or written is a failed one; anything else is a mistake of ours.
        if (!(error instanceof IstaError)) throw error;
        return { run, outcome: "failed", problem: `${error.code}: ${error.message}` };
      });
      const taken = performance.now() / 1000 - this.begun.get(run.path)!;
      this.begun.delete(run.path);
      this.outcomes.set(run.path, outcome);
      if (outcome.outcome === "finished") this.seconds.push(taken);
      if (outcome.outcome === "kept") this.seconds.push(secondsOf(run));
      this.control.observer.ended(outcome, this.progress);
    }
  }

  private async carryOutRun(run: StudyRun): Promise<RunOutcome> {
    await this.waitForOthers(run);
    if (runIsFinished(run)) return { run, outcome: "kept", problem: null };
    if (this.control.stop.aborted) return { run, outcome: "waiting", problem: null };
    const logged = existsSync(run.logPath) ? statSync(run.logPath).size : 0;
    const { status, signal } = await this.start(run);
    if (status === 0 && runIsFinished(run)) return { run, outcome: "finished", problem: null };
    if (this.control.stop.aborted) return { run, outcome: "interrupted", problem: null };
    const how = signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`;
    return {
      run,
      outcome: "failed",
      problem: reportedError(run.logPath, logged) ?? `${how}; see ${run.logPath}`,
    };
  }

  /** A run that another process works on, such as one whose study was killed a moment ago, is waited for. */
  private async waitForOthers({ arm, seed, path }: StudyRun): Promise<void> {
    for (let told = false; existsSync(path) && !this.control.stop.aborted; told = true) {
      const holder = lockHolder(path);
      if (holder === null) return;
      if (!told)
        this.control.observer.line(
          `${arm} seed ${seed}: waits for process ${holder.pid} on ${holder.host}, which works on it`,
        );
      await new Promise((resolve) => setTimeout(resolve, waitMilliseconds));
    }
  }

  private async start(run: StudyRun): Promise<{ status: number | null; signal: NodeJS.Signals | null }> {
    const { FORCE_COLOR: _, ...environment } = process.env;
    const log = onFile("append to", run.logPath, () => openSync(run.logPath, "a"));
    try {
      // A group of its own: Ctrl-C reaches the study alone, which passes it on. The channel tells the run when the study is killed.
      const child = spawn(
        process.execPath,
        [programPath, ...wordsOf(this.study, run, this.control.threads)],
        {
          stdio: ["ignore", "ignore", log, "ipc"],
          detached: true,
          env: { ...environment, NO_COLOR: "1" },
        },
      );
      this.children.add(child);
      return await new Promise((resolve, reject) => {
        child.once("error", reject);
        child.once("exit", (status, signal) => {
          this.children.delete(child);
          resolve({ status, signal });
        });
      });
    } finally {
      closeSync(log);
    }
  }
}

/**
 * Carries the runs of a study out. One that fails does not stop the others.
 * @returns what became of each run, in the order of the plan
 */
export const carryOutStudy = (study: Study, control: StudyControl): Promise<RunOutcome[]> =>
  new StudyExecution(study, control).carryOut();
