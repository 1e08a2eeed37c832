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
    space: { type: "string", default: "darts" },
    method: { type: "string", default: "ista-two-stage" },
    mode: { type: "string" },
    batch: { type: "string", default: "64" },
    cells: { type: "string" },
    channels: { type: "string" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "1" },
    recompute: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    peers: { type: "string", default: "authors,nchw,channels-last" },
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

  async ready(): Promise<void> {
    await this.read();
  }

  async start(): Promise<void> {
    await this.ready();
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
/** The support that both sides run in NAS-Bench-201: every operation but zeros, which cost nothing. */
const nasBench201Architecture =
  "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|";
const inNasBench201 = flags.space === "nas-bench-201";
const architecture = inNasBench201 ? ["--architecture", nasBench201Architecture] : [];
const peerMethod = flags.method === "ista-two-stage" ? "ista-nas" : flags.method;
const here = dirname(fileURLToPath(import.meta.url));
const ours = new Side("ista-nas", process.execPath, [
  join(here, "worker.js"),
  ...workload,
  ...architecture,
  "--method",
  flags.method,
  ...(flags.recompute ? ["--recompute"] : []),
]);
const sides = [ours];
const mode = flags.mode ?? (flags.network === "target" ? "train-step" : "search-step");
/** How PyTorch can be used: as the authors do, who call `loss.backward()` for b too, and in two layouts with b's gradient alone. */
const peers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  authors: ["PyTorch as published", "--layout", "nchw", "--full-backward"],
  nchw: ["PyTorch nchw", "--layout", "nchw"],
  "channels-last": ["PyTorch channels-last", "--layout", "channels-last"],
};
if (existsSync(flags.python)) {
  const script = join(packageFolder, "bench/peer/run_step.py");
  for (const name of flags.peers.split(",")) {
    const [title, ...args] = peers[name] ?? [];
    if (title === undefined)
      throw new Error(`--peers: expected some of ${Object.keys(peers).join()}, got ${name}`);
    // Without b there is nothing that the published program does otherwise.
    if (name === "authors" && mode !== "search-step") continue;
    const same = ["--space", flags.space, "--method", peerMethod, ...architecture];
    sides.push(new Side(title, flags.python, [script, ...workload, ...same, ...args]));
  }
} else {
  console.log(`${flags.python} is not there: only this program is measured (--python names another)`);
}
/** A process of its own, since its matrices would count among the memory of a step. */
async function matrixProductRate(): Promise<number> {
  const side = new Side("matrix product", process.execPath, [
    join(here, "worker.js"),
    "--threads",
    flags.threads,
  ]);
  await side.ready();
  const { gflop_per_second: rate } = await side.ask("matmul");
  side.end();
  return rate;
}

const before = await matrixProductRate();
for (const side of sides) await side.start();
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const side of sides) await side.run(Number(flags.steps));
}
const after = await matrixProductRate();
console.log(
  `${flags.space} ${flags.method} ${flags.network} ${mode}, batch ${flags.batch}, ${flags.threads} threads; matrix product ${before.toFixed(0)} and ${after.toFixed(0)} GFLOP/s before and after`,
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
