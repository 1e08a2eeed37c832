// Plans: what a study file may say, what becomes of common options, and which plans are the same study.
import { dirname, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/support/data.js";
import { failure } from "../../test/support/failure.js";
import { readPlan } from "./directory.js";
import {
  changeOfPlan,
  optionsOfArm,
  parseSeeds,
  readStudyFile,
  resolveArms,
  studyOfMethods,
} from "./plan.js";

const { write } = temporaryFolder();
const file = (value: unknown): string =>
  write("study.json", typeof value === "string" ? value : JSON.stringify(value));
const arms = { found: { method: "ista-two-stage" }, random: { method: "random", candidates: 5 } };

it.each(["../other", "a/b", "/tmp/c", ".hidden", "x.json", ""])(
  "the study of others has no arm %j outside of it",
  (name) => {
    const about = {
      formatVersion: 1,
      created: "",
      command: [],
      version: "1",
      name: null,
      common: {},
      baseline: null,
    };
    const path = write(
      "theirs/study.json",
      JSON.stringify({ ...about, arms: { [name]: {} }, seeds: [1], plugins: [] }),
    );
    const { code, message } = failure(() => readPlan(dirname(path)));
    expect([code, message]).toEqual(["CONFIG_VALUE", expect.stringContaining(path)]);
  },
);

describe("seeds", () => {
  it.each<[string | number[], number[]]>([
    ["0..3", [0, 1, 2, 3]],
    ["3,5, 7", [3, 5, 7]],
    ["0..1,10", [0, 1, 10]],
    [
      [4, 2],
      [4, 2],
    ],
  ])("%j", (given, seeds) => expect(parseSeeds(given, "--seeds")).toEqual(seeds));

  it.each<[string | number[], string]>([
    ["3..1", '"3..1"'],
    ["", '""'],
    ["1,,2", '"1,,2"'],
    ["1,1", "1 twice"],
    ["-1", '"-1"'],
    ["0..99999999", '"0..99999999"'],
    [[1.5], "[1.5]"],
    [[9007199254740992], '"9007199254740992"'],
  ])("%j is refused", (given, got) => {
    const { code, message } = failure(() => parseSeeds(given, "--seeds"));
    expect(code).toBe("CONFIG_VALUE");
    expect(message).toContain(`got ${got}`);
  });
});

describe("a study file", () => {
  it("is read with paths made absolute; flags win over it", () => {
    const path = file({
      name: "first",
      common: { data: "images", epochs: 7 },
      arms,
      seeds: "0..1",
      table: "t.csv",
    });
    expect(readStudyFile(path)).toEqual({
      name: "first",
      common: { data: resolve("images"), epochs: 7, table: resolve("t.csv") },
      arms,
      seeds: [0, 1],
      baseline: null,
      plugins: [],
    });
    const overrides = { seeds: "5", baseline: "found", data: "others", table: "other.csv" };
    expect(readStudyFile(path, overrides)).toMatchObject({
      seeds: [5],
      baseline: "found",
      common: { data: resolve("others"), table: resolve("other.csv") },
    });
    expect(readStudyFile(file({ common: { data: "bundled" }, arms, seeds: [1] })).common.data).toBe(
      "bundled",
    );
  });

  it.each<[unknown, string, string]>([
    ["[1]", "CONFIG_FILE", "expected a JSON object"],
    [{ arms, seds: "0" }, "CONFIG_VALUE", "seeds: expected"],
    [{ arms, seeds: "0", bseline: "x" }, "CONFIG_UNKNOWN", "did you mean baseline?"],
    [{ arms, seeds: true }, "CONFIG_VALUE", "seeds: expected"],
    [{ arms: [], seeds: "0" }, "CONFIG_VALUE", "arms: expected an object"],
    [{ arms: {}, seeds: "0" }, "CONFIG_VALUE", "at least one arm"],
    [{ arms: { "a/b": {} }, seeds: "0" }, "CONFIG_VALUE", '"a/b"'],
    [{ arms: { "report.json": {} }, seeds: "0" }, "CONFIG_VALUE", "report.json"],
    [{ arms, seeds: "0", baseline: "randm" }, "CONFIG_VALUE", "did you mean random?"],
    [{ arms, seeds: "0..6000" }, "CONFIG_VALUE", "at most 10000 runs"],
    [{ arms, seeds: "0", name: "a b" }, "CONFIG_VALUE", "name: expected letters"],
  ])("%j is refused with %s", (value, code, words) => {
    const error = failure(() => readStudyFile(file(value)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
  });
});

describe("arms", () => {
  const plan = readStudyFile(
    file({ common: { preset: "demo", recovery: "top-s", candidates: 3, epochs: 9 }, arms, seeds: "0" }),
  );

  it("get the common options that their methods have, and their own on top", () => {
    expect(optionsOfArm(plan, "found")).toEqual({
      preset: "demo",
      recovery: "top-s",
      epochs: 9,
      method: "ista-two-stage",
    });
    expect(optionsOfArm(plan, "random")).toEqual({
      preset: "demo",
      candidates: 5,
      epochs: 9,
      method: "random",
    });
    const resolved = resolveArms(plan);
    expect(resolved.get("found")!.config).toMatchObject({ epochs: 9, batchSize: 64, recovery: "top-s" });
    expect(resolved.get("random")!.config).toMatchObject({
      method: "random",
      candidates: 5,
      data: "bundled",
    });
    expect(resolved.get("random")!.notes.join()).toContain("left out");
  });

  it.each<[Record<string, unknown>, string, string]>([
    [{ epochz: 3 }, "CONFIG_UNKNOWN", "arm a: "],
    // Of a method that no arm has.
    [{ candidates: 3 }, "CONFIG_UNKNOWN", "an option of random"],
    [{ epochs: 0 }, "CONFIG_VALUE", "epochs"],
    [{ seed: 1 }, "CONFIG_VALUE", "the seeds are the study's"],
    [{ preset: "dmo" }, "CONFIG_UNKNOWN", "did you mean demo?"],
  ])("with %j are refused", (common, code, words) => {
    const wrong = readStudyFile(file({ common, arms: { a: {} }, seeds: "0" }));
    const error = failure(() => resolveArms(wrong));
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
    expect(error.message).toMatch(/^arm a: /);
  });

  it("of methods, each once", () => {
    const { arms } = studyOfMethods(["spos", "random"], { epochs: 5 }, [0], null);
    expect(arms).toEqual({ spos: { method: "spos" }, random: { method: "random" } });
    expect(failure(() => studyOfMethods(["sops"], {}, [0], null)).message).toContain("did you mean spos?");
    expect(failure(() => studyOfMethods(["spos", "spos"], {}, [0], null)).message).toContain("spos twice");
  });
});

it("a study stays the same where arms and seeds are added, and nothing else changes", () => {
  const plan = studyOfMethods(["spos", "random"], { epochs: 5 }, [0, 1], null);
  const more = studyOfMethods(["random", "spos", "darts"], { epochs: 5 }, [0, 1, 2], "spos");
  expect(changeOfPlan(plan, more)).toBeNull();
  expect(changeOfPlan(more, plan)).toBe("arm darts, which is gone");
  expect(changeOfPlan(plan, { ...plan, seeds: [1] })).toBe("seed 0, which is gone");
  expect(changeOfPlan(plan, { ...plan, common: {} })).toBe("the common options");
  expect(changeOfPlan(plan, { ...plan, arms: { ...plan.arms, spos: { method: "darts" } } })).toBe(
    "the options of arm spos",
  );
});
