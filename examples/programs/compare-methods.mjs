// "ista-nas/methods": the same search on the bundled images by several methods, one after the other, with what each found and what it cost.
//
//   node compare-methods.mjs
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveConfig, runSearch, silentObserver } from "ista-nas";
import { allMethods } from "ista-nas/methods";

const wanted = ["ista-two-stage", "random"];
const own = { random: { candidates: 2 } };
const folder = mkdtempSync(join(tmpdir(), "ista-nas-example-"));

for (const { name, passesPerStep } of allMethods().filter((method) => wanted.includes(method.name))) {
  const { config } = resolveConfig("search", {
    flags: {
      ...{ data: "bundled", method: name, cells: 3, channels: 4, epochs: 6, batchSize: 16, threads: 1 },
      ...{ limitTrain: 600, limitTest: 64, learningRate: 0.05 },
      ...own[name],
    },
  });
  const control = { observer: silentObserver, stop: () => false };
  const { summary } = await runSearch({ config, out: join(folder, name) }, control);
  const { validationAccuracy, parameters, seconds } = summary;
  console.log(
    `${name}: ${(100 * validationAccuracy).toFixed(1)} % of the held-out images, ${parameters} parameters, ` +
      `${passesPerStep} passes a step, ${seconds.toFixed(1)} s`,
  );
}
