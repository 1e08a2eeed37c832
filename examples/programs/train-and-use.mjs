// "ista-nas": trains a small network on the bundled images, measures it on test images, and writes it as ONNX.
//
//   node train-and-use.mjs
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluateModel, exportOnnx, openModel, resolveConfig, runTraining, silentObserver } from "ista-nas";

const { config } = resolveConfig("train", {
  flags: {
    ...{
      data: "bundled",
      arch: "ISTA_twostage",
      cells: 3,
      channels: 8,
      epochs: 3,
      batchSize: 32,
      threads: 1,
    },
    ...{ limitTrain: 800, limitTest: 200, learningRate: 0.05, augmentation: "none" },
  },
});
// A run directory of its own, as `ista-nas train` makes it.
const out = join(mkdtempSync(join(tmpdir(), "ista-nas-example-")), "run");
const control = { observer: { ...silentObserver, line: console.log }, stop: () => false };
const { path, summary } = await runTraining({ config, out }, control);
console.log(`trained ${summary.arch} in ${path}`);

const model = openModel(path);
const request = { batchSize: 100, limit: 200, skipBroken: false, threads: 1, device: "cpu" };
const { top1, count, classes, classAccuracy } = await evaluateModel(model, request);
console.log(`right: ${(100 * top1).toFixed(1)} % of ${count} test images`);
const best = classAccuracy.indexOf(Math.max(...classAccuracy));
console.log(`best known: ${classes[best]}`);

const file = join(path, "model.onnx");
const { images, largestDifference } = await exportOnnx(model, file, { withNormalisation: true });
console.log(`onnx: ${file}, checked on ${images} images, differs by ${largestDifference.toExponential(1)}`);
