// The figures in the end of a training: of which weights they are, and what becomes of those that are no numbers.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { commandLine, fail } from "./support/program.js";

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
    // One step that is far too large, after which nothing is trained that would say so.
    const { status, out, err } = call(
      ...[...training, "--epochs", "1", "--limit-train", "8", "--learning-rate", "1e38", "--name", "spoilt"],
    );
    expect(status, err).toBe(0);
    expect(err).toContain("warning: the loss on the test images is not a number");
    expect(out).toMatch(/^Trained ISTA_onestage .* test accuracy 0\.00 %/);
    const summary = JSON.parse(readFileSync(at("runs/spoilt/summary.json"), "utf8"));
    expect(summary).toMatchObject({ status: "finished", testLoss: null, testAccuracy: 0 });
    expect(call("runs", "show", "spoilt").out).toContain("finished");
    for (const words of [["eval"], ["export", "--format", "onnx"]])
      fail(call(words[0], "spoilt", ...words.slice(1)), 1, "WEIGHTS_NOT_FINITE", "model.safetensors");
    const again = call(...training, "--epochs", "1", "--init-from", "runs/spoilt", "--name", "again");
    fail(again, 1, "WEIGHTS_NOT_FINITE", "--init-from runs/spoilt");
  });
});
