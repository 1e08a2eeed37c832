// The command `arch`, in a copy of the program that has no tensor library.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { resolveConfig } from "../src/config/config.js";
import { formatGenotypeJson } from "../src/formats/genotype-json.js";
import { randomArchitecture } from "../src/formats/genotype-resolve.js";
import { RunDirectory } from "../src/run/directory.js";
import type { DartsGenotype } from "../src/space/darts/genotype.js";
import { darts } from "../src/space/darts/space.js";
import { nasBench201 } from "../src/space/nas-bench-201/space.js";
import { genotypeOf } from "../src/space/space.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at, call } = line;

beforeAll(() => {
  rmSync(join(line.program, "build"), { recursive: true });
  const { config } = resolveConfig("search", { preset: "demo" });
  const run = RunDirectory.create({ kind: "search", config, root: at("runs"), name: "found", command: [] });
  for (const epoch of [0, 1]) run.writeGenotype(genotypeOf(randomArchitecture(epoch)), epoch);
  run.writeGenotype(genotypeOf(randomArchitecture(1)));
  run.close();
});

const genotypeNamed = (name: string) => darts.toGenotype(darts.named[name].selection) as DartsGenotype;

const arch = (...words: string[]): string => succeed(call("arch", ...words));

it("has no engine here", () => {
  writeFileSync(at("any.safetensors"), "");
  fail(call("predict", "any.safetensors", "picture.jpg"), 1, "ENGINE_MISSING");
  for (const command of ["eval", "predict", "export", "arch"])
    expect(succeed(call(command, "--help"))).toContain("Examples:");
});

const imagenetFlags = [
  "--cells=14",
  "--channels=48",
  "--image-size=224",
  "--classes=1000",
  "--stem=imagenet",
];

describe("params", () => {
  // Counted on independent PyTorch modules of the published networks.
  it.each([
    ["ISTA_twostage", [], 3_316_726, 515_226_240],
    ["ISTA_onestage", [], 3_371_806, 532_257_408],
    ["ISTA_ImageNet", imagenetFlags, 5_651_392, 621_084_480],
    ["ISTA_ImageNet", [...imagenetFlags, "--pool-batch-norm"], 5_655_232, 621_084_480],
  ])("counts %s %s exactly", (name, flags, params, multAdds) => {
    expect(JSON.parse(arch("params", name, ...flags, "--json"))).toMatchObject({ params, multAdds });
  });

  it("counts every part, and the auxiliary head apart", () => {
    const numbers = arch("params", "ISTA_twostage", "--cells", "4")
      .trim()
      .split("\n")
      .slice(3)
      .map((line) => line.split(/ {2,}/))
      .map(([part, params]): [string, number] => [part, Number(params.replaceAll(",", ""))]);
    const parts = Object.fromEntries(numbers);
    const sum = numbers.slice(0, -2).reduce((total, [, params]) => total + params, 0);
    expect(Object.keys(parts)).toContain("cell 2, reduction");
    expect(parts.total).toBe(sum);
    expect(parts["auxiliary head (training only)"]).toBeGreaterThan(0);
    expect(arch("params", "ISTA_twostage", "--no-auxiliary")).not.toContain("auxiliary");
  });

  it("refuses sizes that no network has", () => {
    fail(call("arch", "params", "ISTA_twostage", "--image-size", "30"), 2, "NETWORK_SHAPE", "divisible by 4");
    fail(call("arch", "params", "ISTA_twostage", "--cells", "2.5"), 2, "USAGE", "--cells");
  });
});

describe("cells", () => {
  it("of runs, names, files and seeds are shown", () => {
    expect(arch("list")).toContain("ISTA_ImageNet");
    expect(arch("show", "found")).toContain("Reduction cell");
    expect(arch("show", "found", "--epoch", "1", "--format", "json")).toBe(arch("random", "--seed", "0"));
    expect(darts.texts[0].parse(arch("show", "ISTA_twostage", "--format", "python"))).toEqual(
      darts.named.ISTA_twostage.selection,
    );
    expect(JSON.parse(arch("show", "ISTA_onestage", "--json"))).toEqual(genotypeNamed("ISTA_onestage"));
    fail(call("arch", "show", "found", "--epoch", "3"), 1, "FILE_NOT_FOUND", "epoch-002.json");
    fail(call("arch", "show", "ISTA_three"), 2, "GENOTYPE_INVALID", "ISTA_twostage");
  });

  it("are drawn as SVG and PNG", async () => {
    arch("draw", "found", "--out", "cells.svg", "--title", "a < b");
    expect(readFileSync(at("cells.svg"), "utf8")).toContain("a &lt; b");
    arch("draw", "random:7", "--out", "cells.png");
    const { format, width } = await sharp(at("cells.png")).metadata();
    expect(format).toBe("png");
    expect(width).toBeGreaterThan(800);
    fail(call("arch", "draw", "found", "--out", "cells.pdf"), 2, "USAGE", ".svg or .png");
  });

  it("at random are the same for the same seed", () => {
    arch("random", "--seed", "7", "--out", "seven.json");
    expect(readFileSync(at("seven.json"), "utf8")).toBe(arch("random", "--seed", "7"));
    expect(arch("diff", "seven.json", "random:7")).toBe("the same cells\n");
    expect(arch("diff", "seven.json", "random:8")).toContain("of 16 connections in common");
    fail(call("arch", "random"), 2, "USAGE", "--seed");
  });

  it("are compared whatever the order of a node's connections", () => {
    const genotype = genotypeNamed("ISTA_twostage");
    const [a, b, ...rest] = genotype.normal;
    writeFileSync(at("swapped.json"), JSON.stringify({ ...genotype, normal: [b, a, ...rest] }));
    expect(arch("diff", "ISTA_twostage", "swapped.json")).toBe("the same cells\n");
    const changed = { ...genotype, normal: [a, ["max_pool_3x3", 0], ...rest] };
    writeFileSync(at("changed.json"), JSON.stringify(changed));
    expect(JSON.parse(arch("diff", "ISTA_twostage", "changed.json", "--json"))).toEqual({
      same: false,
      common: 15,
      kept: 16,
      choices: [
        {
          choice: "normal node 2",
          onlyInFirst: ["dil_conv_3x3 1"],
          onlyInSecond: ["max_pool_3x3 0"],
        },
      ],
    });
  });
});

describe("cells of NAS-Bench-201", () => {
  const cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|";

  it("are listed, shown and drawn", () => {
    expect(arch("list")).toContain("all_nor_conv_3x3");
    expect(JSON.parse(arch("spaces", "--json"))).toMatchObject([
      { name: "darts", choices: 8, candidates: 196, kept: 16 },
      { name: "nas-bench-201", choices: 3, candidates: 30, kept: 6 },
    ]);
    expect(arch("show", cell, "--format", "own").trim()).toBe(cell);
    expect(JSON.parse(arch("show", cell, "--json"))).toEqual({ space: "nas-bench-201", cell });
    expect(arch("show", cell)).toContain("node 3 ── the last node ──▶ out");
    arch("draw", cell, "--out", "nas.svg");
    expect(readFileSync(at("nas.svg"), "utf8")).toContain("nor conv 3×3");
    fail(call("arch", "show", cell, "--format", "python"), 2, "USAGE", "nas-bench-201");
    fail(
      call("arch", "show", cell.replace("none", "zero")),
      2,
      "GENOTYPE_INVALID",
      "at node 2: expected one of none, ",
    );
  });

  it("are counted exactly, at the usual size of their space", () => {
    expect(JSON.parse(arch("params", "all_nor_conv_3x3", "--json"))).toMatchObject({
      params: 1_531_546,
      multAdds: 220_119_680,
    });
    fail(call("arch", "params", cell, "--cells", "4"), 2, "NETWORK_SHAPE", "divisible by 3");
  });

  it("at random are the same for the same seed, and compared with their like only", () => {
    const seven = arch("random", "--seed", "7", "--space", "nas-bench-201");
    expect(seven).toBe(formatGenotypeJson(randomArchitecture(7, nasBench201)));
    writeFileSync(at("nas.json"), seven);
    expect(arch("diff", "nas.json", "random:nas-bench-201:7")).toBe("the same cells\n");
    expect(arch("diff", "nas.json", "random:nas-bench-201:8")).toContain("of 6 connections in common");
    fail(call("arch", "diff", "nas.json", "ISTA_twostage"), 2, "USAGE", "two architectures of one space");
    fail(
      call("arch", "random", "--seed", "1", "--space", "nas-bench-202"),
      2,
      "CONFIG_VALUE",
      "nas-bench-201",
    );
  });
});
