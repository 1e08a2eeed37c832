// "ista-nas/spaces": a smaller search space made of the operations of DARTS, searched by sparse coding on the bundled images.
//
//   node small-space.mjs
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveConfig, runSearch, silentObserver } from "ista-nas";
import { dartsOperations, dartsSpace, registerSpace } from "ista-nas/spaces";

const cheap = ["max_pool_3x3", "skip_connect", "sep_conv_3x3"];
const space = dartsSpace({
  name: "darts-cheap",
  description: "DARTS cells of pooling, skips and separable convolutions of 3x3",
  operations: dartsOperations.filter(({ name }) => cheap.includes(name)),
});
registerSpace(space);

const { config } = resolveConfig("search", {
  flags: {
    ...{ data: "bundled", space: space.name, cells: 3, channels: 4, epochs: 6, batchSize: 16, threads: 1 },
    ...{ limitTrain: 600, limitTest: 64, learningRate: 0.05 },
  },
});
const out = join(mkdtempSync(join(tmpdir(), "ista-nas-example-")), "run");
const { path, summary } = await runSearch(
  { config, out },
  { observer: { ...silentObserver, line: console.log }, stop: () => false },
);
const { normal, reduce } = JSON.parse(readFileSync(join(path, "genotype.json"), "utf8"));
console.log(`found: ${[...normal, ...reduce].map(([operation]) => operation).join(" ")}`);
console.log(
  `tried: ${summary.exploration.connectionsTried} of ${summary.exploration.connections} connections`,
);
