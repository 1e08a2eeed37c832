// The figures in the end of a training: of which weights they are, and what becomes of those that are no numbers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSafetensors, writeSafetensors } from "../src/formats/safetensors.js";
import { commandLine, succeed } from "./support/program.js";

const { at, call, json } = commandLine();

const training = [
  ...["train", "--arch", "ISTA_onestage", "--data", "bundled", "--cells", "3", "--channels", "4"],
  ...["--threads", "1", "--batch-size", "8", "--limit-train", "80", "--limit-test", "64"],
];
const records = (run: string): { validationAccuracy: number }[] =>
  readFileSync(at("runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("a training", () => {
  it("tests, keeps and reports the weights of its best epoch", () => {
    let fell = false;
    for (const seed of ["1", "2", "3", "4"]) {
      const run = `best-${seed}`;
      // Large steps: accuracy goes up and down.
      const summary = json(
        ...[...training, "--seed", seed, "--epochs", "5", "--validation-fraction", "0.25"],
        ...["--learning-rate", "0.4", "--name", run],
      );
      const found = records(run).map(({ validationAccuracy }) => validationAccuracy);
      expect(summary.validationAccuracy).toBe(Math.max(...found));
      expect(json("eval", run, "--split", "validation").top1).toBeCloseTo(summary.validationAccuracy, 10);
      expect(json("eval", run, "--limit-test", "64").top1).toBeCloseTo(summary.testAccuracy, 10);
      fell ||= found.at(-1)! < Math.max(...found);
    }
    expect(fell).toBe(true);
    // Twelve commands, one after the other.
  }, 600_000);

  it("whose test loss is not a number ends with its figures and a warning", () => {
    const first = [...training, "--epochs", "1", "--name", "whole"];
    succeed(call(...first));
    const { tensors } = readSafetensors(join(at("runs", "whole"), "model.safetensors"));
    // Training normalises by the statistics of the batch, evaluation by these.
    (tensors.get("stem.1.running_var")!.data as Float32Array).fill(Number.NaN);
    writeSafetensors(at("spoilt.safetensors"), tensors);
    const { status, out, err } = call(
      ...training,
      "--epochs",
      "1",
      "--init-from",
      "spoilt.safetensors",
      "--name",
      "spoilt",
    );
    expect(status, err).toBe(0);
    expect(err).toContain("warning: the loss on the test images is not a number");
    expect(out).toMatch(/^Trained ISTA_onestage .* test accuracy 0\.00 %/);
    const summary = JSON.parse(readFileSync(at("runs/spoilt/summary.json"), "utf8"));
    expect(summary).toMatchObject({ status: "finished", testLoss: null, testAccuracy: 0 });
    expect(call("runs", "show", "spoilt").out).toContain("finished");
  });
});
