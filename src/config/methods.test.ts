// Tests of the configuration of search methods: which options a search has, the old name `mode`, usual sizes, and plug-ins.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { expectError } from "../../test/support/data.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { checkConfig, configForResume, resolveConfig } from "./config.js";
import { allMethodOptions, findMethodOptions, registerMethodOptions, usualMethod } from "./methods.js";
import { optionGroups, optionsOf } from "./options.js";
import { presets } from "./presets.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-methods-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function file(value: unknown): string {
  const path = join(folder, "config.json");
  fs.writeFileSync(path, JSON.stringify(value));
  return path;
}

/** Methods stay registered, so each has a name of its own. */
const climbing = {
  name: "climbing",
  description: "takes the better of two neighbours",
  options: {
    neighbours: z.int().min(1).default(5).describe("neighbours that are tried in an epoch"),
    patience: z.int().min(1).default(3).describe("epochs without a better neighbour until the end"),
  },
  defaults: { epochs: 12, learningRate: 0.4, maxParams: 1e6 },
  check(config: Readonly<Record<string, unknown>>, refuse: (key: string, message: string) => void): void {
    if (Number(config.patience) > Number(config.epochs))
      refuse("patience", `must be at most the ${config.epochs} epochs`);
  },
};
registerMethodOptions(climbing);

describe("the method", () => {
  it("is the two-stage search where nothing says", () => {
    const { config, sources } = resolveConfig("search", {});
    expect(config.method).toBe("ista-two-stage");
    expect(usualMethod).toBe("ista-two-stage");
    expect(sources.method).toBe("default");
  });

  it.each(
    Object.entries(presets).flatMap(([name, { kind, values }]) =>
      kind === "search" ? [[name, (values as { method: string }).method]] : [],
    ),
  )("of the preset %s is %s", (preset, method) => {
    const { config, sources } = resolveConfig("search", { preset });
    expect(config.method).toBe(method);
    expect(sources.method).toBe(`preset ${preset}`);
    expect(allMethodOptions().map(({ name }) => name)).toContain(method);
  });

  it("decides which options there are", () => {
    const two = resolveConfig("search", { flags: { method: "ista-two-stage" } }).config;
    const one = resolveConfig("search", { flags: { method: "ista-one-stage" } }).config;
    expect(two).toHaveProperty("codeLearningRate", null);
    expect(two).not.toHaveProperty("trainEpochs");
    expect(one).toMatchObject({ codeLearningRate: null, trainEpochs: 600, freezeTolerance: 1e-3 });
    expect(optionsOf("train", "").map(({ key }) => key)).not.toContain("codeLearningRate");
  });

  it("may be another one than the preset's, which keeps what both know", () => {
    const { config, sources } = resolveConfig("search", {
      preset: "demo-one-stage",
      flags: { method: "ista-two-stage", validationFraction: 0.3 },
    });
    expect(config).toMatchObject({
      method: "ista-two-stage",
      preset: "demo-one-stage",
      cells: 5,
      channels: 8,
      codeLearningRate: 0.01,
    });
    expect(config).not.toHaveProperty("trainEpochs");
    expect(config).not.toHaveProperty("freezeTolerance");
    expect(sources.method).toBe("--method");
    const path = file({ method: "climbing" });
    expect(resolveConfig("search", { preset: "demo", file: path }).config).toMatchObject({
      method: "climbing",
      epochs: 10,
      neighbours: 5,
    });
  });

  it("is checked by its own rules", async () => {
    await expectError(
      () => resolveConfig("search", { flags: { method: "ista-two-stage", validationFraction: 0 } }),
      "CONFIG_VALUE",
      "validationFraction (--validation-fraction): expected a share above 0",
    );
    expect(
      resolveConfig("search", { flags: { method: "ista-one-stage", validationFraction: 0 } }).config,
    ).toMatchObject({ validationFraction: 0 });
    await expectError(
      () => resolveConfig("search", { flags: { method: "climbing", patience: 13 } }),
      "CONFIG_VALUE",
      "patience (--patience): must be at most the 12 epochs",
    );
  });

  it("that is unknown is refused with the nearest", async () => {
    for (const layers of [
      { flags: { method: "ista-one-stag" } },
      { file: file({ method: "ista-one-stag" }) },
    ])
      await expectError(
        () => resolveConfig("search", layers),
        "CONFIG_VALUE",
        "--method",
        '"ista-one-stag"',
        "did you mean ista-one-stage?",
      );
    await expectError(() => findMethodOptions("constructor"), "CONFIG_VALUE", '"constructor"');
    for (const method of [3, null, ["ista-one-stage"]])
      await expectError(() => checkConfig("search", { method }, "saved"), "CONFIG_VALUE", "method (saved)");
  });
});

describe("an option of another method", () => {
  it.each([
    ["in a file", () => resolveConfig("search", { file: file({ trainEpochs: 5 }) })],
    ["as a flag", () => resolveConfig("search", { preset: "demo", flags: { trainEpochs: 5 } })],
    ["in a run", () => checkConfig("search", { method: "ista-two-stage", trainEpochs: 5 }, "config.json")],
  ])("%s is refused with the name of its method", async (_, action) => {
    await expectError(action, "CONFIG_UNKNOWN", '"trainEpochs"', "an option of ista-one-stage, not of");
  });

  it("that several methods have is refused with all their names", async () => {
    await expectError(
      () => resolveConfig("search", { flags: { method: "climbing", recovery: "path" } }),
      "CONFIG_UNKNOWN",
      '"recovery"',
      "ista-two-stage, ista-one-stage",
    );
  });

  it("of none is refused with the nearest of its own", async () => {
    await expectError(
      () => resolveConfig("search", { flags: { method: "climbing", neighbors: 3 } }),
      "CONFIG_UNKNOWN",
      "did you mean neighbours?",
    );
  });
});

describe("the old name `mode`", () => {
  it.each(["two-stage", "one-stage"])("%s in a file and as a flag is a method", (mode) => {
    for (const layers of [{ file: file({ mode }) }, { flags: { mode } }]) {
      const { config, sources } = resolveConfig("search", layers);
      expect(config.method).toBe(`ista-${mode}`);
      expect(config).not.toHaveProperty("mode");
      expect(sources.method).toBe(layers.file === undefined ? "--method" : `file ${layers.file}`);
    }
    expect(checkConfig("search", { mode }, "config.json").method).toBe(`ista-${mode}`);
  });

  it("wins over the preset's method, as a flag over the file's", () => {
    expect(resolveConfig("search", { preset: "demo", flags: { mode: "one-stage" } }).config.method).toBe(
      "ista-one-stage",
    );
    const layers = { file: file({ mode: "one-stage", trainEpochs: 4 }), flags: {} };
    expect(resolveConfig("search", layers).config).toMatchObject({ trainEpochs: 4 });
    const path = file({ method: "climbing" });
    expect(resolveConfig("search", { file: path, flags: { mode: "two-stage" } }).config.method).toBe(
      "ista-two-stage",
    );
  });

  it("two-stage may come with the options of the other mode, which never had an effect", () => {
    const old = { mode: "two-stage", trainEpochs: 600, freezeTolerance: 1e-3, epochs: 7 };
    const config = checkConfig("search", old, "config.json");
    expect(config).toMatchObject({ method: "ista-two-stage", epochs: 7 });
    expect(config).not.toHaveProperty("trainEpochs");
    expect(checkConfig("search", { ...old, mode: "one-stage" }, "config.json")).toMatchObject({
      trainEpochs: 600,
      freezeTolerance: 1e-3,
    });
  });

  it("of another word is an unknown method", async () => {
    await expectError(
      () => resolveConfig("search", { flags: { mode: "three-stage" } }),
      "CONFIG_VALUE",
      "ista-three-stage",
      "did you mean ista-",
    );
  });

  it("beside a method that is not the same is refused", async () => {
    const both = { mode: "one-stage", method: "ista-two-stage" };
    await expectError(() => resolveConfig("search", { flags: both }), "CONFIG_VALUE", "--mode", "--method");
    expect(checkConfig("search", { mode: "one-stage", method: "ista-one-stage" }, "x").method).toBe(
      "ista-one-stage",
    );
  });

  it("means nothing to a training", async () => {
    await expectError(() => checkConfig("train", { mode: "one-stage" }, "x"), "CONFIG_UNKNOWN");
  });
});

describe("usual sizes", () => {
  it("are those of the space, below presets, files and flags", () => {
    const { search, train } = nasBench201.usualSize;
    const flags = { space: "nas-bench-201" };
    const found = resolveConfig("search", { flags });
    expect(found.config).toMatchObject(search);
    expect(found.sources).toMatchObject({
      cells: "usual in the space",
      channels: "usual in the space",
      space: "--space",
      epochs: "default",
    });
    expect(resolveConfig("search", { file: file({ space: "nas-bench-201" }) }).config).toMatchObject(search);
    expect(resolveConfig("train", { flags }).config).toMatchObject(train);
    expect(resolveConfig("search", { flags: { ...flags, cells: 6 } }).config).toMatchObject({
      ...search,
      cells: 6,
    });
    expect(resolveConfig("search", { preset: "demo-one-stage" }).config).toMatchObject({
      cells: 5,
      channels: 8,
    });
    expect(resolveConfig("search", { flags: { space: "darts" } }).config).toMatchObject({
      cells: 8,
      channels: 16,
    });
  });

  it("are those of the space that other options say", () => {
    const seen: unknown[] = [];
    const { config, sources } = resolveConfig("train", {
      flags: { arch: "x" },
      spaceOf: (given) => {
        seen.push(given);
        return nasBench201;
      },
    });
    expect(seen).toEqual([{ arch: "x" }]);
    expect(config).toMatchObject({ ...nasBench201.usualSize.train, space: "nas-bench-201" });
    expect(sources.cells).toBe("usual in the space");
  });

  it("come before the size of a preset for another space, whose head may not exist there", () => {
    const flags = { space: "nas-bench-201" };
    const { search, train } = nasBench201.usualSize;
    expect(resolveConfig("search", { preset: "demo", flags }).config).toMatchObject({
      ...search,
      epochs: 10,
    });
    const trained = resolveConfig("train", { preset: "cifar10-train", flags }).config;
    expect(trained).toMatchObject({ ...train, auxiliaryWeight: 0, epochs: 600 });
    const back = resolveConfig("train", { preset: "nas-bench-201-train", flags: { space: "darts" } }).config;
    expect(back).toMatchObject({ cells: 20, channels: 36, epochs: 200 });
  });

  it("leave a note of what a preset loses, and refuse a space that is not the architecture's", async () => {
    const flags = { space: "nas-bench-201" };
    const { notes } = resolveConfig("search", { preset: "cifar10-two-stage", flags: { method: "darts" } });
    expect(notes).toEqual([expect.stringMatching(/^preset cifar10-two-stage: left out .*lambda.*/)]);
    expect(resolveConfig("search", { preset: "demo" }).notes).toEqual([]);
    expect(resolveConfig("search", { preset: "demo", flags }).notes[0]).toContain("cells, channels");
    await expectError(
      () => resolveConfig("train", { flags: { arch: "x", space: "darts" }, spaceOf: () => nasBench201 }),
      "CONFIG_VALUE",
      "--space darts: expected nas-bench-201",
    );
  });

  it("of an unknown space are refused with the nearest", async () => {
    await expectError(
      () => resolveConfig("search", { flags: { space: "nas-bench-210" } }),
      "CONFIG_VALUE",
      "--space",
      "did you mean nas-bench-201?",
    );
  });
});

describe("a method that is added", () => {
  it.each<[string, unknown, string]>([
    ["nothing", null, "expected a name"],
    ["one with a name that no flag can have", { name: "m x", options: {} }, "expected a name"],
    ["one without options", { name: "none-at-all" }, "expected options"],
    ["an option that is no zod type", { name: "odd", options: { count: 3 } }, "expected option count"],
    ["an unknown default", { name: "odd", options: {}, defaults: { epoch: 3 } }, "got epoch"],
  ])("is not %s", async (_, method, message) => {
    await expectError(() => registerMethodOptions(method as never), "PLUGIN_INVALID", message);
  });

  it("has defaults of its own for the options of every search", () => {
    const { config, sources } = resolveConfig("search", { flags: { method: "climbing" } });
    expect(config).toMatchObject({ epochs: 12, learningRate: 0.4, neighbours: 5, batchSize: 256 });
    expect(sources.epochs).toBe("default");
    const option = (method: string, wanted: string) =>
      optionsOf("search", method).find(({ key }) => key === wanted)!;
    for (const [key, value] of Object.entries(climbing.defaults))
      expect(option("climbing", key)).toEqual({ ...option(usualMethod, key), default: value });
    expect(resolveConfig("search", { flags: { method: "climbing", epochs: 3 } }).config.epochs).toBe(3);
  });

  it("gets flags under its name, and those of others stay where they are", () => {
    const groups = optionGroups("search");
    const keys = (heading: string | null): string[] =>
      groups.find((group) => group.heading === heading)!.options.map(({ key }) => key);
    expect(keys("Options of climbing")).toEqual(["neighbours", "patience"]);
    expect(keys("Options of ista-one-stage")).toEqual([
      "trainEpochs",
      "freezeTolerance",
      "freezeBy",
      "heldNorms",
      "dropIdentities",
    ]);
    expect(keys("Options of ista-two-stage, ista-one-stage")).toContain("codeBetas");
    const measurement = groups.flatMap(({ options }) => options).find(({ key }) => key === "measurement")!;
    expect(measurement.default).toBe("uniform");
    expect(measurement.description).toMatch(/; frame with ista-trials$/);
    expect(keys(null)).toContain("epochs");
    const all = groups.flatMap(({ options }) => options.map(({ key }) => key));
    expect(new Set(all).size).toBe(all.length);
  });

  it("must have a name of its own", async () => {
    registerMethodOptions(climbing);
    await expectError(
      () => registerMethodOptions({ ...climbing, description: "another one" }),
      "PLUGIN_INVALID",
      "climbing",
    );
  });

  it.each(["epochs", "space", "method", "mode"])("must not have an option named %s", async (key) => {
    const method = { name: `with ${key}`, description: "x", options: { [key]: z.int().default(1) } };
    await expectError(() => registerMethodOptions(method), "PLUGIN_INVALID", `with ${key}`, key);
    expect(allMethodOptions().map(({ name }) => name)).not.toContain(method.name);
  });
});

describe("resuming", () => {
  const saved = resolveConfig("search", { preset: "demo", flags: { threads: 2 } }).config;

  it("keeps the method, under either name", () => {
    for (const flags of [{ method: "ista-two-stage" }, { mode: "two-stage" }, {}])
      expect(configForResume("search", saved, flags)).toEqual({ config: saved, changes: [] });
  });

  it.each([
    [{ method: "ista-one-stage" }, "--method ista-one-stage instead of ista-two-stage"],
    [{ mode: "one-stage" }, "--method ista-one-stage instead of ista-two-stage"],
    [{ method: "climbing", epochs: 20 }, "--method climbing instead of ista-two-stage"],
    [{ method: "nothing" }, "--method nothing instead of ista-two-stage"],
  ])("with %j is refused", async (flags, words) => {
    await expectError(() => configForResume("search", saved, flags), "CONFIG_RESUME", words);
  });

  it("names only the options that the method has", async () => {
    const error = (config: typeof saved) => () => configForResume("search", config, { seed: 99 });
    await expectError(error(saved), "CONFIG_RESUME", "only --epochs, --threads");
    const one = resolveConfig("search", { preset: "demo-one-stage" }).config;
    await expectError(error(one), "CONFIG_RESUME", "only --epochs, --train-epochs, --threads");
    await expectError(
      () => configForResume("search", saved, { trainEpochs: 3 }),
      "CONFIG_UNKNOWN",
      "an option of ista-one-stage",
    );
  });
});
