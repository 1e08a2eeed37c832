// Any size of images through the real command line: training, evaluation, prediction and the exported file see the same pixels.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { picture } from "./support/data.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();
const classes = ["cat", "dog"];
const small = ["--cells", "3", "--channels", "4", "--threads", "1", "--batch-size", "8", "--epochs", "1"];
const train = ["train", "--arch", "ISTA_twostage", ...small, "--validation-fraction", "0"];
const pictures = classes.flatMap((name, label) =>
  Array.from({ length: 8 }, (_, i) => ({ path: `mine/train/${name}/${i}.png`, seed: 8 * label + i })),
);

beforeAll(async () => {
  for (const name of classes) mkdirSync(at("mine/train", name), { recursive: true });
  for (const { path, seed } of pictures) writeFileSync(at(path), await picture(70, 50, "png", seed));
});

/** Share of the pictures that `predict` names rightly. */
function predictedRight(run: string, ...flags: string[]): number {
  const said = json("predict", run, ...pictures.map(({ path }) => path), "--top", "1", ...flags);
  const right = said.filter((one: { picture: string; classes: { name: string }[] }) =>
    one.picture.includes(`/${one.classes[0].name}/`),
  );
  return right.length / pictures.length;
}

it.each([
  ["held", []],
  ["streamed", ["--augmentation", "random-resized-crop"]],
])("pictures of 30 pixels, %s", (name, flags) => {
  succeed(call(...train, "--data", "mine", "--image-size", "30", ...flags, "--name", name));
  const all = json("eval", name, "--split", "all");
  expect(all.count).toBe(16);
  expect(predictedRight(name)).toBeCloseTo(all.top1, 10);
  const test = json("eval", name);
  const { testAccuracy, testLoss } = JSON.parse(readFileSync(at(`runs/${name}/summary.json`), "utf8"));
  expect(test.top1).toBeCloseTo(testAccuracy, 10);
  expect(test.loss).toBeCloseTo(testLoss, 4);
  // The file says how pictures become its images, and gives what the network gives.
  const { check } = json("export", name, "--format", "onnx", "--out", `${name}.onnx`);
  expect(check.data).toBe(at("mine"));
  expect(readFileSync(at(`${name}.onnx`)).includes('"preparation":{"content":{"height":30,"width":30}')).toBe(
    true,
  );
  // Used at yet another size, evaluation and prediction agree as well.
  const other = json("eval", name, "--split", "all", "--image-size", "21");
  expect(predictedRight(name, "--image-size", "21")).toBeCloseTo(other.top1, 10);
});

it("images of IDX files at half their size, which does not halve twice itself", () => {
  succeed(call(...train, "--data", "bundled", "--limit-train", "32", "--image-size", "14", "--name", "half"));
  const found = json("eval", "half");
  const { testLoss } = JSON.parse(readFileSync(at("runs/half/summary.json"), "utf8"));
  expect(found.count).toBe(1000);
  expect(found.loss).toBeCloseTo(testLoss, 4);
  fail(call(...train, "--data", "bundled", "--image-size", "15"), 1, "DATA_SIZE", "28 x 28", "or 14, 7");
});

it("the stem that divides by 32 names the nearest sizes", () => {
  const words = [...train, "--data", "mine", "--stem", "imagenet"];
  fail(call(...words, "--image-size", "100"), 2, "NETWORK_SHAPE", "divisible by 32", "96 and 128");
  fail(call(...words, "--image-size", "7"), 2, "CONFIG_VALUE", "at least 8");
});
