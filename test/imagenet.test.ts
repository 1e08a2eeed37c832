// Networks of ImageNet's kind, small: 1,000 classes, the large stem, streamed pictures, the recipe's schedule and loss.
import { readFileSync, statSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { countNetwork } from "../src/space/counts.js";
import { darts } from "../src/space/darts/space.js";
import { evaluationNetwork } from "../src/space/space.js";
import { imagenetShape } from "./support/network-shapes.js";
import { commandLine, succeed } from "./support/program.js";
import { classCount, writeThousandClasses } from "./support/thousand-classes.js";

const { at, call, json } = commandLine();

beforeAll(async () => {
  await writeThousandClasses(at("pictures"), 6);
  const size = ["--cells", "3", "--channels", "4", "--image-size", "64"];
  const images = ["--limit-train", "16", "--limit-test", "6", "--batch-size", "8", "--epochs", "1"];
  const words = ["--arch", "ISTA_ImageNet", "--preset", "imagenet-train", "--data", "pictures"];
  succeed(call("train", ...words, ...size, ...images, "--name", "trained"));
}, 120_000);

it("train with the recipe and are evaluated on the same pictures", () => {
  const summary = JSON.parse(readFileSync(at("runs/trained/summary.json"), "utf8"));
  const shape = { ...imagenetShape, cells: 3, channels: 4, imageHeight: 64, imageWidth: 64 };
  const { selection } = darts.named.ISTA_ImageNet;
  const counts = countNetwork(evaluationNetwork({ space: darts, selection }, shape));
  expect(summary).toMatchObject({ parameters: counts.params, multiplyAdds: counts.multAdds });
  const record = JSON.parse(readFileSync(at("runs/trained/metrics.jsonl"), "utf8").trim());
  // An untrained network of 1,000 classes is near ln 1000; the first epoch's warm-up is a fifth of the rate.
  expect(record.loss).toBeGreaterThan(5);
  expect(record.loss).toBeLessThan(9);
  expect(record.images).toBe(16);
  const found = json("eval", "trained");
  expect(found.count).toBe(6);
  expect(found.loss).toBeCloseTo(summary.testLoss, 4);
  expect(found.confusion).toHaveLength(classCount);
  expect(found.classAccuracy.filter((share: number | null) => share !== null)).toHaveLength(6);
  // Only the cells that hold something are drawn.
  expect(statSync(at("runs/trained/confusion.svg")).size).toBeLessThan(20_000);
});

it("give a probability for each of 1,000 classes, and go out as ONNX", () => {
  const [{ classes }] = json("predict", "trained", "pictures/val/class-0000/0.jpg", "--top", "1000");
  expect(classes).toHaveLength(classCount);
  const sum = classes.reduce((total: number, one: { probability: number }) => total + one.probability, 0);
  expect(sum).toBeCloseTo(1, 8);
  const { check } = json("export", "trained", "--format", "onnx", "--with-normalisation");
  expect(check).toMatchObject({ images: 6, data: at("pictures") });
  expect(check.largestDifference).toBeLessThan(1e-4);
});
