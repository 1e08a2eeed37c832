// Damages the files of a run directory and configuration files in thousands of ways: an error with a code, or a right result.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mutate } from "../../test/support/mutate.js";
import { IstaError } from "../base/errors.js";
import { checkConfig, resolveConfig } from "../config/config.js";
import { RunDirectory } from "./directory.js";
import { describeRun } from "./listing.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-damage-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Runs `action`, counts what came of it, and lets through only results and errors with a code. */
function outcome(counts: Map<string, number>, action: () => void): void {
  let name = "read";
  const begun = performance.now();
  try {
    action();
  } catch (error) {
    if (!(error instanceof IstaError)) throw error;
    expect(error.message).not.toContain("\n");
    name = error.code;
  }
  // The limit that tells a hang from work; nothing here takes a hundredth of it.
  expect(performance.now() - begun).toBeLessThan(2000);
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

const { config } = resolveConfig("search", { preset: "cifar10-one-stage", flags: { threads: 2 } });

it("4,000 damaged configuration files", () => {
  const counts = new Map<string, number>();
  const path = join(folder, "config.json");
  const original = Buffer.from(JSON.stringify(config, null, 2));
  for (let seed = 0; seed < 4000; seed++) {
    fs.writeFileSync(path, mutate(original, seed));
    outcome(counts, () => {
      const resolved = resolveConfig("search", { file: path }).config;
      expect(checkConfig("search", JSON.parse(JSON.stringify(resolved)), "again")).toEqual(resolved);
    });
  }
  console.log(Object.fromEntries(counts));
  for (const code of ["read", "FILE_JSON", "CONFIG_UNKNOWN", "CONFIG_VALUE"]) {
    expect(counts.get(code), code).toBeGreaterThan(10);
  }
});

describe("a run directory", () => {
  it.each([
    ["meta.json", 1000],
    ["config.json", 600],
    ["summary.json", 600],
    ["metrics.jsonl", 1000],
    ["checkpoints/last/checkpoint.json", 1000],
    ["checkpoints/last/state.json", 300],
    ["checkpoints/last/model.safetensors", 300],
    ["lock.json", 600],
  ])("%s damaged %d times", (name, times) => {
    const run = RunDirectory.create({ kind: "search", config, out: join(folder, "run") });
    run.appendRecord({ epoch: 0, loss: 2.5, node: { code: [1, 2, 3] } });
    const weights = { shape: [3], data: Float32Array.of(1, 2, 3) };
    const contents = {
      tensors: { model: new Map([["w", weights]]) },
      state: { step: 1, codes: [0.5, 0.25] },
    };
    run.saveCheckpoint("last", contents);
    run.appendRecord({ epoch: 1, loss: 1.5 });
    run.saveCheckpoint("last", { ...contents, state: { step: 2 } });
    run.writeSummary({
      status: "interrupted",
      arch: "x",
      genotype: null,
      seed: 0,
      epochs: 1,
      parameters: null,
      multiplyAdds: null,
      testAccuracy: null,
      validationAccuracy: null,
      testLoss: null,
      seconds: 1,
      processorSeconds: null,
      peakMemoryBytes: null,
      preset: null,
      dataset: "",
    });
    const path = join(run.path, name);
    const original = fs.readFileSync(path);
    run.close();
    fs.cpSync(run.path, join(folder, "whole"), { recursive: true });
    const counts = new Map<string, number>();
    for (let seed = 0; seed < times; seed++) {
      fs.rmSync(run.path, { recursive: true });
      fs.cpSync(join(folder, "whole"), run.path, { recursive: true });
      const damaged = mutate(original, seed);
      fs.writeFileSync(path, damaged);
      describeRun(run.path);
      outcome(counts, () => {
        const again = RunDirectory.open(run.path, "write");
        try {
          again.config("search");
          again.summary();
          const { state, tensors, warning } = again.resume()!;
          // Only whole checkpoints are believed: the last where it was not touched, the one before with a word.
          if (warning === null || !warning.includes("the one before")) expect(state).toEqual({ step: 2 });
          else expect(state).toEqual(contents.state);
          expect(tensors.model.get("w")).toEqual(weights);
          again.appendRecord({ epoch: 2 });
          again.records();
        } finally {
          again.close();
        }
      });
      expect(fs.readdirSync(folder).sort()).toEqual(["run", "whole"]);
    }
    console.log(name, Object.fromEntries(counts));
    expect(counts.get("read")).toBeGreaterThan(0);
  });
});
