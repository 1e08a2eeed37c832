// The command `export`: ONNX, weights and cells, through the real command line, checked on the bundled images.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { parseGenotypeJson } from "../src/formats/genotype-json.js";
import { randomArchitecture } from "../src/formats/genotype-resolve.js";
import { readModel, writeModel } from "../src/formats/model-file.js";
import { loadOnnxRuntime } from "../src/formats/onnx-runtime.js";
import { readSafetensors } from "../src/formats/safetensors.js";
import { darts } from "../src/space/darts/space.js";
import { picture } from "./support/data.js";
import { makeModel } from "./support/models.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { InferenceSession, Tensor: OnnxTensor } = loadOnnxRuntime();

const { at, call, json } = commandLine();

const names = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

beforeAll(async () => {
  const shape = { inputChannels: 1, imageHeight: 28, imageWidth: 28, auxiliary: true };
  writeModel(at("grey.safetensors"), makeModel({ classes: names, shape }));
  writeFileSync(at("colour.jpg"), await picture(300, 200));
});

describe("export", () => {
  it("writes ONNX that gives the probabilities of predict, for bytes and for normalised values", async () => {
    const { check } = json(
      "export",
      "grey.safetensors",
      "--format",
      "onnx",
      "--with-normalisation",
      "--out",
      "bytes.onnx",
      "--data",
      "bundled",
    );
    expect(check).toMatchObject({ images: 16, data: "bundled" });
    expect(check.largestDifference).toBeLessThan(1e-4);
    expect(succeed(call("export", "grey.safetensors", "--format", "onnx"))).toContain("on 16 random images");

    const { data, info } = await sharp(at("colour.jpg"))
      .resize(42, 28, { fit: "fill", kernel: "linear", fastShrinkOnLoad: false })
      .extract({ left: 7, top: 0, width: 28, height: 28 })
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(info.channels).toBe(1);
    const { normalisation } = readModel(at("grey.safetensors")).description!;
    const normalised = Float32Array.from(
      data,
      (value) => (value / 255 - normalisation.mean[0]) / normalisation.std[0],
    );
    const [{ classes }] = json("predict", "grey.safetensors", "colour.jpg", "--top", "10");
    for (const [file, input] of [
      [at("bytes.onnx"), { pixels: new OnnxTensor("uint8", new Uint8Array(data), [1, 1, 28, 28]) }],
      [at("grey-model.onnx"), { images: new OnnxTensor("float32", normalised, [1, 1, 28, 28]) }],
    ] as const) {
      const session = await InferenceSession.create(readFileSync(file));
      const powers = Array.from((await session.run(input)).logits.data as Float32Array, Math.exp);
      const sum = powers.reduce((a, b) => a + b);
      for (const { name, probability } of classes)
        expect(powers[names.indexOf(name)] / sum).toBeCloseTo(probability, 5);
      await session.release();
    }
  });

  it("leaves nothing behind of weights that are not finite, and keeps what was there", () => {
    const model = readModel(at("grey.safetensors"));
    const weights = new Map(model.weights);
    const { shape, data } = weights.get("classifier.bias")!;
    weights.set("classifier.bias", { shape, data: (data as Float32Array).map(() => Number.NaN) });
    writeModel(at("broken.safetensors"), { ...model.description!, weights });
    writeFileSync(at("kept.onnx"), "earlier");
    fail(
      call("export", "broken.safetensors", "--format", "onnx", "--out", "kept.onnx"),
      1,
      "WEIGHTS_NOT_FINITE",
      '"classifier.bias"',
    );
    expect(readFileSync(at("kept.onnx"), "utf8")).toBe("earlier");
    expect(readdirSync(at(".")).filter((name) => name.startsWith(".writing-"))).toEqual([]);
  });

  it("writes weights without the auxiliary head, which evaluate the same", () => {
    succeed(
      call(
        "export",
        "grey.safetensors",
        "--format",
        "safetensors",
        "--no-auxiliary",
        "--out",
        "small-one.safetensors",
      ),
    );
    const names = [...readSafetensors(at("small-one.safetensors")).tensors.keys()];
    const before = [...readSafetensors(at("grey.safetensors")).tensors.keys()];
    expect(before.some((name) => name.startsWith("auxiliary_head."))).toBe(true);
    expect(names).toEqual(before.filter((name) => !name.startsWith("auxiliary_head.")));
    const one = json("eval", "small-one.safetensors", "--data", "bundled", "--limit-test", "40");
    expect(one.loss).toBeCloseTo(
      json("eval", "grey.safetensors", "--data", "bundled", "--limit-test", "40").loss,
      10,
    );
  });

  it("writes cells in every form", () => {
    const wanted = randomArchitecture(1);
    expect(
      darts.texts[0].parse(succeed(call("export", "grey.safetensors", "--format", "genotype-python"))),
    ).toEqual(wanted.selection);
    expect(
      parseGenotypeJson(succeed(call("export", "grey.safetensors", "--format", "genotype-json"))),
    ).toEqual(wanted);
    succeed(call("export", "ISTA_onestage", "--format", "svg", "--out", "cells.svg"));
    expect(readFileSync(at("cells.svg"), "utf8")).toContain("ISTA_onestage");
  });

  it("refuses flags that the format has no use for", () => {
    fail(
      call("export", "grey.safetensors", "--format", "svg", "--with-normalisation"),
      2,
      "USAGE",
      "--with-normalisation",
    );
    fail(
      call("export", "grey.safetensors", "--format", "onnx", "--no-auxiliary"),
      2,
      "USAGE",
      "--no-auxiliary",
    );
    fail(call("export", "grey.safetensors"), 2, "USAGE", "--format");
    fail(call("export", "grey.safetensors", "--format", "tflite"), 2, "USAGE", "onnx");
    fail(call("export", "ISTA_onestage", "--format", "onnx"), 1, "FILE_NOT_FOUND", "runs list");
  });
});
