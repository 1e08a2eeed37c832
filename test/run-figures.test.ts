// `runs draw` and `runs export`: pictures and tables of what runs have recorded.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseCsv } from "../src/formats/csv.js";
import { commandLine, fail } from "./support/program.js";

const { at, call, json } = commandLine();
const search = [
  ...[
    "search",
    "--data",
    "bundled",
    "--cells",
    "3",
    "--channels",
    "4",
    "--threads",
    "1",
    "--limit-train",
    "96",
  ],
  ...[
    "--limit-test",
    "32",
    "--batch-size",
    "16",
    "--epochs",
    "3",
    "--code-learning-rate",
    "0.03",
    "--log-every",
    "2",
  ],
];

it("draws and tables runs at their end and when asked", () => {
  for (const seed of ["0", "1"]) json(...search, "--seed", seed, "--name", `seed-${seed}`);
  const records = readFileSync(at("runs", "seed-0", "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");

  // Drawn at the end of the run; again after one more record, as on a run that goes on.
  const drawing = (name: string): string => readFileSync(at("runs", "seed-0", name), "utf8");
  const [curves, supports] = [drawing("curves.svg"), drawing("search.svg")];
  for (const text of ["Loss (nats)", "Accuracy (%)", "Learning rate", "held out"])
    expect(curves).toContain(text);
  expect(curves).not.toContain('class="band"');
  expect(supports).toMatch(/normal node 2, epoch 1 to \d: /);
  writeFileSync(
    at("runs", "seed-0", "metrics.jsonl"),
    `${[...records, JSON.stringify({ ...JSON.parse(records[2]), epoch: 3, loss: 9 })].join("\n")}\n`,
  );
  expect(json("runs", "draw", "seed-0").files).toHaveLength(2);
  expect(drawing("curves.svg")).not.toBe(curves);
  expect(drawing("search.svg")).toMatch(/epoch \d to 4: /);

  // Seeds together: a mean and a band.
  expect(json("runs", "draw", "seed-0", "seed-1", "--out", at("both.svg")).files).toEqual([at("both.svg")]);
  const both = readFileSync(at("both.svg"), "utf8");
  for (const text of ['class="band"', "band: lowest to highest"]) expect(both).toContain(text);
  json("runs", "draw", "seed-1", "--out", at("one.png"));
  expect(readFileSync(at("one.png")).subarray(1, 4).toString()).toBe("PNG");

  // A row an epoch, with the steps until then: 96 images, half of them held out, 16 a step.
  const { out } = call("runs", "export", "seed-0", "seed-1");
  const [columns, ...rows] = parseCsv(out, "standard output").map(({ fields }) => fields);
  const column = (name: string): string[] => rows.map((row) => row[columns.indexOf(name)]);
  expect(column("run")).toEqual([...Array(4).fill("seed-0"), ...Array(3).fill("seed-1")]);
  expect(column("step")).toEqual(["3", "6", "9", "12", "3", "6", "9"]);
  expect(column("loss").slice(0, 3).map(Number)).toEqual(records.map((line) => JSON.parse(line).loss));
  expect(json("runs", "export", "seed-0")[3]).toMatchObject({ run: "seed-0", seed: 0, step: 12, loss: 9 });
  expect(json("runs", "export", "seed-1", "--steps").map(({ step }: { step: number }) => step)).toEqual([
    ...[2, 4, 6, 8],
  ]);
  call("runs", "export", "seed-1", "--out", at("table.csv"));
  expect(parseCsv(readFileSync(at("table.csv"), "utf8"), "table.csv")).toHaveLength(4);
});

it("draws at its end what a network takes for what, as `eval` does of the same images", () => {
  const size = ["--cells", "3", "--channels", "4", "--epochs", "1", "--threads", "1", "--batch-size", "16"];
  const images = ["--data", "bundled", "--limit-train", "64", "--limit-test", "60"];
  const drawing = (name: string): string => readFileSync(at("runs", name, "confusion.svg"), "utf8");
  const oneStage = ["search", "--method", "ista-one-stage", ...images, ...size, "--train-epochs", "1"];
  json(...oneStage, "--name", "both");
  json("train", "--arch", "random:1", ...images, ...size, "--name", "net");
  for (const name of ["both", "net"]) {
    const drawn = drawing(name);
    expect(drawn).toContain("60 images");
    rmSync(at("runs", name, "confusion.svg"));
    json("eval", name, "--limit-test", "60", "--threads", "1");
    expect(drawing(name)).toBe(drawn);
  }
});

it("says what there is not", () => {
  fail(call("runs", "draw", at("nowhere")), 1, "RUN_NOT_FOUND", "expected a run directory");
  fail(call("runs", "draw", "bare", "--out", "picture.gif"), 2, "USAGE", ".svg or .png");
  json(...search, "--name", "bare");
  writeFileSync(at("runs", "bare", "metrics.jsonl"), "");
  fail(call("runs", "draw", "bare"), 1, "RUN_NOT_FOUND", "at least one epoch");
});
