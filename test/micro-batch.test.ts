// Batches that go through the network in parts: asked for, chosen where memory is short, kept on resumption.
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { expect, it } from "vitest";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();
const data = ["--data", "bundled", "--limit-train", "48", "--limit-test", "20", "--threads", "1"];
const small = ["--cells", "3", "--channels", "4", "--batch-size", "16", "--epochs", "2", "--prefetch", "0"];
const train = ["train", "--arch", "ISTA_twostage", ...data];
const configOf = (run: string) => JSON.parse(readFileSync(at(run, "config.json"), "utf8"));
const lossesOf = (run: string): number[] =>
  readFileSync(at(run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).loss);

it("a training in parts is about the same, and a part as large as the batch is the same bit for bit", () => {
  for (const [name, flags] of [
    ["whole", []],
    ["all", ["--micro-batch", "16"]],
    ["parts", ["--micro-batch", "8"]],
  ] as const)
    succeed(call(...train, ...small, "--validation-fraction", "0.3", ...flags, "--out", name));
  expect(lossesOf("all")).toEqual(lossesOf("whole"));
  // Batch norms see 8 images instead of 16.
  expect(lossesOf("parts")).not.toEqual(lossesOf("whole"));
  for (const [epoch, loss] of lossesOf("parts").entries())
    expect(Math.abs(loss - lossesOf("whole")[epoch])).toBeLessThan(0.3);
  expect(configOf("whole").microBatch).toBe(null);
  expect(configOf("parts").microBatch).toBe(8);
});

it.each([
  ["ista-two-stage", []],
  ["ista-one-stage", ["--train-epochs", "1", "--validation-fraction", "0.3"]],
  ["ista-trials", ["--trial-steps", "2", "--warmup-trials", "2"]],
  ["spos", ["--evaluations", "4", "--population", "4"]],
  ["darts", []],
])("a search by %s goes through in parts", (method, own) => {
  const words = ["search", "--method", method, ...data, ...small, "--micro-batch", "4", ...own];
  const { summary } = json("runs", "show", json(...words).path);
  expect(summary.status).toBe("finished");
  expect(configOf(summary.arch === null ? "" : `runs/${summary.arch}`).microBatch).toBe(4);
});

it("parts are chosen by a run that would not fit, said, recorded, and kept when it goes on", () => {
  // Some 0.85 MB an image: more than this machine has, with hardly any images.
  const batchSize = String(Math.ceil((1.5 * totalmem()) / 0.8e6));
  const size = ["--cells", "3", "--channels", "4", "--limit-train", "8", "--prefetch", "0"];
  const words = [...train, ...size, "--batch-size", batchSize, "--epochs", "1", "--out", "chosen"];
  const said = succeedWords(...words);
  const [, chosen] = /^batches of \d+ images would take about .* \(--micro-batch (\d+), about .*\)/m.exec(
    said,
  )!;
  expect(configOf("chosen").microBatch).toBe(Number(chosen));
  expect(Number(chosen)).toBeLessThan(Number(batchSize));
  const again = succeedWords("train", "--resume", "chosen", "--epochs", "2");
  expect(again).not.toContain("--micro-batch");
  expect(configOf("chosen")).toMatchObject({ microBatch: Number(chosen), epochs: 2 });
  expect(succeedWords("train", "--resume", "chosen", "--epochs", "3", "--micro-batch", "4")).toContain(
    `goes on with --micro-batch 4 instead of ${chosen}`,
  );
  expect(configOf("chosen").microBatch).toBe(4);
}, 240_000);

/** What a call that must succeed says beside its result. */
function succeedWords(...words: string[]): string {
  const result = call(...words);
  succeed(result);
  return result.err;
}

it("parts of one image are refused where a batch norm has one value of each", () => {
  const shape = ["--cells", "3", "--channels", "4", "--auxiliary-weight", "0.4", "--batch-size", "8"];
  fail(call(...train, ...shape, "--micro-batch", "1"), 2, "CONFIG_VALUE", "--micro-batch 1", "at least 2");
  fail(call(...train, "--micro-batch", "0"), 2, "CONFIG_VALUE", "microBatch", "at least 1");
});
