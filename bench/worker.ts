// Our side of the step benchmark: the same protocol on standard input as peer/run_step.py, over the program's own steps.
import { resourceUsage } from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { noiseSources } from "../src/bench/noise-sources.js";
import { resolveConfig, type TrainConfig } from "../src/config/config.js";
import "../src/methods/registry.js";
import { evaluateBatch } from "../src/course/evaluate.js";
import { setThreads, tuneAllocator } from "../src/engine/device.js";
import { operators } from "../src/engine/operators.js";
import { matrixProductRate } from "../src/engine/speed.js";
import { resolveGenotype } from "../src/formats/genotype-resolve.js";
import type { IstaSearch } from "../src/methods/ista/search.js";
import { createSearch } from "../src/methods/run-search.js";
import { evaluationNetwork, type NetworkShape, sortedSelection } from "../src/space/space.js";
import { Training } from "../src/training/training.js";

const { values: flags } = parseArgs({
  options: {
    network: { type: "string", default: "supernet" },
    mode: { type: "string" },
    batch: { type: "string", default: "64" },
    cells: { type: "string" },
    channels: { type: "string" },
    "image-size": { type: "string", default: "32" },
    threads: { type: "string", default: "2" },
    recompute: { type: "boolean", default: false },
    architecture: { type: "string", default: "ISTA_twostage" },
    method: { type: "string", default: "ista-two-stage" },
  },
});
const target = flags.network === "target";
const mode = flags.mode ?? (target ? "train-step" : "search-step");
const batchSize = Number(flags.batch);
const size = Number(flags["image-size"]);
const architecture = resolveGenotype(flags.architecture);
setThreads(Number(flags.threads));
tuneAllocator();

const sources = noiseSources({ batchSize, channels: 3, size, classes: 10 });
const source = sources.training;
const usual = architecture.space.usualSize[target ? "train" : "search"];
const shape: NetworkShape = {
  cells: Number(flags.cells ?? usual.cells),
  channels: Number(flags.channels ?? usual.channels),
  inputChannels: 3,
  classes: 10,
  imageHeight: size,
  imageWidth: size,
  stem: "cifar",
  auxiliary: false,
};

/** The codes of a search put to the supports of the architecture, so that both sides run the same network. */
function fixSupports(search: IstaSearch): void {
  const state = structuredClone(search.save()) as {
    codes: { recovery: { support: number[]; code: number[] } }[];
  };
  for (const [choice, support] of sortedSelection(architecture.selection).entries()) {
    const { recovery } = state.codes[choice];
    recovery.support = support;
    recovery.code = recovery.code.map((_, index) => (support.includes(index) ? 0.001 : 0));
  }
  search.restore(state as never);
}

async function makeStep(): Promise<(index: number) => Promise<unknown>> {
  if (!target && mode === "search-step") {
    const { cells, channels } = shape;
    const { name: space } = architecture.space;
    const { recompute, method } = flags;
    const given = { batchSize, recompute, method, space, cells, channels };
    const course = await createSearch(resolveConfig("search", { flags: given }).config, sources);
    if (method === "ista-two-stage") fixSupports(course.search as unknown as IstaSearch);
    // In the first epochs some methods spare a part of the step.
    const epoch = course.epochCount - 1;
    return (index) => course.step(epoch, index % source.batchCount);
  }
  const preset = {
    auxiliaryWeight: 0,
    dropPath: 0,
    weightDecay: 3e-4,
    batchSize,
    recompute: flags.recompute,
  };
  const config: TrainConfig = resolveConfig("train", { flags: preset }).config;
  const training = new Training(config, sources, evaluationNetwork(architecture, shape));
  if (mode === "train-step") return (index) => training.step(0, index % source.batchCount);
  return async (index) => evaluateBatch(training.network, await source.batch(0, index % source.batchCount));
}

const step = await makeStep();
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const peak = (): number => resourceUsage().maxRSS * 1024;
let done = 0;
say({ ready: true, baseline_rss_bytes: peak() });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count] = line.split(" ");
  if (command === "quit") break;
  if (command === "matmul") say({ gflop_per_second: matrixProductRate(2048, 8) });
  else if (command === "profile") {
    operators.profileStart();
    const started = performance.now();
    for (let i = 0; i < Number(count); i++) await step(done++);
    const report: unknown = JSON.parse(operators.profileReport());
    say({ steps: Number(count), seconds: (performance.now() - started) / 1000, report });
  } else {
    const seconds: number[] = [];
    for (let i = 0; i < Number(count); i++) {
      const started = performance.now();
      await step(done++);
      seconds.push((performance.now() - started) / 1000);
    }
    say({ seconds, peak_rss_bytes: peak() });
  }
}
process.exit(0);
