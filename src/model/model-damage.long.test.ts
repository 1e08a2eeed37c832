// Damages model files, their descriptions and runs that hold them in 10,000 ways: an error with a code, or a network that works.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeModel } from "../../test/support/models.js";
import { mutate } from "../../test/support/mutate.js";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { checkConfig } from "../config/config.js";
import { modelFileName } from "../course/results.js";
import { liveTensorCount, scope, Tensor } from "../engine/tensor.js";
import { modelMetadata, networkOf, writeModel } from "../formats/model-file.js";
import { writeSafetensors } from "../formats/safetensors.js";
import { RunDirectory } from "../run/directory.js";
import { openModel } from "./open-model.js";

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-models-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const model = makeModel();

/** Opens what is at the place and uses it; counts what came of it. */
function attempt(place: string, counts: Map<string, number>): void {
  const begun = performance.now();
  let outcome = "used";
  try {
    const opened = openModel(place);
    const network = networkOf(opened);
    try {
      const { channels, height, width } = network.inputSize;
      // Other sizes are valid as well; an image of thousands of pixels would only take time.
      if (height * width <= 4096) {
        scope(() => {
          const image = Tensor.from(new Float32Array(channels * height * width), [
            1,
            channels,
            height,
            width,
          ]);
          const { logits } = network.forward(image, { training: false });
          expect(logits.shape).toEqual([1, opened.classes.length]);
        });
      }
    } finally {
      network.dispose();
    }
  } catch (error) {
    if (!(error instanceof IstaError)) throw error;
    expect(error.message).not.toContain("\n");
    outcome = error.code;
  }
  expect(performance.now() - begun).toBeLessThan(2000);
  counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
}

function report(what: string, counts: Map<string, number>, codes: readonly string[]): void {
  console.log(what, Object.fromEntries(counts));
  for (const code of codes) expect(counts.get(code), code).toBeGreaterThan(5);
}

it("3,500 damaged files", () => {
  const path = join(folder, "a.safetensors");
  writeModel(path, model);
  const original = fs.readFileSync(path);
  const header = 8 + Number(original.readBigUInt64LE());
  const counts = new Map<string, number>();
  const live = liveTensorCount();
  for (let seed = 0; seed < 3500; seed++) {
    const changed = mutate(original.subarray(0, header), seed, seed % 2 === 0 ? 8 : 0);
    const bytes = Buffer.concat([changed, original.subarray(header)]);
    if (seed % 4 !== 0 && bytes.length >= 8)
      bytes.writeBigUInt64LE(BigInt(Math.max(0, header - 8 + bytes.length - original.length)));
    fs.writeFileSync(path, bytes);
    attempt(path, counts);
  }
  expect(liveTensorCount()).toBe(live);
  report("files", counts, ["used", "SAFETENSORS_HEADER", "WEIGHTS_MISMATCH"]);
});

it("5,500 damaged descriptions in whole files", () => {
  const path = join(folder, "b.safetensors");
  const counts = new Map<string, number>();
  const live = liveTensorCount();
  const [[key, text]] = Object.entries(modelMetadata(model));
  const numbers = [
    "0",
    "-1",
    "1",
    "2",
    "7",
    "16",
    "40",
    "65536",
    "65537",
    "1e9",
    "1e400",
    "0.5",
    "null",
    "true",
  ];
  for (let seed = 0; seed < 5500; seed++) {
    const random = RandomStream.named(seed, "description");
    // Half of the changes leave valid JSON, with another number in it.
    const numbersIn = [...text.matchAll(/-?\d+(\.\d+)?/g)];
    const { 0: old, index } = numbersIn[random.integer(numbersIn.length)];
    const changed =
      seed % 2 === 0
        ? text.slice(0, index) + numbers[random.integer(numbers.length)] + text.slice(index + old.length)
        : mutate(Buffer.from(text), seed).toString("utf8");
    writeSafetensors(path, model.weights, { format: "pt", [key]: changed });
    attempt(path, counts);
  }
  expect(liveTensorCount()).toBe(live);
  report("descriptions", counts, [
    "used",
    "MODEL_FILE",
    "NETWORK_SHAPE",
    "WEIGHTS_MISMATCH",
    "GENOTYPE_INVALID",
  ]);
});

it("1,000 runs of other versions, and damaged ones", () => {
  const config = checkConfig("train", { data: "bundled", arch: "ISTA_twostage", threads: 1 }, "test");
  const run = RunDirectory.create({ kind: "train", config, out: join(folder, "run") });
  writeModel(join(run.path, modelFileName), model);
  run.close();
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 1000; seed++) {
    const name = seed % 2 === 0 ? "meta.json" : "config.json";
    const path = join(run.path, name);
    const original = fs.readFileSync(path);
    const text = original.toString("utf8");
    const changed =
      seed % 10 === 0
        ? text.replace(/"formatVersion": \d+/, `"formatVersion": ${2 + seed}`)
        : mutate(original, seed);
    fs.writeFileSync(path, changed);
    attempt(run.path, counts);
    fs.writeFileSync(path, original);
  }
  report("runs", counts, ["used", "RUN_VERSION", "FILE_JSON"]);
});
