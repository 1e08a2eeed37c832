// Steps in several processes against one: what a process more is worth, and what the exchange costs. The sides take turns.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { loadavg } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { clusterPlace } from "../src/base/cluster.js";
import { formatBytes, formatTable, median } from "../src/base/format.js";
import { noiseSources } from "../src/bench/noise-sources.js";
import { resolveConfig } from "../src/config/config.js";
import { exchanged, joinProcesses, synchroniseNorms } from "../src/course/processes.js";
import { setThreads, tuneAllocator } from "../src/engine/device.js";
import { resolveGenotype } from "../src/formats/genotype-resolve.js";
import "../src/methods/registry.js";
import { createSearch } from "../src/methods/run-search.js";
import { evaluationNetwork } from "../src/space/space.js";
import { Training } from "../src/training/training.js";

const { values: flags } = parseArgs({
  options: {
    network: { type: "string", default: "supernet" },
    /** Images of a process in a step. */
    batch: { type: "string", default: "64" },
    cells: { type: "string" },
    channels: { type: "string" },
    processes: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "2" },
    /** Of a process that is started by this program: its threads, and whether it synchronises batch norms. */
    threads: { type: "string" },
    sync: { type: "boolean", default: false },
  },
});
const processes = Number(flags.processes);
const perProcess = Number(flags.batch);

interface Round {
  readonly seconds: number[];
  /** Bytes, and seconds of waiting for sums and of sums being on their way, of these steps. */
  readonly exchanged: {
    readonly bytes: number;
    readonly waitedSeconds: number;
    readonly busySeconds: number;
  };
}

const nothing = { bytes: 0, waitedSeconds: 0, busySeconds: 0 };

/** The part of this program that takes steps: answers each line with the times of so many. */
async function takeSteps(): Promise<void> {
  const place = clusterPlace();
  setThreads(Number(flags.threads));
  tuneAllocator();
  if (place !== null) await joinProcesses(place, 300);
  synchroniseNorms(flags.sync);
  const batchSize = perProcess * (place?.size ?? 1);
  const sources = noiseSources({ batchSize, channels: 3, size: 32, classes: 10 });
  const given = {
    batchSize,
    ...(flags.cells === undefined ? {} : { cells: Number(flags.cells) }),
    ...(flags.channels === undefined ? {} : { channels: Number(flags.channels) }),
  };
  const target = flags.network === "target";
  const { space, selection } = resolveGenotype("ISTA_twostage");
  const trainConfig = resolveConfig("train", { flags: { ...given, dropPath: 0, auxiliaryWeight: 0 } }).config;
  const size = {
    ...{ inputChannels: 3, classes: 10, imageHeight: 32, imageWidth: 32, auxiliary: false },
    ...{ cells: trainConfig.cells, channels: trainConfig.channels, stem: "cifar" as const },
  };
  const course = target
    ? new Training(trainConfig, sources, evaluationNetwork({ space, selection }, size))
    : await createSearch(resolveConfig("search", { flags: given }).config, sources);
  let done = 0;
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") break;
    const before = exchanged() ?? nothing;
    const seconds: number[] = [];
    for (let i = 0; i < Number(line); i++) {
      const started = performance.now();
      await course.step(0, done++ % course.stepCount);
      seconds.push((performance.now() - started) / 1000);
    }
    const after = exchanged() ?? nothing;
    const round: Round = {
      seconds,
      exchanged: {
        bytes: after.bytes - before.bytes,
        waitedSeconds: after.waitedSeconds - before.waitedSeconds,
        busySeconds: after.busySeconds - before.busySeconds,
      },
    };
    process.stdout.write(`${JSON.stringify(round)}\n`);
  }
  process.exit(0);
}

/** Processes that take their steps together. */
class Side {
  readonly rounds: Round[] = [];
  private readonly children: ChildProcess[] = [];
  private readonly lines: AsyncIterator<string>[] = [];

  constructor(
    readonly name: string,
    readonly count: number,
    readonly threads: number,
    port: number,
    sync = false,
  ) {
    for (let rank = 0; rank < count; rank++) {
      const place = {
        RANK: `${rank}`,
        WORLD_SIZE: `${count}`,
        MASTER_ADDR: "127.0.0.1",
        MASTER_PORT: `${port}`,
      };
      const words = [...process.argv.slice(2), "--threads", `${threads}`, ...(sync ? ["--sync"] : [])];
      const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...words], {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, OMP_NUM_THREADS: `${threads}`, ...place },
      });
      this.children.push(child);
      this.lines.push(createInterface({ input: child.stdout! })[Symbol.asyncIterator]());
    }
  }

  async answers(): Promise<string[]> {
    const all = await Promise.all(this.lines.map((one) => one.next()));
    if (all.some(({ done }) => done)) throw new Error(`${this.name} ended before it answered`);
    return all.map(({ value }) => value as string);
  }

  async take(steps: number): Promise<void> {
    for (const child of this.children) child.stdin!.write(`${steps}\n`);
    const [first] = await this.answers();
    this.rounds.push(JSON.parse(first) as Round);
  }

  quit(): void {
    for (const child of this.children) child.stdin!.write("quit\n");
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

async function compare(): Promise<void> {
  const steps = Number(flags.steps);
  const sides = [
    new Side("1 process of 1 thread", 1, 1, 1),
    new Side(`${processes} processes of 1 thread`, processes, 1, await freePort()),
    new Side(`${processes} processes, synchronised`, processes, 1, await freePort(), true),
    new Side(`1 process of ${processes} threads`, 1, processes, 1),
  ];
  for (const side of sides) {
    await side.answers();
    await side.take(1);
    side.rounds.length = 0;
  }
  const loads = [loadavg()[0]];
  for (let round = 0; round < Number(flags.rounds); round++) for (const side of sides) await side.take(steps);
  loads.push(loadavg()[0]);
  for (const side of sides) side.quit();
  const secondsOf = ({ rounds }: Side): number[] => rounds.flatMap(({ seconds }) => seconds);
  const [alone] = sides;
  const rows = sides.map((side) => {
    const seconds = secondsOf(side);
    const count = seconds.length;
    const sums = side.rounds.reduce(
      (sum, { exchanged }) => ({
        bytes: sum.bytes + exchanged.bytes / count,
        waited: sum.waited + exchanged.waitedSeconds / count,
        busy: sum.busy + exchanged.busySeconds / count,
      }),
      { bytes: 0, waited: 0, busy: 0 },
    );
    // Each round beside the one of one process just before: noise of the machine hits both.
    const ratios = side.rounds.map(
      (round, index) => median(round.seconds) / median(alone.rounds[index].seconds),
    );
    const mean = seconds.reduce((sum, value) => sum + value, 0) / count;
    return {
      side,
      ratio: median(ratios),
      best: Math.min(...seconds),
      median: median(seconds),
      mean,
      ...sums,
    };
  });
  // With two threads the one process has the images of one; the processes have as many each.
  const table = formatTable(rows, [
    { title: "SIDE", cell: ({ side }) => side.name },
    { title: "IMAGES", align: "right", cell: ({ side }) => `${perProcess * side.count}` },
    { title: "BEST s", align: "right", cell: ({ best }) => best.toFixed(3) },
    { title: "MEDIAN s", align: "right", cell: ({ median }) => median.toFixed(3) },
    {
      title: "IMAGES/s",
      align: "right",
      cell: ({ side, median }) => ((perProcess * side.count) / median).toFixed(1),
    },
    { title: "TIME AGAINST THE FIRST", align: "right", cell: ({ ratio }) => ratio.toFixed(3) },
    { title: "EFFICIENCY", align: "right", cell: ({ ratio }) => `${(100 / ratio).toFixed(0)} %` },
    { title: "BYTES A STEP", align: "right", cell: ({ bytes }) => formatBytes(bytes) },
    {
      title: "WAITED",
      align: "right",
      cell: ({ waited, mean }) => `${((100 * waited) / mean).toFixed(1)} %`,
    },
    { title: "ON THEIR WAY", align: "right", cell: ({ busy }) => `${(1000 * busy).toFixed(1)} ms` },
  ]);
  console.log(
    `${flags.network}, ${perProcess} images for each process, load of the machine ${loads.join(" and ")}`,
  );
  console.log(table);
}

if (flags.threads === undefined) await compare();
else await takeSteps();
