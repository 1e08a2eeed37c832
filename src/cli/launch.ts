// `ista-nas launch`: several processes of this machine that compute one run.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import type { Command } from "commander";
import { clusterPlace } from "../base/cluster.js";
import { IstaError } from "../base/errors.js";
import { usefulThreads } from "../base/processors.js";
import { programPath } from "../study/commands.js";
import { addExamples, note } from "./frame.js";
import { wholeNumber } from "./model-options.js";
import { addTimeout } from "./processes.js";

/** Commands that several processes can carry out together. */
export const launchable = ["search", "train", "eval"];

/**
 * Words of a command line up to the command that `launch` is to start, and the rest: flags behind that are that command's.
 * @param words what follows the program's name
 */
export function splitLaunch(words: readonly string[]): {
  own: readonly string[];
  launched: readonly string[];
} {
  const launch = words.indexOf("launch");
  const command = words.findIndex((word, index) => index > launch && launchable.includes(word));
  if (launch < 0 || words.slice(0, launch).some((word) => !word.startsWith("-")) || command < 0)
    return { own: words, launched: [] };
  return { own: words.slice(0, command), launched: words.slice(command) };
}

const loopback = "127.0.0.1";
/** How long those that are left may take to end by themselves once one has failed, milliseconds. */
const patience = 10_000;
/** Of what the silent ones say, so much is kept for the case that one fails. */
const keptOutput = 8192;

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, loopback, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

interface Ended {
  readonly rank: number;
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

class Launched {
  private readonly children: ChildProcess[] = [];
  private readonly said: string[] = [];
  private failed: Ended | null = null;
  private impatience: NodeJS.Timeout | undefined;

  constructor(
    private readonly words: readonly string[],
    private readonly processes: number,
    private readonly port: number,
  ) {}

  /** @returns the exit status: that of the first process, or of the first that failed */
  async run(): Promise<number> {
    const endings = Array.from({ length: this.processes }, (_, rank) => this.start(rank));
    const pass = (signal: NodeJS.Signals): void => {
      for (const child of this.children) child.kill(signal);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.on(signal, pass);
    try {
      const all = await Promise.all(endings.map((ending) => ending.then((one) => this.ended(one))));
      return this.failed === null ? (all[0].status ?? 1) : this.reported(this.failed);
    } finally {
      clearTimeout(this.impatience);
      for (const signal of signals) process.removeListener(signal, pass);
    }
  }

  private start(rank: number): Promise<Ended> {
    const first = rank === 0;
    const child = spawn(process.execPath, [programPath, ...this.words], {
      // Ctrl-C reaches this process alone, which passes it on. The channel tells the others when this one is killed.
      detached: true,
      stdio: [first ? "inherit" : "ignore", first ? "inherit" : "ignore", first ? "inherit" : "pipe", "ipc"],
      env: {
        ...process.env,
        RANK: String(rank),
        WORLD_SIZE: String(this.processes),
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: String(this.processes),
        MASTER_ADDR: loopback,
        MASTER_PORT: String(this.port),
      },
    });
    this.children.push(child);
    this.said.push("");
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.said[rank] = (this.said[rank] + text).slice(-keptOutput);
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => resolve({ rank, status, signal }));
    });
  }

  private ended(one: Ended): Ended {
    // 130: a signal ended it in good order.
    if (this.failed !== null || one.status === 0 || one.status === 130) return one;
    this.failed = one;
    // The others notice, and say so; one that waits for something else is not waited for.
    this.impatience = setTimeout(() => {
      for (const child of this.children) child.kill("SIGKILL");
    }, patience);
    return one;
  }

  private reported({ rank, status, signal }: Ended): number {
    if (rank !== 0) {
      process.stderr.write(this.said[rank]);
      note(
        `the process with rank ${rank} of ${this.processes} ${signal === null ? `failed with status ${status}` : `was ended by ${signal}`}, and so the run; its last checkpoint is whole: --resume goes on`,
      );
    } else if (signal !== null) note(`the process with rank 0 was ended by ${signal}`);
    return status ?? 1;
  }
}

interface LaunchOptions {
  processes?: number;
  threads: number;
  timeout: number;
}

/** @param launched the command that is to be started, with its flags; see `splitLaunch` */
export function registerLaunch(program: Command, launched: readonly string[]): void {
  const command = addTimeout(
    program
      .command("launch")
      .description("carry a search, training or evaluation out with several processes of this machine")
      .usage("[options] search|train|eval ...")
      .option("--processes <n>", "how many", wholeNumber("--processes", 1))
      .option(
        "--threads <n>",
        "threads of all of them together; 0 = one per core",
        wholeNumber("--threads", 0),
        0,
      ),
  ).action(async (options: LaunchOptions) => {
    const { processes, threads, timeout } = options;
    if (processes === undefined || launched.length === 0)
      throw new IstaError(
        "USAGE",
        `launch: expected --processes N and one of ${launchable.join(", ")} with its flags behind, got no ${processes === undefined ? "--processes" : "such command"}`,
      );
    if (clusterPlace() !== null)
      throw new IstaError(
        "USAGE",
        "launch: expected to be the only launcher, this process was started by another one as one of several; give that one the command itself",
      );
    const share = Math.max(1, Math.floor((threads === 0 ? usefulThreads() : threads) / processes));
    const words = [
      ...launched,
      ...(launched.some((word) => /^--threads(=|$)/.test(word)) ? [] : ["--threads", String(share)]),
      ...(launched.some((word) => /^--timeout(=|$)/.test(word)) ? [] : ["--timeout", String(timeout)]),
    ];
    process.exitCode = await new Launched(words, processes, await freePort()).run();
  });
  addExamples(command, [
    [
      "launch --processes 2 search --data my-pictures --image-size 32 --batch-size 128",
      "each takes 64 of the 128 images of a step",
    ],
    ["launch --processes 4 train --resume runs/trained", "go on, with any number of processes"],
  ]);
}
