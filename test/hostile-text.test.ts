// Text of others in a run directory, a model file, a data set or a configuration: no command gives it to the terminal as it is.
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readModel, writeModel } from "../src/formats/model-file.js";
import { picture } from "./support/data.js";
import { type Call, commandLine, succeed } from "./support/program.js";

const { at, call } = commandLine();

/** Clears the screen, in both ways to say it, begins a line of its own, and turns the rest around. */
const hostile = "x\u001b[2J\u009b2J\r\nFORGED: all is well\u2028FORGED\u202egnp.\u2066\u0007";
// File names hold no more than 255 bytes, and those of classes no control characters.
const place = "run\u001b[2J\nFORGED\u202e";
const second = `second${place}`;
const turned = "cat\u202egod\u2066";

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
const steering = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Fails where anything of the output would steer a terminal, or where a line begins as others want it. */
function expectTame({ out, err }: Call, words: readonly string[]): void {
  for (const text of [out, err]) {
    expect(steering.exec(text)?.[0].codePointAt(0)?.toString(16), `${JSON.stringify(words)}\n${text}`).toBe(
      undefined,
    );
    expect(text.split("\n").filter((line) => /^\W*FORGED/.test(line))).toEqual([]);
  }
}

/** Changes a JSON file of the run. */
// biome-ignore lint/suspicious/noExplicitAny: whatever the file holds
function change(name: string, edit: (value: any) => void): void {
  const file = at(place, name);
  const value = JSON.parse(readFileSync(file, "utf8"));
  edit(value);
  writeFileSync(file, JSON.stringify(value));
}

beforeAll(async () => {
  for (const name of [turned, "dog"]) {
    mkdirSync(at("data", name), { recursive: true });
    for (let i = 0; i < 8; i++)
      writeFileSync(at("data", name, `${i}.png`), await picture(12, 12, "png", i + name.length));
  }
  const words = ["--cells", "3", "--channels", "2", "--epochs", "1", "--batch-size", "4", "--threads", "1"];
  succeed(call("train", "--arch", "ISTA_twostage", "--data", "data", ...words, "--out", "plain"));
  renameSync(at("plain"), at(place));
  const model = readModel(at(place, "model.safetensors"));
  writeModel(at(place, "model.safetensors"), {
    ...model.description!,
    classes: [turned, "dog"],
    weights: model.weights,
  });
  change("summary.json", (summary) => {
    Object.assign(summary, { arch: hostile, dataset: hostile, preset: hostile, method: hostile });
    summary.knownAccuracies = { [hostile]: 50 };
    summary.diagnosis = { [hostile]: hostile };
  });
  change("meta.json", (meta) => {
    Object.assign(meta, { created: hostile, command: ["train", hostile], preset: hostile });
    meta.versions[hostile] = hostile;
    Object.assign(meta.host, { name: hostile, processor: hostile, cores: hostile });
    meta.resumed = [{ time: hostile, command: [hostile], changes: [hostile] }];
  });
  change("config.json", (config) => {
    config.data = hostile;
  });
  const records = readFileSync(at(place, "metrics.jsonl"), "utf8");
  writeFileSync(at(place, "metrics.jsonl"), `${records}${JSON.stringify({ [hostile]: hostile })}\n`);
  cpSync(at(place), at(second), { recursive: true });
  writeModel(at(second, "model.safetensors"), {
    ...model.description!,
    classes: [hostile, "dog"],
    weights: model.weights,
  });
  writeFileSync(at("config.json"), JSON.stringify({ data: hostile, [hostile]: hostile }));
  writeFileSync(at("fine.json"), JSON.stringify({ data: hostile, name: hostile }));
  const study = {
    ...{ formatVersion: 1, created: hostile, command: [hostile], version: hostile, name: hostile },
    ...{ common: { [hostile]: hostile }, arms: { random: { [hostile]: hostile } }, seeds: [1] },
    ...{ baseline: hostile, plugins: [`./${place}.mjs`] },
  };
  for (const [name, value] of [
    ["study", study],
    [
      "plain-study",
      { ...study, common: {}, arms: { random: { method: "random", data: hostile } }, plugins: [] },
    ],
    ["outside-study", { ...study, arms: { [`../${place}`]: {} }, plugins: [] }],
  ] as const) {
    mkdirSync(at(name));
    writeFileSync(at(name, "study.json"), JSON.stringify(value));
  }
  writeFileSync(at("genotype.txt"), `Genotype(${hostile})`);
  writeFileSync(at("table.csv"), `architecture,${JSON.stringify(hostile)}\n${JSON.stringify(hostile)},50\n`);
  writeFileSync(at(`${place}.png`), await picture(12, 12, "png"));
  writeFileSync(at(`broken${place}.png`), "no picture");
}, 240_000);

const commands: (readonly string[])[] = [
  ["runs", "list", "."],
  ["runs", "list", place],
  ["runs", "show", place],
  ["runs", "show", `no${place}`],
  ["runs", "compare", place, second],
  ["runs", "compare", place, "--table", "table.csv"],
  ["eval", place, "--data", "data"],
  ["eval", place],
  ["eval", second, "--data", "data"],
  ["predict", place, `${place}.png`],
  ["predict", second, `${place}.png`],
  ["predict", second, `${place}.png`, "--csv"],
  ["predict", second, `broken${place}.png`, `${place}.png`, "--skip-broken"],
  ["predict", place, `no${place}.png`],
  ["export", place, "--format", "onnx"],
  ["export", place, "--format", "page"],
  ["export", place, "--format", "safetensors"],
  ["export", place, "--format", "genotype-python"],
  ["export", place, "--format", "svg"],
  ["arch", "show", place],
  ["arch", "show", place, "--table", "table.csv"],
  ["arch", "show", "genotype.txt"],
  ["arch", "show", hostile],
  ["arch", "params", place],
  ["arch", "diff", place, "ISTA_onestage"],
  ["arch", "draw", place, "--out", `${place}.svg`],
  ["arch", "random", "--out", `random${place}.json`],
  ["train", "--resume", place],
  ["train", "--resume", place, "--epochs", "2", "--data", "data"],
  ["train", "--arch", place, "--data", "data", "--epochs", "1", "--cells", "3", "--out", `third${place}`],
  ["train", "--arch", "ISTA_twostage", "--init-from", place, "--data", "data", "--epochs", "1"],
  ["search", "--resume", place],
  ["search", "--config", "config.json"],
  ["search", "--plugin", `${place}.mjs`],
  ["study", "report", place, second],
  ["study", "report", place, "--format", "markdown"],
  ["study", "report", place, "--format", "csv"],
  ["study", "config.json"],
  ["study", "--resume", place],
  ["study", "--resume", "study"],
  ["study", "--resume", "plain-study"],
  ["study", "--resume", "outside-study"],
  ["study", "report", "plain-study"],
  ["study", "archive", "plain-study", "--out", `archive${place}`],
  ["data", "verify", "data"],
  ["data", "verify", place],
  ["data", "download", hostile],
  ["config", "check", "train", "config.json"],
  ["config", "check", "train", "fine.json"],
  ["config", "show", "train", "--config", "fine.json"],
  ["config", "presets", hostile],
  ["bench", hostile],
  [hostile],
];

describe("a hostile run directory", () => {
  it.each(commands)(
    "%j %j %j",
    (...words) => {
      const given = words.filter((word) => word !== undefined);
      // Two forms of output at once are a usage error, which is an output as well.
      for (const flags of [[], ["--json"]]) {
        const came = call(...given, ...flags);
        expectTame(came, [...given, ...flags]);
        expect(came.err).not.toContain("INTERNAL");
        expect(came.status, came.err).not.toBe(null);
      }
    },
    300_000,
  );

  it("shows nothing with the stacks of errors either", () => {
    for (const words of [
      ["arch", "show", hostile],
      ["data", "verify", place],
      ["study", "config.json"],
    ]) {
      const came = call(...words, "--verbose");
      expectTame(came, words);
      expect(came.err).toMatch(/\n {4}at /);
    }
  });

  it("writes drawings and pages in which the names show and nothing else happens", () => {
    for (const name of ["confusion.svg", "cells.svg"]) {
      const svg = readFileSync(at(place, name), "utf8");
      expect(steering.exec(svg)?.[0]).toBe(undefined);
    }
    expect(readFileSync(at(place, "confusion.svg"), "utf8")).toContain("cat\\u202egod");
    expect(readFileSync(at(`${place}.svg`), "utf8")).toContain("run\\x1b[2J\\nFORGED");
    const page = at(place, "page");
    const own = readdirSync(page).filter((name) => /\.html$|^network\.js$/.test(name));
    expect(own.sort()).toEqual(["index.html", "network.js"]);
    for (const name of own)
      expect(steering.exec(readFileSync(join(page, name), "utf8"))?.[0]).toBe(undefined);
  });

  it("is what the commands have read", () => {
    expect(call("runs", "show", place).out).toContain("x\\x1b[2J\\x9b2J\\r\\nFORGED: all is well\\u2028");
    expect(call("eval", place, "--data", "data").out).toContain("cat\\u202egod\\u2066 ");
    expect(call("eval", second, "--data", "data").err).toContain("FORGED");
    const [{ picture: name, classes }] = JSON.parse(call("predict", second, `${place}.png`, "--json").out);
    expect(name).toBe(`${place}.png`);
    expect(classes.map((one: { name: string }) => one.name).sort()).toEqual(["dog", hostile]);
  });
});
