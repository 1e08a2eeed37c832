// What a trained network is used for, through the real command line: eval and predict, on real images; export of runs.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { openDataset, stratifiedSplit } from "../src/data/index.js";
import { parseCsv } from "../src/formats/csv.js";
import { readModel, writeModel } from "../src/formats/model-file.js";
import { bundledFolder, picture } from "./support/data.js";
import { makeModel } from "./support/models.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();

beforeAll(async () => {
  const size = ["--cells", "3", "--channels", "4", "--epochs", "1", "--auxiliary-weight", "0.4"];
  const images = ["--limit-train", "160", "--limit-test", "100", "--validation-fraction", "0.2"];
  succeed(
    call("train", "--arch", "random:1", "--preset", "demo-train", ...size, ...images, "--name", "grey"),
  );
  writeFileSync(at("colour.jpg"), await picture(300, 200));
  await sharp(await picture(90, 90))
    .toColourspace("cmyk")
    .jpeg()
    .toFile(at("cmyk.jpg"));
  await sharp({ create: { width: 40, height: 30, channels: 4, background: "#ff000080" } })
    .webp()
    .toFile(at("clear.webp"));
}, 120_000);

describe("eval", () => {
  it("gives the accuracy and the loss that the training gave on the same images", () => {
    const found = json("eval", "grey", "--limit-test", "100");
    const summary = JSON.parse(readFileSync(at("runs/grey/summary.json"), "utf8"));
    expect(found.top1).toBeCloseTo(summary.testAccuracy, 10);
    expect(found.loss).toBeCloseTo(summary.testLoss, 4);
    expect(found.count).toBe(100);
    expect(found.classes).toHaveLength(10);
    const diagonal = found.confusion.map((row: number[], label: number) => row[label]);
    const right = diagonal.reduce((sum: number, count: number) => sum + count, 0);
    expect(right / 100).toBeCloseTo(found.top1, 10);
    // Every class has its tenth of the images.
    expect(found.classAccuracy).toEqual(diagonal.map((count: number) => count / 10));
    expect(found.top5).toBeGreaterThanOrEqual(found.top1);
    expect(found.latencySeconds).toBeGreaterThan(0);
    expect(found.imagesPerSecond).toBeGreaterThan(0);
    expect(found.confusionPicture).toBe(at("runs/grey/confusion.svg"));
    const svg = readFileSync(at("runs/grey/confusion.svg"), "utf8");
    expect(svg).toContain("Ankle boot");
    expect(svg).toContain("100 images");
  });

  it("evaluates what the run held out, and gives the validation accuracy of the last epoch", () => {
    const found = json("eval", "grey", "--split", "validation");
    const [record] = readFileSync(at("runs/grey/metrics.jsonl"), "utf8").trim().split("\n");
    expect(found.count).toBe(32);
    expect(found.top1).toBeCloseTo(JSON.parse(record).validationAccuracy, 10);
  });

  it("prints a table and draws a PNG where that is wanted", async () => {
    const out = succeed(
      call("eval", "runs/grey", "--limit-test", "50", "--out", "matrix.png", "--batch-size", "7"),
    );
    expect(out).toMatch(/^50 images: loss \d+\.\d+, top-1 \d+\.\d+ %, top-5 /);
    expect(out).toMatch(/ms \(median\).*images\/s/);
    expect(out).toMatch(/^Sneaker +5 +\d+\.0 %/m);
    const { format, width } = await sharp(at("matrix.png")).metadata();
    expect(format).toBe("png");
    expect(width).toBeGreaterThan(600);
  });

  it("takes the folder's classes by name, in whatever order they are", async () => {
    const model = makeModel({ classes: ["ship", "cat", "dog"], shape: { imageHeight: 32, imageWidth: 32 } });
    writeModel(at("named.safetensors"), model);
    for (const name of ["cat", "ship"]) {
      mkdirSync(at("pictures/train", name), { recursive: true });
      for (let i = 0; i < 3; i++)
        writeFileSync(at("pictures/train", name, `${i}.png`), await picture(40, 50, "png", i + name.length));
    }
    const found = json("eval", "named.safetensors", "--data", "pictures", "--split", "train");
    expect(found.confusion[0].reduce((a: number, b: number) => a + b)).toBe(3);
    expect(found.confusion[1].reduce((a: number, b: number) => a + b)).toBe(3);
    expect(found.classAccuracy[2]).toBeNull();
    expect(found.confusionPicture).toBe("named-confusion.svg");
    mkdirSync(at("pictures/train/zebra"));
    writeFileSync(at("pictures/train/zebra/0.png"), await picture(40, 50, "png"));
    fail(
      call("eval", "named.safetensors", "--data", "pictures", "--split", "train"),
      1,
      "DATA_CLASSES",
      "it does not know zebra",
      "ship, cat, dog",
    );
  });

  it("refuses what cannot be evaluated", () => {
    writeModel(
      at("small.safetensors"),
      makeModel({ classes: namesOfBundled(), shape: { inputChannels: 1 } }),
    );
    fail(
      call("eval", "small.safetensors", "--data", "bundled"),
      1,
      "DATA_SIZE",
      "1 x 16 x 16",
      "1 x 28 x 28",
    );
    fail(call("eval", "small.safetensors"), 2, "CONFIG_VALUE", "--data DIR");
    fail(
      call("eval", "small.safetensors", "--data", "bundled", "--split", "validation"),
      2,
      "USAGE",
      "held images out",
    );
    fail(call("eval", "grye"), 1, "RUN_NOT_FOUND", "grey");
    fail(call("eval", "grey", "--arch", "random:1"), 2, "USAGE", "leave out --arch");
    fail(call("eval", "grey", "--out", "matrix.gif"), 2, "USAGE", ".svg or .png");
    fail(call("eval", "grey", "--batch-size", "0"), 2, "USAGE", "at least 1");
    fail(call("eval", "grey", "--device", "cuda:3"), 2, "ENGINE_DEVICE", "cuda:3");
    fail(call("eval", "colour.jpg"), 1, "SAFETENSORS_HEADER");
  });
});

const namesOfBundled = (): string[] =>
  readModel(at("runs/grey/model.safetensors")).description!.classes.slice();

describe("predict", () => {
  it("gives probabilities that add up, largest first, for pictures of every kind", () => {
    const pictures = ["colour.jpg", "cmyk.jpg", "clear.webp"];
    const predictions = json("predict", "grey", ...pictures, "--top", "10");
    expect(predictions.map((one: { picture: string }) => one.picture)).toEqual(pictures);
    for (const { classes } of predictions) {
      const shares = classes.map((one: { probability: number }) => one.probability);
      expect(shares.reduce((a: number, b: number) => a + b)).toBeCloseTo(1, 10);
      expect(shares).toEqual([...shares].sort((a, b) => b - a));
      expect(new Set(classes.map((one: { name: string }) => one.name))).toEqual(new Set(namesOfBundled()));
    }
  });

  it("classifies a test image written as a picture like the evaluation does", async () => {
    // Twenty images, one by one: as many right as the evaluation says of the same twenty.
    const dataset = await openDataset(bundledFolder);
    if (dataset.storage !== "memory") throw new Error("expected images in memory");
    const { images, labels, height, width, classes } = dataset.test!;
    const chosen = stratifiedSplit(labels, 20, 0, "limit-test").chosen;
    const names: string[] = [];
    for (const image of chosen) {
      const area = height * width;
      const name = `digit-${image}.png`;
      await sharp(images.subarray(image * area, (image + 1) * area), { raw: { height, width, channels: 1 } })
        .png()
        .toFile(at(name));
      names.push(name);
    }
    const predictions = json("predict", "grey", ...names, "--top", "1");
    const right = Array.from(chosen).filter(
      (image, i) => predictions[i].classes[0].name === classes[labels[image]],
    ).length;
    expect(right / 20).toBeCloseTo(json("eval", "grey", "--limit-test", "20").top1, 10);
  });

  it("takes folders, and prints CSV", () => {
    for (const name of ["album/2.jpg", "album/deep/1, big.JPG"]) {
      mkdirSync(dirname(at(name)), { recursive: true });
      copyFileSync(at("colour.jpg"), at(name));
    }
    writeFileSync(at("album/notes.txt"), "no picture");
    const out = succeed(call("predict", "grey", "album", "cmyk.jpg", "--csv", "--top", "2"));
    const rows = parseCsv(out, "out").map(({ fields }) => fields);
    expect(rows[0]).toEqual(["picture", "rank", "class", "probability"]);
    expect(rows.slice(1).map(([picture, rank]) => [picture, rank])).toEqual(
      ["album/2.jpg", "album/deep/1, big.JPG", "cmyk.jpg"].flatMap((name) => [
        [name, "1"],
        [name, "2"],
      ]),
    );
    const [{ classes }] = json("predict", "grey", "colour.jpg", "--top", "1");
    expect(rows[1].slice(2)).toEqual([classes[0].name, String(classes[0].probability)]);
    mkdirSync(at("bare"));
    fail(call("predict", "grey", "bare"), 1, "DATA_EMPTY", "bare");
    const both = call("predict", "grey", "album", "--csv", "--json");
    expect(both.status).toBe(2);
    expect(JSON.parse(both.err).error).toMatchObject({
      code: "USAGE",
      message: expect.stringMatching(/^--csv: /),
    });
  });

  it("prints bars, and the name of a picture that it cannot read", () => {
    const out = succeed(call("predict", "runs/grey", "colour.jpg", "--top", "2"));
    expect(out.trimEnd().split("\n")).toHaveLength(3);
    expect(out).toMatch(/^colour\.jpg\n {2}\S.* +\d+\.\d\d % {2}█*/);
    writeFileSync(at("broken.jpg"), "no picture");
    fail(call("predict", "grey", "colour.jpg", "broken.jpg"), 1, "DATA_PICTURE", "broken.jpg");
    fail(call("predict", "grey", "absent.jpg"), 1, "FILE_NOT_FOUND", "absent.jpg");
    // The others are there all the same, in their order; what is wrong comes at the end.
    const mixed = call("predict", "grey", "colour.jpg", "broken.jpg", "clear.webp", "--top", "1");
    expect(mixed.out.match(/^\S+\.\w+$/gm)).toEqual(["colour.jpg", "clear.webp"]);
    fail(mixed, 1, "DATA_PICTURE", "broken.jpg");
    fail(
      call("predict", "grey", "broken.jpg", "absent.jpg"),
      1,
      "DATA_PICTURE",
      "2 of 2 pictures cannot be read",
    );
    const skipped = call("predict", "grey", "broken.jpg", "clear.webp", "--top", "1", "--skip-broken");
    expect(skipped.err).toMatch(/^warning: .*broken\.jpg/m);
    expect(succeed(skipped)).toMatch(/^clear\.webp$/m);
    fail(call("predict", "grey", "broken.jpg", "--skip-broken"), 1, "DATA_PICTURE", "broken.jpg");
    expect(call("predict", "grey").status).toBe(2);
  });
});
