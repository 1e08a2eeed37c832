// The published ImageNet network at its full size: steps of training, evaluation and export; time and memory are printed.
import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { commandLine, succeed } from "./support/program.js";
import { writeThousandClasses } from "./support/thousand-classes.js";

const { at, call, json } = commandLine();

beforeAll(() => writeThousandClasses(at("pictures"), 8));

it("trains two steps, evaluates and is exported", () => {
  const words = [
    "--arch",
    "ISTA_ImageNet",
    "--preset",
    "imagenet-train",
    "--data",
    "pictures",
    "--epochs",
    "1",
  ];
  const few = ["--limit-train", "16", "--limit-test", "8", "--batch-size", "8", "--name", "trained"];
  succeed(call("train", ...words, ...few));
  const summary = JSON.parse(readFileSync(at("runs/trained/summary.json"), "utf8"));
  expect(summary).toMatchObject({ parameters: 5_651_392, multiplyAdds: 621_084_480, status: "finished" });
  const record = JSON.parse(readFileSync(at("runs/trained/metrics.jsonl"), "utf8").trim());
  expect(record.loss).toBeGreaterThan(5);
  expect(record.loss).toBeLessThan(9);
  const found = json("eval", "trained", "--batch-size", "8");
  expect(found.loss).toBeCloseTo(summary.testLoss, 4);
  const { check } = json("export", "trained", "--format", "onnx");
  expect(check.largestDifference).toBeLessThan(1e-4);
  console.log(
    `14 cells, 48 channels, 224 pixels: ${(record.seconds / 2).toFixed(2)} s a step of 8 images, ` +
      `${(summary.peakMemoryBytes / 2 ** 30).toFixed(2)} GiB at most; ` +
      `evaluation ${found.imagesPerSecond.toFixed(1)} images/s, one image ${(1000 * found.latencySeconds).toFixed(0)} ms; ` +
      `onnxruntime differs by ${check.largestDifference.toExponential(1)}`,
  );
});
