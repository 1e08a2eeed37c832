// Which network a run, a file, or bare weights stand for.
import { describe, expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { cifar10Normalisation, imagenetNormalisation } from "../data/index.js";
import { networkOf, writeModel } from "../formats/model-file.js";
import { writeSafetensors } from "../formats/safetensors.js";
import { darts } from "../space/darts/space.js";
import { openModel, pictureRecipe } from "./open-model.js";

const { folder, write } = temporaryFolder();
const at = (name: string): string => `${folder}/${name}`;

describe("bare weights", () => {
  it.each([
    ["ISTA_twostage", { cells: 5, channels: 6, auxiliary: true, imageHeight: 32, imageWidth: 32 }, false],
    ["ISTA_onestage", { cells: 4, channels: 2, imageHeight: 32, imageWidth: 32 }, true],
    ["ISTA_ImageNet", { cells: 3, channels: 4, stem: "imagenet", imageHeight: 224, imageWidth: 224 }, false],
  ] as const)("of %s tell the network's shape and its batch norms", (arch, shape, normalised) => {
    const architecture = { space: darts, selection: darts.named[arch].selection };
    const made = makeModel({ architecture, normalised, shape: { ...shape, classes: 7 } });
    writeSafetensors(at("bare.safetensors"), made.weights);
    const model = openModel(at("bare.safetensors"), { arch });
    expect(model.shape).toEqual(made.shape);
    expect(model.norms).toEqual(made.norms);
    expect(model.architecture).toEqual(architecture);
    expect(model.classes).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
    const large = made.shape.stem === "imagenet";
    expect(model.normalisation).toEqual(large ? imagenetNormalisation : cifar10Normalisation);
    expect(pictureRecipe(model)).toMatchObject({ channels: 3, resizeRatio: large ? 256 / 224 : 1 });
    networkOf(model).dispose();
  });

  it("of grey images need their normalisation", async () => {
    const grey = makeModel({ shape: { inputChannels: 1 } });
    writeSafetensors(at("grey.safetensors"), grey.weights);
    const hints = { arch: "random:1" };
    await expectError(
      () => openModel(at("grey.safetensors"), hints),
      "CONFIG_VALUE",
      "--normalisation",
      "1 channels",
    );
    const model = openModel(at("grey.safetensors"), { ...hints, normalisation: "0.3/0.2", imageSize: 28 });
    expect(model.normalisation).toEqual({ mean: [0.3], std: [0.2] });
    expect(model.shape).toMatchObject({ inputChannels: 1, imageHeight: 28 });
    const wrong = { ...hints, normalisation: "0.3,0.3/0.2,0.2" };
    await expectError(() => openModel(at("grey.safetensors"), wrong), "CONFIG_VALUE", "1 means");
  });

  it("of a wrapped network are recognised", async () => {
    const wrapped = new Map([...makeModel().weights].map(([name, tensor]) => [`module.${name}`, tensor]));
    writeSafetensors(at("wrapped.safetensors"), wrapped);
    await expectError(
      () => openModel(at("wrapped.safetensors"), { arch: "random:1" }),
      "MODEL_FILE",
      "module.cells.0",
      "without a prefix",
    );
  });
});

describe("a described model", () => {
  it("may be used on images of another size, with zeros around one that does not halve twice", async () => {
    writeModel(at("model.safetensors"), makeModel());
    const model = openModel(at("model.safetensors"), { imageSize: 24 });
    expect(model.shape).toMatchObject({ imageHeight: 24, imageWidth: 24, channels: 4 });
    networkOf(model).dispose();
    const odd = openModel(at("model.safetensors"), { imageSize: 25 });
    expect(odd.shape).toMatchObject({ imageHeight: 28, imageWidth: 28 });
    expect(pictureRecipe(odd)).toMatchObject({
      ...{ height: 28, width: 28 },
      preparation: { content: { height: 25, width: 25 }, averaged: 1 },
    });
    networkOf(odd).dispose();
  });

  it("takes no hints that it answers itself", async () => {
    await expectError(() => openModel(at("model.safetensors"), { arch: "random:1" }), "USAGE", "--arch");
  });
});

it("pictures are for grey and colour networks", async () => {
  const model = makeModel({ shape: { inputChannels: 2 } });
  await expectError(() => pictureRecipe(model), "MODEL_FILE", "2 channels");
});

it("a folder that is no run is refused", async () => {
  write("plain/file.txt", "");
  await expectError(() => openModel(at("plain")), "RUN_NOT_FOUND", "meta.json");
});
