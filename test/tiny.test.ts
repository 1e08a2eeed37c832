// Says within seconds whether anything works at all: engine, one gradient, one LASSO, one command, two steps of a search.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { RandomStream } from "../src/base/random.js";
import { gradients } from "../src/engine/autograd.js";
import { engineInformation } from "../src/engine/device.js";
import { operators } from "../src/engine/operators.js";
import { liveTensorCount, scope, Tensor } from "../src/engine/tensor.js";
import { homotopy } from "../src/sparse/homotopy.js";
import { drawMeasurement } from "../src/sparse/measurement.js";
import { advance, twoStageSearch } from "./support/courses.js";

it("the engine loads, and differentiates", () => {
  expect(engineInformation().libtorchVersion).toMatch(/^\d+\.\d+/);
  scope(() => {
    const x = Tensor.from(Float32Array.of(-1, 2, 3)).setRequiresGrad(true);
    const loss = operators.sum(operators.multiply(operators.relu(x), x));
    expect(loss.item()).toBe(13);
    expect(gradients(loss, [x])[0]!.toFloat32Array()).toEqual(Float32Array.of(0, 4, 6));
  });
  expect(liveTensorCount()).toBe(0);
});

it("a LASSO is solved: the code that was measured comes back", () => {
  const matrix = drawMeasurement("gaussian", 7, 14, RandomStream.named(1, "tiny"));
  const column = (index: number): number[] =>
    Array.from({ length: 7 }, (_, row) => matrix.data[row * 14 + index]);
  const target = Float64Array.from(column(3), (value, row) => 2 * value - column(9)[row]);
  const { solution } = homotopy({ matrix, target, lambda: 1e-6 });
  expect(solution[3]).toBeCloseTo(2, 3);
  expect(solution[9]).toBeCloseTo(-1, 3);
  expect(Math.max(...solution.map((z, i) => (i === 3 || i === 9 ? 0 : Math.abs(z))))).toBeLessThan(1e-3);
});

it("the command answers", () => {
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
  const answer = execFileSync(join(packageFolder, "ista-nas"), ["--version"], { encoding: "utf8" });
  expect(answer).toContain(version);
});

it("a search takes two steps, and changes codes and weights", async () => {
  const course = await twoStageSearch();
  const { search } = course;
  const codes = search.codes[0].compressed;
  const weights = search.network.stateDict().get("stem.0.weight");
  await advance(course, { epoch: 0, step: 0 }, 2);
  expect(search.codes[0].compressed).not.toEqual(codes);
  expect(search.network.stateDict().get("stem.0.weight")).not.toEqual(weights);
  course.dispose();
  expect(liveTensorCount()).toBe(0);
});
