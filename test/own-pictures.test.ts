// Somebody's own pictures through the real command line: only training pictures, of a size that no network takes, split once for all.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { picture } from "./support/data.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { at, call, json } = commandLine();
const classes = ["cat", "dog", "owl"];
const small = ["--cells", "3", "--channels", "4", "--threads", "1", "--batch-size", "8", "--epochs", "1"];

const metaOf = (run: string) => JSON.parse(readFileSync(at("runs", run, "meta.json"), "utf8"));

beforeAll(async () => {
  for (const [label, name] of classes.entries()) {
    mkdirSync(at("mine/train", name), { recursive: true });
    for (let i = 0; i < 10; i++)
      writeFileSync(at("mine/train", name, `${i}.png`), await picture(22, 26, "png", 10 * label + i));
  }
  succeed(call("search", "--data", "mine", ...small, "--split-seed", "5", "--seed", "1", "--name", "found"));
  succeed(call("train", "--arch", "runs/found", "--data", "mine", ...small, "--seed", "2", "--name", "net"));
}, 240_000);

describe("a split", () => {
  it("goes from the search to what is trained, whatever the seeds, and is recorded", () => {
    const [search, train] = ["found", "net"].map((run) => metaOf(run).split);
    expect(search).toMatchObject({
      seed: 5,
      testSetAside: true,
      counts: { trained: 12, heldOut: 12, test: 6 },
    });
    expect(train).toMatchObject({
      seed: 5,
      testSetAside: true,
      counts: { trained: 24, heldOut: 0, test: 6 },
    });
    expect(train.listing).toBe(search.listing);
    expect(train.indices).not.toBe(search.indices);
  });

  it("gives the evaluation the images that the training was tested on", () => {
    const found = json("eval", "net");
    const summary = JSON.parse(readFileSync(at("runs/net/summary.json"), "utf8"));
    expect([found.split, found.count]).toEqual(["test", 6]);
    expect(found.top1).toBeCloseTo(summary.testAccuracy, 10);
    expect(found.loss).toBeCloseTo(summary.testLoss, 4);
    // Two of each class.
    expect(found.confusion.map((row: number[]) => row.reduce((a, b) => a + b))).toEqual([2, 2, 2]);
  });

  it("is known again elsewhere, and its absence said where pictures were added", () => {
    cpSync(at("mine"), at("copied"), { recursive: true });
    expect(json("eval", "net", "--data", "copied").count).toBe(6);
    cpSync(at("mine"), at("grown"), { recursive: true });
    cpSync(at("mine/train/cat/0.png"), at("grown/train/cat/new.png"));
    const config = JSON.parse(readFileSync(at("runs/net/config.json"), "utf8"));
    cpSync(at("runs/net"), at("runs/older"), { recursive: true });
    writeFileSync(at("runs/older/config.json"), JSON.stringify({ ...config, data: "grown" }));
    fail(call("eval", "older"), 1, "DATA_SPLIT", "grown has changed", "--split all");
    expect(json("eval", "older", "--split", "all").count).toBe(31);
  });
});

describe("other pictures", () => {
  it("are all evaluated where they have no parts, or the part that is named", () => {
    for (const name of classes) cpSync(at("mine/train", name), at("flat", name), { recursive: true });
    expect(json("eval", "net", "--data", "flat")).toMatchObject({ split: "all", count: 30 });
    cpSync(at("mine/train/dog"), at("labelled/val/dog"), { recursive: true });
    const found = json("eval", "net", "--data", "labelled");
    expect([found.split, found.count]).toEqual(["test", 10]);
    expect(found.confusion[1].reduce((a: number, b: number) => a + b)).toBe(10);
    expect(json("eval", "net", "--data", "labelled", "--split", "val").count).toBe(10);
    fail(call("eval", "net", "--data", "flat", "--split", "val"), 1, "DATA_EMPTY", "--split all");
    writeFileSync(at("labelled/val/dog/broken.png"), "no picture");
    fail(call("eval", "net", "--data", "labelled"), 1, "DATA_PICTURE", "broken.png");
    const skipping = json("eval", "net", "--data", "labelled", "--skip-broken");
    expect([skipping.count, skipping.skipped.length]).toEqual([10, 1]);
  });
});

it("the same picture gives the same answer in predict as in eval, although no network takes its size", () => {
  const { top1, count } = json("eval", "net", "--split", "all");
  expect(count).toBe(30);
  const pictures = classes.flatMap((name) =>
    Array.from({ length: 10 }, (_, i) => `mine/train/${name}/${i}.png`),
  );
  const said = json("predict", "net", ...pictures, "--top", "1");
  const right = said.filter((one: { picture: string; classes: { name: string }[] }) =>
    one.picture.includes(`/${one.classes[0].name}/`),
  );
  expect(right.length / 30).toBeCloseTo(top1, 10);
  const shape = ["--format", "onnx", "--out", "net.onnx"];
  expect(json("export", "net", ...shape).check.data).toBe(at("mine"));
  expect(readFileSync(at("net.onnx")).includes('"preparation":{"content":{"height":26,"width":22}')).toBe(
    true,
  );
});
