// Model files with numbers that are no weights, statistics or normalisations: refused, or used with finite figures; never `NaN %`.
import fs from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { picture, temporaryFolder } from "../../test/support/data.js";
import { makeModel } from "../../test/support/models.js";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { modelMetadata, writeModel } from "../formats/model-file.js";
import { checksumKey, type StoredTensor, writeSafetensors } from "../formats/safetensors.js";
import type { StateDict } from "../nn/tensor-store.js";
import { evaluateModel } from "./evaluate-model.js";
import { openModel } from "./open-model.js";
import { predictPictures } from "./predict.js";

const { folder, write } = temporaryFolder();
const path = `${folder}/model.safetensors`;
const model = makeModel({ shape: { imageHeight: 8, imageWidth: 8 }, classes: ["cat", "dog"] });
const metadata = modelMetadata(model);
let photo = "";
beforeAll(async () => {
  photo = write("data/cat/a.png", await picture(20, 20, "png"));
  write("data/dog/a.png", await picture(20, 20, "png", 2));
});

/** Opens the file and uses it as `predict` and `eval` do: the code of the refusal, or "used" with figures that are numbers. */
async function outcome(seed: number): Promise<string> {
  try {
    const opened = openModel(path);
    const options = { top: 5, threads: 1, device: "cpu" };
    const [{ classes }] = await predictPictures(opened, [photo], options);
    const sum = classes.reduce((total, { probability }) => total + probability, 0);
    expect(sum).toBeCloseTo(1, 10);
    // Which also measures how long images take.
    if (seed % 32 > 0) return "used";
    const request = { data: `${folder}/data`, batchSize: 2, limit: null, skipBroken: false };
    const { loss, top1 } = await evaluateModel(opened, { ...request, threads: 1, device: "cpu" });
    expect(Number.isFinite(loss) && top1 >= 0 && top1 <= 1).toBe(true);
    return "used";
  } catch (error) {
    if (!(error instanceof IstaError)) throw error;
    expect(error.message).not.toContain("\n");
    expect(error.message).toContain(path);
    return error.code;
  }
}

const values = [Number.NaN, Infinity, -Infinity, 3e38, -3e38, 1e30, -1e30, -1, -1e-3, 0, 1e-45];
/** What is always wrong, and what is always right, wherever it stands. */
const isWrong = (name: string, value: number): boolean =>
  !Number.isFinite(value) || (name.endsWith("running_var") && value < 0);

/** The tensor with one number, or all of them, exchanged. */
function spoilt(weights: StateDict, name: string, value: number, all: boolean, seed: number): StateDict {
  const { shape, data } = weights.get(name)!;
  const changed = Float32Array.from(data as Float32Array);
  if (all) changed.fill(value);
  else changed[RandomStream.named(seed, "place").integer(changed.length)] = value;
  return new Map([...weights, [name, { shape, data: changed }]]);
}

it("242 files with damaged tensors", async () => {
  const floats = [...model.weights].filter(([, { data }]) => data instanceof Float32Array);
  const counts = new Map<string, number>();
  let overflowed = 0;
  for (let seed = 0; seed < 242; seed++) {
    const random = RandomStream.named(seed, "damage");
    const [name] = floats[random.integer(floats.length)];
    const value = values[seed % values.length];
    writeModel(path, { ...model, weights: spoilt(model.weights, name, value, seed % 2 === 0, seed) });
    const came = await outcome(seed);
    if (isWrong(name, value)) expect(came, `${name} ${value}`).toBe("WEIGHTS_NOT_FINITE");
    else if (came !== "used") {
      expect(came, `${name} ${value}`).toBe("WEIGHTS_NOT_FINITE");
      overflowed += 1;
    }
    counts.set(came, (counts.get(came) ?? 0) + 1);
  }
  console.log(Object.fromEntries(counts), `${overflowed} by overflow alone`);
  expect(counts.get("used")).toBeGreaterThan(20);
  expect(overflowed).toBeGreaterThan(5);
}, 600_000);

it("every variance below zero, every mean at the end of float32: the layer is named", async () => {
  const norms = [...model.weights.keys()].filter((name) => name.endsWith(".running_var"));
  const weights = new Map(model.weights);
  const [{ shape, data }] = norms.map((name) => weights.get(name)!);
  weights.set(norms[0], { shape, data: (data as Float32Array).map(() => 0) });
  const mean = norms[0].replace("running_var", "running_mean");
  weights.set(mean, { shape, data: (data as Float32Array).map(() => -3e38) });
  writeModel(path, { ...model, weights });
  const opened = openModel(path);
  const failing = predictPictures(opened, [photo], { top: 1, threads: 1, device: "cpu" });
  await expect(failing).rejects.toThrow(/overflow from cells\.0, node/);
});

it("80 files with other statistics of images in the metadata", async () => {
  const [key] = Object.keys(metadata);
  const counts = new Map<string, number>();
  const texts = [
    "1e400",
    "-1e400",
    "1e300",
    "-1e300",
    "1e39",
    "0",
    "-0.5",
    "1e-300",
    "1e-45",
    "null",
    '"NaN"',
  ];
  const harmless = ["0.5", "1"];
  for (let seed = 0; seed < 80; seed++) {
    const all = [...texts, ...harmless];
    const text = all[seed % all.length];
    const field = seed % 2 === 0 ? "mean" : "std";
    const position = seed % 3;
    const description = JSON.parse(metadata[key]);
    description.normalisation[field][position] = "HERE";
    const changed = JSON.stringify(description).replace('"HERE"', text);
    writeSafetensors(path, model.weights as ReadonlyMap<string, StoredTensor>, {
      format: "pt",
      [key]: changed,
    });
    const came = await outcome(seed);
    const [mean, std] = [description.normalisation.mean[position], description.normalisation.std[position]];
    const [m, s] = [field === "mean" ? Number(text) : mean, field === "std" ? Number(text) : std];
    const [black, white] = [Math.fround(-m / s), Math.fround((1 - m) / s)];
    const isNumber = /^[-\d]/.test(text) && s > 0;
    const possible = isNumber && Number.isFinite(black) && Number.isFinite(white) && black !== white;
    const allowed = possible ? ["used", "WEIGHTS_NOT_FINITE"] : ["MODEL_FILE"];
    expect(allowed, `${field} ${text}`).toContain(came);
    if (["0.5", "1"].includes(text)) expect(came).toBe("used");
    counts.set(came, (counts.get(came) ?? 0) + 1);
  }
  console.log(Object.fromEntries(counts));
  expect(counts.get("MODEL_FILE")).toBeGreaterThan(40);
}, 600_000);

it("the same file gives the same figures with and without its checksum", async () => {
  writeModel(path, model);
  const first = await predictPictures(openModel(path), [photo], { top: 2, threads: 1, device: "cpu" });
  const bytes = fs.readFileSync(path);
  const name = bytes.indexOf(checksumKey);
  // Under another name it is a text like others.
  bytes.write("ista-nas.sha255", name);
  fs.writeFileSync(path, bytes);
  const second = await predictPictures(openModel(path), [photo], { top: 2, threads: 1, device: "cpu" });
  expect(second).toEqual(first);
});
