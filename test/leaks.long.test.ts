// 1,000 steps of each kind of run: as many live tensors and about as much memory as before.
import { memoryUsage } from "node:process";
import { expect, it } from "vitest";
import { liveTensorCount } from "../src/engine/tensor.js";
import { advance, oneStageSearch, training, twoStageSearch } from "./support/courses.js";

const mebibytes = (): number => memoryUsage().rss / 2 ** 20;

it.each([
  // Codes that hardly move keep the support: another operation would bring tensors of its own.
  ["two-stage", () => twoStageSearch({ epochs: 1000, codeLearningRate: 1e-12 })],
  ["one-stage, search", () => oneStageSearch({ epochs: 1000, codeLearningRate: 1e-12, freezeTolerance: 0 })],
  ["one-stage, training", () => oneStageSearch({ epochs: 1, trainEpochs: 1000, dropPath: 0.2 })],
  ["train", () => training({ epochs: 1000, weightAveraging: 0.99, dropPath: 0.2, auxiliaryWeight: 0.4 })],
])("%s", async (name, make) => {
  const course = await make();
  const place = { epoch: 0, step: 0 };
  await advance(course, place, 100);
  const [live, before] = [liveTensorCount(), mebibytes()];
  for (let hundred = 0; hundred < 10; hundred++) {
    await advance(course, place, 100);
    expect(liveTensorCount()).toBe(live);
  }
  const growth = mebibytes() - before;
  console.log(
    `${name}: ${live} tensors, resident ${before.toFixed(0)} MiB before 1,000 steps, growth ${growth.toFixed(1)} MiB`,
  );
  expect(growth).toBeLessThan(64);
  course.dispose();
});
