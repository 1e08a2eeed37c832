// Our side of the step benchmark: the same protocol on standard input as peer/run_step.py, over the program's own steps.
import { resourceUsage } from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { noiseSources } from "../src/bench/noise-sources.js";
import { resolveConfig, type SearchConfig, type TrainConfig } from "../src/config/config.js";
import { evaluateBatch } from "../src/course/evaluate.js";
import { setThreads } from "../src/engine/device.js";
import { operators } from "../src/engine/operators.js";
import { matrixProductRate } from "../src/engine/speed.js";
import { TwoStageSearch } from "../src/methods/ista/two-stage.js";
import { supportsOfGenotype } from "../src/space/genotype.js";
import { evaluationNetwork, type NetworkShape, normPlacements } from "../src/space/layout.js";
import { namedGenotypes } from "../src/space/named-genotypes.js";
import { mapNodes } from "../src/sparse/codes.js";
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
  },
});
const target = flags.network === "target";
const mode = flags.mode ?? (target ? "train-step" : "search-step");
const batchSize = Number(flags.batch);
const size = Number(flags["image-size"]);
const genotype = namedGenotypes.ISTA_twostage.genotype;
setThreads(Number(flags.threads));
operators.setRecompute(flags.recompute);

const sources = noiseSources({ batchSize, channels: 3, size, classes: 10 });
const source = sources.training;
const shape: NetworkShape = {
  cells: Number(flags.cells ?? (target ? 20 : 8)),
  channels: Number(flags.channels ?? (target ? 36 : 16)),
  inputChannels: 3,
  classes: 10,
  imageHeight: size,
  imageWidth: size,
  stem: "cifar",
  auxiliary: false,
};

/** The real search, on the connections of the published cells, so that both sides run the same network. */
class FixedSearch extends TwoStageSearch {
  constructor(config: SearchConfig) {
    super(config, sources, shape);
    const supports = supportsOfGenotype(genotype);
    this.codes = mapNodes(this.codes, (code, { group, node }) => {
      const support = supports[group][node];
      const sparse = code.recovery.code.map((_, i) => (support.includes(i) ? 0.001 : 0));
      return { ...code, recovery: { ...code.recovery, support, code: sparse } };
    });
  }
}

function makeStep(): (index: number) => Promise<unknown> {
  if (!target && mode === "search-step") {
    const { config } = resolveConfig("search", { flags: { batchSize } });
    const search = new FixedSearch(config);
    return (index) => search.step(0, index % source.batchCount);
  }
  const preset = { auxiliaryWeight: 0, dropPath: 0, weightDecay: 3e-4, batchSize };
  const config: TrainConfig = resolveConfig("train", { flags: preset }).config;
  const training = new Training(
    config,
    sources,
    evaluationNetwork(genotype, shape, normPlacements.plainEvaluation),
  );
  if (mode === "train-step") return (index) => training.step(0, index % source.batchCount);
  return async (index) => evaluateBatch(training.network, await source.batch(0, index % source.batchCount));
}

const step = makeStep();
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
