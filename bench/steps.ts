// Whole steps against PyTorch: both sides take turns in one process group, so that noise of the machine hits both alike.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatBytes, formatTable, median } from "../src/base/format.js";
import { packageFolder } from "../src/base/package.js";

const { values: flags } = parseArgs({
  options: {
    network: { type: "string", default: "supernet" },
    mode: { type: "string" },
    batch: { type: "string", default: "64" },
    cells: { type: "string" },
    channels: { type: "string" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "1" },
    profile: { type: "boolean", default: false },
    python: { type: "string", default: "/usr/bin/python3" },
  },
});

interface Answer {
  seconds: number[];
  peak_rss_bytes: number;
  gflop_per_second: number;
  report: unknown;
}

/** A process that answers each line of a command with one line of JSON. */
class Side {
  readonly seconds: number[] = [];
  peakBytes = 0;
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
  ) {
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  private async read(): Promise<Answer> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.name} ended before it answered`);
    return JSON.parse(value) as Answer;
  }

  async start(): Promise<void> {
    await this.read();
    await this.ask("run 2");
  }

  ask(command: string): Promise<Answer> {
    this.child.stdin!.write(`${command}\n`);
    return this.read();
  }

  async run(steps: number): Promise<void> {
    const { seconds, peak_rss_bytes: peak } = await this.ask(`run ${steps}`);
    this.seconds.push(...seconds);
    this.peakBytes = peak;
  }

  end(): void {
    this.child.stdin!.end("quit\n");
  }
}

const workload = (["network", "mode", "batch", "cells", "channels", "threads"] as const).flatMap((name) =>
  flags[name] === undefined ? [] : [`--${name}`, flags[name]],
);
const here = dirname(fileURLToPath(import.meta.url));
const ours = new Side("ista-nas", process.execPath, [join(here, "worker.js"), ...workload]);
const sides = [ours];
if (existsSync(flags.python)) {
  const peer = join(packageFolder, "bench/peer/run_step.py");
  for (const layout of ["nchw", "channels-last"]) {
    sides.push(new Side(`PyTorch ${layout}`, flags.python, [peer, ...workload, "--layout", layout]));
  }
} else {
  console.log(`${flags.python} is not there: only this program is measured (--python names another)`);
}
for (const side of sides) await side.start();
const before = (await ours.ask("matmul")).gflop_per_second;
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const side of sides) await side.run(Number(flags.steps));
}
const after = (await ours.ask("matmul")).gflop_per_second;
const mode = flags.mode ?? (flags.network === "target" ? "train-step" : "search-step");
console.log(
  `${flags.network} ${mode}, batch ${flags.batch}, ${flags.threads} threads; matrix product ${before.toFixed(0)} and ${after.toFixed(0)} GFLOP/s before and after`,
);
console.log(
  formatTable(sides, [
    { title: "", cell: (side) => side.name },
    { title: "min s/step", align: "right", cell: (side) => Math.min(...side.seconds).toFixed(3) },
    { title: "median s/step", align: "right", cell: (side) => median(side.seconds).toFixed(3) },
    {
      title: "ratio of minima",
      align: "right",
      cell: (side) => (Math.min(...side.seconds) / Math.min(...ours.seconds)).toFixed(2),
    },
    {
      // Turn by turn: what disturbs one side of a turn is likely to disturb the other.
      title: "median ratio",
      align: "right",
      cell: (side) => median(side.seconds.map((value, i) => value / ours.seconds[i])).toFixed(2),
    },
    {
      title: "images/s",
      align: "right",
      cell: (side) => (Number(flags.batch) / median(side.seconds)).toFixed(0),
    },
    { title: "peak memory", align: "right", cell: (side) => formatBytes(side.peakBytes) },
  ]),
);
if (flags.profile) console.log(JSON.stringify(await ours.ask("profile 2"), null, 1));
for (const side of sides) side.end();
