// Small files that ask for much: refused, or worked through in bounded memory and time. The system limits the memory of every command.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { modelMetadata, writeModel } from "../src/formats/model-file.js";
import { writeSafetensors } from "../src/formats/safetensors.js";
import { picture } from "./support/data.js";
import { makeModel } from "./support/models.js";
import { type Call, commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at } = line;

/** Keeps what the system says of a process when it ends: its resource usage would begin with that of the tests' own process. */
const reporter =
  'import fs from "node:fs";process.on("exit",()=>fs.writeFileSync(process.env.PEAK_FILE,fs.readFileSync("/proc/self/status")))';

interface Measured extends Call {
  readonly mebibytes: number;
  readonly seconds: number;
}

/** Runs a command that may have so many MiB of data, all threads together, by a limit of the system. */
function within(mebibytes: number, ...words: string[]): Measured {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(
    "bash",
    ["-c", `ulimit -d ${mebibytes * 1024}; exec "$0" "$@"`, join(line.program, "ista-nas"), ...words],
    {
      cwd: at(),
      encoding: "utf8",
      maxBuffer: 1 << 28,
      env: {
        ...process.env,
        NO_COLOR: "1",
        PEAK_FILE: at("peak"),
        NODE_OPTIONS: `--import ${JSON.stringify(`data:text/javascript,${encodeURIComponent(reporter)}`)}`,
      },
    },
  );
  const seconds = (performance.now() - begun) / 1000;
  const found = Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(at("peak"), "utf8"))![1]) / 1024;
  console.log(`${words.slice(0, 3).join(" ")}: ${found.toFixed(0)} MiB, ${seconds.toFixed(1)} s`);
  return { status, out: stdout, err: stderr, mebibytes: found, seconds };
}

/** Node and the program, with and without the tensor engine, and what a bound leaves above it. */
const plainLimit = 700;
const engineLimit = 1500;

function expectBounded({ mebibytes, seconds }: Measured, limit: number): void {
  expect(mebibytes).toBeLessThan(limit);
  // Some seconds, or many on a machine that others work on, too; without bounds it was minutes, or the end of the memory.
  expect(seconds).toBeLessThan(120);
}

const model = makeModel({ classes: ["cat", "dog"] });

beforeAll(async () => {
  writeFileSync(at("small.png"), await picture(40, 30, "png"));
  for (const name of ["cat", "dog"]) {
    mkdirSync(at("data", name), { recursive: true });
    for (let i = 0; i < 3; i++) writeFileSync(at("data", name, `${i}.png`), await picture(16, 16, "png", i));
  }
  writeModel(at("model.safetensors"), model);
}, 120_000);

describe("a model file", { timeout: 600_000 }, () => {
  it("of images of 8,192 pixels is refused", () => {
    const [[key, text]] = Object.entries(modelMetadata(model));
    const sized = (side: number): string => text.replace(/"image(Height|Width)":16/g, `"image$1":${side}`);
    writeSafetensors(at("large.safetensors"), model.weights, { [key]: sized(8192) });
    for (const words of [
      ["predict", "large.safetensors", "small.png"],
      ["eval", "large.safetensors", "--data", "data"],
    ]) {
      const came = within(engineLimit, ...words);
      fail(came, 1, "MODEL_FILE", "shape.imageHeight", "4096");
      expectBounded(came, engineLimit);
    }
  });

  it.each([
    ["of 1,500,000 empty tensors", 1_500_000],
    ["of as many as fit into a header that is read", 500_000],
  ])("with a header %s is refused", (_, count) => {
    const entries = Array.from(
      { length: count },
      (__, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`,
    );
    const header = Buffer.from(`{${entries.join(",")}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(at("many.safetensors"), Buffer.concat([length, header]));
    const came = within(engineLimit, "predict", "many.safetensors", "small.png");
    fail(came, 1, "SAFETENSORS_HEADER", "at most");
    expectBounded(came, 500);
  });

  it("of 10,000 classes is evaluated without a matrix of all of them", () => {
    const classes = Array.from({ length: 10_000 }, (_, i) =>
      i === 0 ? "cat" : i === 7000 ? "dog" : `class ${i}`,
    );
    writeModel(at("classes.safetensors"), makeModel({ classes, shape: { channels: 1 } }));
    const came = within(engineLimit, "eval", "classes.safetensors", "--data", "data");
    expect(succeed(came)).toMatch(/\ncat +3 .*\n/);
    expect(came.out).toMatch(/\ndog +3 /);
    expectBounded(came, 900);
    const json = within(engineLimit, "eval", "classes.safetensors", "--data", "data", "--json");
    const found = JSON.parse(succeed(json));
    expect(found).toMatchObject({ count: 6, confusion: null, confusionPicture: null });
    expect(found.classImages[7000]).toBe(3);
    expectBounded(json, 900);
    fail(
      line.call("eval", "classes.safetensors", "--data", "data", "--out", "x.svg"),
      2,
      "USAGE",
      "1000 classes",
    );
  });
});

describe("runs list", { timeout: 600_000 }, () => {
  it.each([
    [
      "60 MB",
      Buffer.concat([Buffer.from('{"formatVersion":1,"x":"'), Buffer.alloc(60e6, 120), Buffer.from('"}')]),
    ],
    ["7 MB of lists", Buffer.from(`[${"[],".repeat(2_300_000)}[]]`)],
  ])("says that a meta.json of %s cannot be read", (_, bytes) => {
    mkdirSync(at("runs/huge"), { recursive: true });
    writeFileSync(at("runs/huge/meta.json"), bytes);
    const came = within(plainLimit, "runs", "list");
    expect(succeed(came)).toMatch(/huge .*unreadable .*FILE_TOO_LARGE/);
    expectBounded(came, 200);
  });
});

describe("pictures", { timeout: 600_000 }, () => {
  it("of 100 megapixels each are decoded one after the other, in every thread", async () => {
    const flat = sharp({ create: { width: 10_000, height: 10_000, channels: 3, background: "#456789" } });
    const png = await flat.clone().png().toBuffer();
    // On its side and progressive: nothing of it can be read line by line.
    const turned = await flat.clone().withMetadata({ orientation: 6 }).jpeg({ progressive: true }).toBuffer();
    for (const [i, name] of ["cat", "dog"].entries()) {
      mkdirSync(at("huge", name), { recursive: true });
      for (let k = 0; k < 5; k++)
        writeFileSync(at("huge", name, `${k}.${i ? "png" : "jpg"}`), i ? png : turned);
    }
    const predicted = within(engineLimit, "predict", "model.safetensors", "huge/cat", "huge/dog", "--json");
    expect(JSON.parse(succeed(predicted))).toHaveLength(10);
    const evaluated = within(engineLimit, "eval", "model.safetensors", "--data", "huge", "--json");
    expect(JSON.parse(succeed(evaluated)).count).toBe(10);
    for (const { mebibytes } of [predicted, evaluated]) expect(mebibytes).toBeLessThan(900);
  });

  it("that are drawings are refused: references to references have no end", () => {
    const levels = Array.from(
      { length: 30 },
      (_, i) => `<g id="g${i + 1}">${`<use xlink:href="#g${i}"/>`.repeat(10)}</g>`,
    );
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><defs><g id="g0"><path d="M0 0h9v9"/></g>${levels.join("")}</defs><use xlink:href="#g30"/></svg>`;
    for (const [name, bytes] of [
      ["nested.svg", Buffer.from(svg)],
      ["nested.png", Buffer.from(`\ufeff \n${svg}`)],
      ["wide.png", Buffer.from(`\ufeff${svg}`, "utf16le")],
    ] as const) {
      writeFileSync(at(name), bytes);
      const came = within(engineLimit, "predict", "model.safetensors", name);
      fail(came, 1, "DATA_PICTURE", name, "save it as PNG");
      expectBounded(came, 600);
    }
  });
});
