// README's walk through somebody's own pictures, as it is printed there: every step works, and what was learnt is above chance.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { commandLine, succeed } from "./support/program.js";

const { at, call } = commandLine();
const side = 40;
const classes = ["checks", "disc", "lying", "upright"];
const perClass = 30;

/** A JPEG of a shape in the colour of its class, more or less, with noise. */
function shape(name: string, seed: number): Promise<Buffer> {
  const random = RandomStream.named(seed, `pictures/${name}`);
  // Every class has its hue, more or less, on grey.
  const hue = [
    [220, 60, 60],
    [60, 190, 60],
    [60, 60, 220],
    [200, 190, 40],
  ][classes.indexOf(name)];
  const front = hue.map((value) => value + random.integer(120) - 60);
  const grey = random.integer(256);
  const back = [grey, grey, grey];
  const [shiftX, shiftY, radius] = [random.integer(8), random.integer(8), 8 + random.integer(8)];
  const inside = (x: number, y: number): boolean => {
    const [across, down] = [(x + shiftX) & 8, (y + shiftY) & 8];
    if (name === "upright") return across > 0;
    if (name === "lying") return down > 0;
    if (name === "checks") return across !== down;
    return (x - 16 - shiftX) ** 2 + (y - 16 - shiftY) ** 2 < radius ** 2;
  };
  const bytes = Buffer.alloc(3 * side * side);
  for (let i = 0; i < side * side; i++)
    for (let channel = 0; channel < 3; channel++) {
      const value = (inside(i % side, Math.floor(i / side)) ? front : back)[channel];
      bytes[3 * i + channel] = Math.max(0, Math.min(255, value + random.integer(40) - 20));
    }
  return sharp(bytes, { raw: { width: side, height: side, channels: 3 } })
    .jpeg()
    .toBuffer();
}

/** The commands of README's section, without `./ista-nas` and comments. */
function printedCommands(): string[][] {
  const readme = readFileSync(resolve(import.meta.dirname, "../README.md"), "utf8");
  const section = readme.split("## Your own images")[1].split("\n## ")[0];
  const lines = [...section.matchAll(/^ {4}\.\/ista-nas ([^#\n]+)/gm)].map(([, words]) => words.trim());
  return lines.map((line) => line.split(/\s+/));
}

/** Smaller than printed, and otherwise the same. */
const smaller: Readonly<Record<string, readonly string[]>> = {
  search: ["--image-size", "16", "--cells", "3", "--channels", "8", "--threads", "1"],
  train: ["--image-size", "16", "--epochs", "15", "--cells", "3", "--channels", "8", "--threads", "1"],
};

const said = new Map<string, { out: string; err: string }>();
const summaryOf = (run: string) => JSON.parse(readFileSync(at("runs", run, "summary.json"), "utf8"));

beforeAll(async () => {
  for (const name of classes) {
    mkdirSync(at("my-pictures/train", name), { recursive: true });
    for (let i = 0; i < perClass; i++)
      writeFileSync(at("my-pictures/train", name, `${i}.jpg`), await shape(name, i));
  }
  writeFileSync(at("some-picture.jpg"), await shape("disc", 1000));
  for (const words of printedCommands()) {
    const ended = call(...words, ...(smaller[words[0]] ?? []));
    succeed(ended);
    said.set(words[0], ended);
  }
}, 400_000);

it("goes from the data to the page", () => {
  expect([...said.keys()]).toEqual(["data", "search", "train", "eval", "predict", "export"]);
  expect(readFileSync(at("page/index.html"), "utf8")).toContain("<html");
});

it("finds an architecture with codes that move, and says how fast", () => {
  const { err } = said.get("search")!;
  expect(err).toMatch(/learning rate of the codes: 0.03, because the search has \d+ steps/);
  expect(JSON.parse(readFileSync(at("runs/first/config.json"), "utf8")).codeLearningRate).toBe(0.03);
  const records = readFileSync(at("runs/first/metrics.jsonl"), "utf8").trim().split("\n");
  const best = Math.max(...records.map((line) => JSON.parse(line).validationAccuracy));
  // A quarter is chance.
  expect(best).toBeGreaterThan(0.4);
});

it("trains a network that is far above chance, and evaluates the same one", () => {
  const { testAccuracy } = summaryOf("trained");
  expect(testAccuracy).toBeGreaterThan(0.6);
  expect(said.get("eval")!.out).toContain(`${(100 * testAccuracy).toFixed(1)}`);
  expect(said.get("predict")!.out).toMatch(new RegExp(classes.join("|")));
});

it("begins a search with open values, and takes the same command for the same run", () => {
  const words = ["search", "--data", "my-pictures", ...smaller.search, "--epochs", "1", "--out", "again"];
  succeed(call(...words, "--go-on"));
  expect(succeed(call(...words, "--go-on"))).toContain("finished already");
});
