// Run directories that an earlier version of the program wrote: they are listed, shown, and go on to the end that they would have had.
import { cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();
const stored = join(packageFolder, "test/golden/old-run");
const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const records = (run: string) =>
  readFileSync(at("runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const kinds = ["two-stage", "one-stage"] as const;

/** A copy of an old run in ./runs. */
const copy = (kind: string, name = kind): void =>
  cpSync(join(stored, kind), at("runs", name), { recursive: true });

beforeAll(() => kinds.forEach((kind) => void copy(kind)));

it("are listed with what they have", () => {
  expect(json("runs", "list")).toMatchObject([
    { name: "two-stage", kind: "search", status: "interrupted", problem: null, summary: { epochs: 1 } },
    { name: "one-stage", kind: "search", status: "interrupted", problem: null, summary: { epochs: 3 } },
  ]);
  const listed = succeed(call("runs", "list"));
  for (const kind of kinds)
    expect(listed).toMatch(new RegExp(`^${kind} +search +interrupted +${kind} `, "m"));
});

describe.each(kinds)("a %s search", (kind) => {
  const end = read(join(stored, `${kind}-end.json`));

  it("is shown with its method, and its cells epoch by epoch", () => {
    const { config, records: count } = json("runs", "show", kind);
    expect(config).toMatchObject({ method: `ista-${kind}`, cells: 3, channels: 2, space: "darts" });
    expect(config).not.toHaveProperty("mode");
    expect("trainEpochs" in config).toBe(kind === "one-stage");
    for (const epoch of [...records(kind).keys()])
      expect(json("arch", "show", kind, "--epoch", String(epoch + 1))).toEqual(
        read(join(stored, kind, `genotypes/epoch-00${epoch}.json`)),
      );
    expect(count).toBe(records(kind).length);
    fail(call("arch", "show", kind), 2, "GENOTYPE_INVALID", "no", "genotype.json");
  });

  it("refuses another method, and options that it does not have", () => {
    const other = kind === "two-stage" ? "one-stage" : "two-stage";
    for (const words of [
      ["--method", `ista-${other}`],
      ["--mode", other],
    ])
      fail(
        call("search", "--resume", join("runs", kind), ...words),
        2,
        "CONFIG_RESUME",
        `--method ista-${other} instead of ista-${kind}`,
      );
    // It was in the file, without effect.
    if (kind === "two-stage")
      fail(
        call("search", "--resume", join("runs", kind), "--train-epochs", "7"),
        2,
        "CONFIG_UNKNOWN",
        "an option of ista-one-stage",
      );
    expect(read(at("runs", kind, "config.json")).mode).toBe(kind);
  });

  it("goes on, and comes to the end that it would have come to", () => {
    const name = `${kind}-resumed`;
    copy(kind, name);
    // The old name of its method is the same method.
    const { err } = call("search", "--resume", join("runs", name), "--mode", kind);
    expect(err).toContain(`goes on after epoch ${kind === "two-stage" ? "1, step 1" : "3, step 1"}`);
    const found = records(name);
    expect(found).toHaveLength(end.epochs.length);
    const begun = read(join(stored, kind, "summary.json")).epochs;
    for (const [index, expected] of end.epochs.entries()) {
      const { forcedNodes, ...figures } = expected;
      // The end was written by kernels of one instruction set; others round otherwise, and an image may change sides.
      for (const [key, value] of Object.entries(figures))
        if (typeof value === "number" && /accuracy/i.test(key))
          expect(Math.abs(found[index][key] - value), key).toBeLessThanOrEqual(1 / 32);
        else if (typeof value === "number") expect(found[index][key], key).toBeCloseTo(value, 3);
        else expect(found[index][key], key).toEqual(value);
      // The records of the epochs before are as they were written.
      const key = index < begun ? "forcedNodes" : "forcedChoices";
      if (forcedNodes !== undefined && found[index].phase === "search")
        expect(found[index][key]).toEqual(forcedNodes);
      expect(found[index][index < begun ? "nodes" : "choices"]).toHaveLength(8);
    }
    expect(read(at("runs", name, "genotype.json"))).toEqual(end.genotype);
    const config = read(at("runs", name, "config.json"));
    expect(config).toMatchObject({ method: `ista-${kind}` });
    expect(config).not.toHaveProperty("mode");
    const summary = read(at("runs", name, "summary.json"));
    expect(summary).toMatchObject({ status: "finished", kind: "search", epochs: end.epochs.length });
    expect(json("arch", "show", name)).toEqual(end.genotype);
    const model = at("runs", name, "model.safetensors");
    expect(existsSync(model)).toBe(kind === "one-stage");
    if (kind === "two-stage") return;
    expect(Math.abs(summary.testAccuracy - end.testAccuracy)).toBeLessThanOrEqual(1 / 32);
    expect(summary.testLoss).toBeCloseTo(end.testLoss, 3);
    expect(json("eval", name, "--limit-test", "32").loss).toBeCloseTo(summary.testLoss, 4);
  });
});

it("an old search's cells can be trained", () => {
  const path = join("runs", "two-stage-resumed");
  const small = ["--cells", "3", "--channels", "4", "--limit-train", "32", "--limit-test", "16"];
  const words = ["--arch", path, "--preset", "demo-train", ...small, "--epochs", "1", "--name", "trained"];
  succeed(call("train", ...words));
  expect(read(at("runs/trained/genotype.json"))).toEqual(read(at(path, "genotype.json")));
});
