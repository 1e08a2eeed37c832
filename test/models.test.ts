// Runs and files that eval, predict and export are asked to use: searches, bare weights, CIFAR-10, image folders.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { resolveGenotype } from "../src/formats/genotype-resolve.js";
import { writeSafetensors } from "../src/formats/safetensors.js";
import { available, cifarFolder, picture, pictureFolder } from "./support/data.js";
import { makeModel } from "./support/models.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();

beforeAll(async () => {
  writeFileSync(at("colour.jpg"), await picture(300, 200));
});

describe("networks that are not there", () => {
  it("are missed in runs that have none", () => {
    const words = [
      "search",
      "--preset",
      "demo",
      "--epochs",
      "1",
      "--limit-train",
      "64",
      "--limit-test",
      "10",
    ];
    succeed(call(...words, "--cells", "3", "--channels", "2", "--name", "found"));
    fail(call("predict", "found", "colour.jpg"), 1, "MODEL_FILE", "train --arch");
    expect(succeed(call("arch", "show", "found", "--epoch", "1"))).toContain("Reduction cell");
    fail(call("arch", "show", "found", "--epoch", "2"), 1, "FILE_NOT_FOUND", "epoch-001.json");
  });

  it("of bare weights need their cells, and all that does not fit is listed", () => {
    const model = makeModel({ architecture: resolveGenotype("ISTA_onestage"), normalised: true });
    const weights = new Map(model.weights);
    writeSafetensors(at("bare.safetensors"), weights);
    fail(call("predict", "bare.safetensors", "colour.jpg"), 1, "MODEL_FILE", "--arch");
    const [{ classes }] = json("predict", "bare.safetensors", "colour.jpg", "--arch", "ISTA_onestage");
    expect(classes.map((one: { name: string }) => one.name).sort()).toEqual(["0", "1", "2", "3"]);
    weights.delete("cells.1.preprocess1.op.2.weight");
    weights.delete("classifier.bias");
    weights.set("cells.0.extra", { shape: [1], data: new Float32Array(1) });
    weights.set("stem.1.bias", { shape: [5], data: new Float32Array(5) });
    writeSafetensors(at("damaged.safetensors"), weights);
    fail(
      call("predict", "damaged.safetensors", "colour.jpg", "--arch", "ISTA_onestage"),
      1,
      "WEIGHTS_MISMATCH",
      "2 missing: cells.1.preprocess1.op.2.weight, classifier.bias",
      "1 unknown: cells.0.extra",
      "1 misshapen: stem.1.bias [5] instead of [12]",
    );
  });
});

it("small pictures of one size are padded again as in training", async () => {
  for (const [seed, part] of ["train/cat", "train/dog", "val/cat", "val/dog"].entries()) {
    mkdirSync(at("padded", part), { recursive: true });
    for (let i = 0; i < 6; i++)
      writeFileSync(at("padded", part, `${i}.png`), await picture(18, 14, "png", 10 * seed + i));
  }
  const words = ["--data", "padded", "--epochs", "1", "--batch-size", "4", "--cells", "3", "--channels", "4"];
  succeed(call("train", "--arch", "random:2", ...words, "--name", "small"));
  const { testLoss } = JSON.parse(readFileSync(at("runs/small/summary.json"), "utf8"));
  const found = json("eval", "small");
  expect(found.count).toBe(12);
  expect(found.loss).toBeCloseTo(testLoss, 5);
});

describe.skipIf(!available(cifarFolder))("with CIFAR-10", () => {
  it("trains, evaluates and exports a one-stage network", () => {
    const words = ["--limit-train", "64", "--limit-test", "30", "--batch-size", "32", "--epochs", "1"];
    const size = ["--cells", "3", "--channels", "4", "--name", "cifar"];
    succeed(call("train", "--arch", "ISTA_onestage", "--data", cifarFolder, ...words, ...size));
    const found = json("eval", "cifar", "--limit-test", "30");
    const summary = JSON.parse(readFileSync(at("runs/cifar/summary.json"), "utf8"));
    expect(found.top1).toBeCloseTo(summary.testAccuracy, 10);
    const { check } = json("export", "cifar", "--format", "onnx", "--with-normalisation");
    expect(check).toMatchObject({ images: 16, data: cifarFolder });
    expect(existsSync(at("runs/cifar/model.onnx"))).toBe(true);
  });
});

describe.skipIf(!available(pictureFolder))("with an image folder", () => {
  it("trains on random resized crops, evaluates on the same pictures, and says how long it waited", () => {
    const recipe = ["--augmentation", "random-resized-crop", "--color-jitter", "0.4,0.4,0.4,0.2"];
    const size = ["--stem", "imagenet", "--image-size", "64", "--cells", "3", "--channels", "4"];
    const words = [
      "--data",
      pictureFolder,
      "--epochs",
      "2",
      "--batch-size",
      "16",
      "--auxiliary-weight",
      "0.4",
    ];
    succeed(call("train", "--arch", "ISTA_ImageNet", ...words, ...recipe, ...size, "--name", "crops"));
    const found = json("eval", "crops");
    const summary = JSON.parse(readFileSync(at("runs/crops/summary.json"), "utf8"));
    expect(found.count).toBe(40);
    expect(found.top1).toBeCloseTo(summary.testAccuracy, 10);
    expect(found.loss).toBeCloseTo(summary.testLoss, 4);
    for (const line of readFileSync(at("runs/crops/metrics.jsonl"), "utf8").trim().split("\n")) {
      const { dataWaitSeconds, seconds } = JSON.parse(line);
      expect(dataWaitSeconds).toBeGreaterThanOrEqual(0);
      expect(dataWaitSeconds).toBeLessThan(seconds);
    }
  });
});
