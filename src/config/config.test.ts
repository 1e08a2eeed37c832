// Tests of configurations: the paper's numbers, precedence, errors in words, and what may change on resume.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failure } from "../../test/support/failure.js";
import { usefulThreads } from "../base/processors.js";
import { checkConfig, configForResume, dataFolder, resolveConfig, resumableKeys } from "./config.js";
import { usualMethod } from "./methods.js";
import { formatValue, type Option, optionGroups, optionsOf, parseFlagValue } from "./options.js";
import { presets } from "./presets.js";
import type { RunKind } from "./schema.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-config-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function file(value: unknown): string {
  const path = join(folder, "config.json");
  fs.writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

describe("presets", () => {
  it("say that their learning rates are not scaled where the batch size is another one", () => {
    const notes = (flags: Record<string, unknown>): readonly string[] =>
      resolveConfig("train", { preset: "cifar10-train", flags }).notes;
    expect(notes({ batchSize: 48 })).toEqual([
      "preset cifar10-train: its learning rate 0.025 is for batches of 96 and is not scaled to 48; --learning-rate 0.0125 would be in proportion",
    ]);
    expect(
      resolveConfig("train", { preset: "cifar10-train", flags: { batchSize: 48 } }).config.learningRate,
    ).toBe(0.025);
    expect(notes({ batchSize: 96 })).toEqual([]);
    expect(notes({ batchSize: 48, learningRate: 0.1 })).toEqual([]);
  });

  it("need not be named for a one-stage search to have the paper's size and length", () => {
    const { config } = resolveConfig("search", { flags: { method: "ista-one-stage", batchSize: 32 } });
    expect(config).toMatchObject({
      ...{ epochs: 200, trainEpochs: 600, batchSize: 32, cells: 20, channels: 36 },
      ...{ validationFraction: 0, learningRate: 0.025, finalLearningRate: 0.001 },
    });
    expect(resolveConfig("search", { flags: { mode: "one-stage" } }).config.cells).toBe(20);
  });

  it("hold the numbers of the two-stage search in the paper", () => {
    const { config } = resolveConfig("search", { preset: "cifar10-two-stage" });
    expect(config).toMatchObject({
      method: "ista-two-stage",
      epochs: 50,
      batchSize: 256,
      cells: 8,
      channels: 16,
      validationFraction: 0.5,
      learningRate: 0.1,
      finalLearningRate: 0.001,
      momentum: 0.9,
      weightDecay: 3e-4,
      gradientClip: 5,
      codeLearningRate: 6e-4,
      codeWeightDecay: 1e-3,
      codeBetas: [0.5, 0.999],
      compressedLength: 7,
      lambda: 1e-5,
      recovery: "top-s",
      measurement: "uniform",
      augmentation: "crop-flip",
      normalisation: "cifar10",
    });
  });

  it("hold the numbers of the one-stage search in the paper", () => {
    const { config } = resolveConfig("search", { preset: "cifar10-one-stage" });
    expect(config).toMatchObject({
      method: "ista-one-stage",
      trainEpochs: 600,
      batchSize: 96,
      cells: 20,
      channels: 36,
      validationFraction: 0,
      learningRate: 0.025,
      finalLearningRate: 0.001,
      codeLearningRate: 3e-4,
      freezeTolerance: 1e-3,
      maxParams: 3.7e6,
      auxiliaryWeight: 0.4,
      cutout: 16,
      dropPath: 0.2,
    });
  });

  it("hold the numbers of both training recipes", () => {
    expect(resolveConfig("train", { preset: "cifar10-train" }).config).toMatchObject({
      epochs: 600,
      batchSize: 96,
      cells: 20,
      channels: 36,
      learningRate: 0.025,
      finalLearningRate: 0,
      schedule: "cosine",
      weightDecay: 3e-4,
      gradientClip: 5,
      auxiliaryWeight: 0.4,
      cutout: 16,
      dropPath: 0.2,
    });
    expect(resolveConfig("train", { preset: "imagenet-train" }).config).toMatchObject({
      epochs: 250,
      batchSize: 1024,
      cells: 14,
      channels: 48,
      learningRate: 0.5,
      schedule: "linear",
      warmupEpochs: 5,
      weightDecay: 3e-5,
      auxiliaryWeight: 0.4,
      labelSmoothing: 0.1,
      dropPath: 0,
      stem: "imagenet",
      imageSize: 224,
      augmentation: "random-resized-crop",
      colorJitter: [0.4, 0.4, 0.4, 0.2],
    });
  });

  it.each(Object.entries(presets))("%s is valid and names its training", (name, preset) => {
    const { config } = resolveConfig(preset.kind, { preset: name });
    expect(config.preset).toBe(name);
    if ("trainPreset" in config && config.trainPreset !== null)
      expect(presets[config.trainPreset].kind).toBe("train");
    if (name.startsWith("demo")) expect(fs.readdirSync(dataFolder(config.data)).length).toBeGreaterThan(3);
  });
});

describe("precedence", () => {
  it("is defaults < preset < file < flags, and the source of each is known", () => {
    const path = file({ preset: "cifar10-two-stage", epochs: 7, seed: 3 });
    const { config, sources } = resolveConfig("search", { file: path, flags: { seed: 4 } });
    expect(config).toMatchObject({ batchSize: 256, epochs: 7, seed: 4, cutout: 0 });
    expect(sources).toMatchObject({
      batchSize: "preset cifar10-two-stage",
      preset: `file ${path}`,
      epochs: `file ${path}`,
      seed: "--seed",
      cutout: "default",
    });
  });

  it("lets the --preset flag win over the file's preset, but not over its values", () => {
    const path = file({ preset: "cifar10-two-stage", batchSize: 32 });
    const { config, sources } = resolveConfig("search", { file: path, preset: "cifar10-one-stage" });
    expect(config).toMatchObject({ preset: "cifar10-one-stage", cells: 20, batchSize: 32 });
    expect(sources.preset).toBe("--preset");
  });

  it("gives a configuration that can be fed back", () => {
    for (const kind of ["search", "train"] as RunKind[]) {
      const preset = kind === "search" ? "cifar10-one-stage" : "imagenet-train";
      const { config } = resolveConfig(kind, { preset, flags: { seed: 9, threads: 3 } });
      expect(resolveConfig(kind, { file: file(config) }).config).toEqual(config);
      expect(checkConfig(kind, JSON.parse(JSON.stringify(config)), "x")).toEqual(config);
    }
  });

  it("says how many threads `all` are", () => {
    expect(resolveConfig("search", {}).config.threads).toBe(usefulThreads());
  });
});

describe("errors", () => {
  it.each<[string, RunKind, unknown, string, string]>([
    ["an unknown key", "search", { batchsize: 3 }, "CONFIG_UNKNOWN", "did you mean batchSize?"],
    ["__proto__", "search", '{"__proto__": {"epochs": 3}}', "CONFIG_UNKNOWN", "__proto__"],
    ["a key of the other kind", "train", { codeBetas: [0, 0] }, "CONFIG_UNKNOWN", "codeBetas"],
    [
      "a wrong type",
      "search",
      { epochs: "3" },
      "CONFIG_VALUE",
      'expected a whole number, at least 1, got "3"',
    ],
    ["a broken number", "search", { cells: 0 }, "CONFIG_VALUE", "cells (file"],
    ["an unknown word", "search", { recovery: "paths" }, "CONFIG_VALUE", "expected one of top-s, path, got"],
    ["a wrong length", "search", { codeBetas: [0.5] }, "CONFIG_VALUE", "expected 2 numbers"],
    ["a tiny image size", "train", { imageSize: 7 }, "CONFIG_VALUE", "at least 8, at most 4096, or none"],
    ["a bad device", "train", { device: "gpu" }, "CONFIG_VALUE", "device"],
    ["a bad normalisation", "train", { normalisation: "0.5" }, "CONFIG_VALUE", "normalisation"],
    [
      "no validation part in two stages",
      "search",
      { validationFraction: 0 },
      "CONFIG_VALUE",
      "expected a share above 0",
    ],
    [
      "training after one stage",
      "search",
      { method: "ista-one-stage", thenTrain: true },
      "CONFIG_VALUE",
      "thenTrain (file",
    ],
    ["a list", "search", [], "CONFIG_FILE", "JSON object"],
    ["no JSON", "search", "epochs: 3", "FILE_JSON", "expected JSON"],
    [
      "a preset that does not exist",
      "search",
      { preset: "cifar10-twostage" },
      "CONFIG_UNKNOWN",
      "cifar10-two-stage?",
    ],
    ["a preset of the other kind", "search", { preset: "demo-train" }, "CONFIG_UNKNOWN", "of `train`"],
    ["a preset named like a method", "search", { preset: "toString" }, "CONFIG_UNKNOWN", "no preset"],
    ["a preset that is no text", "search", { preset: 3 }, "CONFIG_UNKNOWN", 'no preset "3"'],
  ])("%s", (_what, kind, value, code, words) => {
    const error = failure(() => resolveConfig(kind, { file: file(value) }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
  });

  it("names all bad values at once, each with its source", () => {
    const path = file({ epochs: 0 });
    const { message } = failure(() => resolveConfig("train", { file: path, flags: { momentum: 1 } }));
    expect(message).toContain(`epochs (file ${path})`);
    expect(message).toContain("momentum (--momentum): expected a number, at least 0, below 1, got 1");
  });

  it("a run needs data", () => {
    expect(failure(() => dataFolder(null)).message).toContain("--data bundled");
    expect(dataFolder("some/folder")).toBe("some/folder");
  });
});

describe("flags", () => {
  const all = (kind: RunKind): Option[] => optionGroups(kind).flatMap(({ options }) => options);
  const option = (kind: RunKind, key: string): Option => all(kind).find((one) => one.key === key)!;

  it("have kebab-case names, and a description with every one", () => {
    expect(option("search", "maxMultAdds").flag).toBe("max-mult-adds");
    for (const one of [...all("search"), ...all("train")]) expect(one.description.length).toBeGreaterThan(8);
  });

  it("are read as their types", () => {
    expect(parseFlagValue(option("search", "lambda"), "1e-5")).toBe(1e-5);
    expect(parseFlagValue(option("search", "maxParams"), "none")).toBeNull();
    expect(parseFlagValue(option("search", "codeBetas"), "0.5,0.9")).toEqual([0.5, 0.9]);
    expect(parseFlagValue(option("train", "arch"), "12")).toBe("12");
    expect(formatValue([0.5, 0.9])).toBe("0.5,0.9");
  });

  it.each(["", " ", "x", "1,2", "Infinity", "0x"])("refuse %j as a number", (text) => {
    expect(failure(() => parseFlagValue(option("search", "epochs"), text)).code).toBe("CONFIG_VALUE");
  });
});

describe("resume", () => {
  const saved = resolveConfig("search", { preset: "demo", flags: { threads: 2 } }).config;

  it("takes what may change and says so", () => {
    const { config, changes } = configForResume("search", saved, {
      epochs: 99,
      threads: 2,
      cells: saved.cells,
    });
    expect(config).toEqual({ ...saved, epochs: 99 });
    expect(changes).toEqual([`goes on with --epochs 99 instead of ${saved.epochs}`]);
  });

  it("takes the same of a training", () => {
    const before = resolveConfig("train", { preset: "demo-train", flags: { threads: 2 } }).config;
    expect(configForResume("train", before, {})).toEqual({ config: before, changes: [] });
    expect(configForResume("train", before, { epochs: 9 }).config).toEqual({ ...before, epochs: 9 });
    expect(failure(() => configForResume("train", before, { seed: 5 })).code).toBe("CONFIG_RESUME");
    expect(failure(() => configForResume("train", before, { method: "ista-one-stage" })).code).toBe(
      "CONFIG_UNKNOWN",
    );
  });

  it("refuses everything else by name, with both values", () => {
    const error = failure(() => configForResume("search", saved, { seed: 5, batchSize: 7, epochs: 99 }));
    expect(error.code).toBe("CONFIG_RESUME");
    expect(error.message).toContain(`--seed 5 instead of ${saved.seed}`);
    expect(error.message).toContain("--batch-size 7");
    expect(error.message).not.toContain("--epochs 99");
  });

  it("still checks the values", () => {
    expect(failure(() => configForResume("search", saved, { epochs: -1 })).code).toBe("CONFIG_VALUE");
    expect(failure(() => configForResume("search", saved, { epoch: 1 })).code).toBe("CONFIG_UNKNOWN");
  });

  it("knows only options that exist", () => {
    const known = [...optionsOf("search", usualMethod), ...optionsOf("search", "ista-one-stage")].map(
      ({ key }) => key,
    );
    for (const key of resumableKeys) expect(known).toContain(key);
  });
});
