import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bundledFolder, picture, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { resolveConfig } from "../config/config.js";
import { writeSafetensors } from "../formats/safetensors.js";
import { darts } from "../space/darts/space.js";
import { fitTraining, fittedTo, sizeFor } from "./fit.js";

const { folder } = temporaryFolder();

describe("what fits the data", () => {
  it("is fewer epochs the more images there are, and the paper's recipe for very many", () => {
    expect(fittedTo(50)).toMatchObject({ epochs: 200, batchSize: 32, validationFraction: 0 });
    expect(fittedTo(204)).toMatchObject({ epochs: 200, batchSize: 32, validationFraction: 0.1 });
    expect(fittedTo(1000)).toMatchObject({ epochs: 100, batchSize: 64 });
    expect(fittedTo(19_999)).toMatchObject({ epochs: 30, cells: 8, channels: 16 });
    expect(fittedTo(20_000)).toEqual({});
  });

  it("fills in what was not given, and says so in a line", async () => {
    const given = { data: bundledFolder, arch: "ISTA_twostage", limitTrain: 500, epochs: 3 };
    const { values, line } = await fitTraining(given);
    expect(values).toEqual({ batchSize: 32, cells: 8, channels: 16, validationFraction: 0.1 });
    expect(line).toContain(
      "fitted to 500 training images: --batch-size 32 --cells 8 --channels 16 --validation-fraction 0.1;",
    );
    const { config, sources } = resolveConfig("train", { fitted: values, flags: given });
    expect(config).toMatchObject({ ...values, epochs: 3, learningRate: 0.025 });
    expect(sources.cells).toBe("fitted to the data");
    expect(sources.epochs).toBe("--epochs");
    expect(await fitTraining({ ...given, ...values })).toEqual({ values: {}, line: null });
    expect(await fitTraining({ arch: "ISTA_twostage" })).toEqual({ values: {}, line: null });
  });

  it("is the first layers for large images, and a size for pictures that need one", async () => {
    expect([20, 63, 64, 127].map((side) => sizeFor(side).imageSize)).toEqual([32, 32, 64, 64]);
    expect(sizeFor(128)).toEqual({ imageSize: 128, stem: "imagenet" });
    expect(sizeFor(200)).toEqual({ imageSize: 192, stem: "imagenet" });
    expect(sizeFor(3000)).toEqual({ imageSize: 224, stem: "imagenet" });
    for (const [name, width, height] of [
      ["photos", 300, 170],
      ["small", 40, 40],
      ["mixed", 50, 44],
    ] as const)
      for (let i = 0; i < 4; i++) {
        mkdirSync(`${folder}/${name}/${i % 2}`, { recursive: true });
        const size = name === "mixed" ? [width + i, height] : [width, height];
        writeFileSync(`${folder}/${name}/${i % 2}/${i}.png`, await picture(size[0], size[1], "png", i));
      }
    const fitted = async (data: string, others: object = {}) => {
      const given = {
        data: data === "bundled" ? bundledFolder : `${folder}/${data}`,
        arch: "random:1",
        ...others,
      };
      const { values, line } = await fitTraining(given);
      const { imageSize, stem } = values;
      return { imageSize, stem, line };
    };
    expect(await fitted("photos")).toMatchObject({ imageSize: 160, stem: "imagenet" });
    expect((await fitted("photos")).line).toContain("--image-size 160 --stem imagenet");
    expect(await fitted("small")).toMatchObject({ imageSize: undefined, stem: undefined });
    expect(await fitted("mixed")).toMatchObject({ imageSize: 32, stem: undefined });
    expect(await fitted("bundled")).toMatchObject({ imageSize: undefined, stem: undefined });
    // A size that was given decides, and a stem that was given.
    expect(await fitted("small", { imageSize: 128 })).toMatchObject({
      imageSize: undefined,
      stem: "imagenet",
    });
    expect(await fitted("photos", { imageSize: 64 })).toMatchObject({ stem: undefined });
    expect(await fitted("photos", { stem: "cifar" })).toMatchObject({ imageSize: 32, stem: undefined });
    expect(await fitted("photos", { space: "nas-bench-201" })).toMatchObject({
      imageSize: 32,
      stem: undefined,
    });
    const between = await fitted("photos", { imageSize: 200 });
    expect(between.stem).toBe(undefined);
    expect(between.line).toContain(
      "200 pixels are slow with --stem cifar, --image-size 192 or 224 can have --stem imagenet",
    );
  });

  it("has the size of the weights that are begun with, and of other spaces their own", async () => {
    const architecture = { space: darts, selection: darts.named.ISTA_twostage.selection };
    const { weights } = makeModel({ architecture, shape: { cells: 5, channels: 6, classes: 7 } });
    writeSafetensors(`${folder}/bare.safetensors`, weights);
    const given = { data: bundledFolder, arch: "ISTA_twostage", initFrom: `${folder}/bare.safetensors` };
    expect((await fitTraining(given)).values).toMatchObject({ cells: 5, channels: 6, stem: "cifar" });
    const other = await fitTraining({ data: bundledFolder, arch: "random:1", space: "nas-bench-201" });
    expect(Object.keys(other.values)).toEqual(["epochs", "batchSize", "validationFraction"]);
  });
});
