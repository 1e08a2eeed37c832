// A training that was interrupted is of use before it goes on, and its weights for data with other classes.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { begin } from "./support/command-line.js";
import { picture } from "./support/data.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at, call, json } = line;
const size = ["--cells", "3", "--channels", "4"];
const words = [
  "train",
  "--data",
  "two",
  "--arch",
  "random:3",
  ...size,
  "--threads",
  "1",
  "--batch-size",
  "8",
];

/** A run that is stopped after its second epoch. */
async function interrupted(name: string, ...flags: string[]): Promise<void> {
  const command = begin(line.program, [...words, ...flags, "--epochs", "5000", "--out", at(name)], {
    cwd: at(),
  });
  await command.said(/epoch 2\/5000/);
  command.kill("SIGINT");
  expect((await command.ended).status).toBe(130);
}

beforeAll(async () => {
  for (const [label, name] of ["cat", "dog", "owl"].entries())
    for (const folder of name === "owl" ? ["three"] : ["two", "three"]) {
      mkdirSync(at(folder, name), { recursive: true });
      for (let i = 0; i < 10; i++)
        writeFileSync(at(folder, name, `${i}.png`), await picture(16, 16, "png", 10 * label + i));
    }
  await interrupted("held", "--validation-fraction", "0.3");
  await interrupted("all", "--validation-fraction", "0", "--weight-averaging", "0.9");
}, 120_000);

describe("an interrupted training", () => {
  it.each([
    ["held", "best"],
    ["all", "last"],
  ])("is evaluated, predicts and is exported: %s with its checkpoint %s", (run, checkpoint) => {
    const said = new RegExp(
      `note: ${run}.* is not finished: .* checkpoint \`${checkpoint}\`, after \\d+ of 5000 epochs`,
    );
    const evaluated = call("eval", run, "--json");
    expect(evaluated.err).toMatch(said);
    expect(JSON.parse(succeed(evaluated))).toMatchObject({ split: "test", count: 4 });
    const predicted = call("predict", run, "two/cat/1.png", "--json");
    expect(predicted.err).toMatch(said);
    const names = JSON.parse(succeed(predicted))[0].classes.map(({ name }: { name: string }) => name);
    expect(names.sort()).toEqual(["cat", "dog"]);
    succeed(call("export", run, "--format", "onnx", "--out", `${run}.onnx`));
  });

  it("says what it lacks where there is no checkpoint", () => {
    cpSync(at("all"), at("bare"), { recursive: true });
    rmSync(at("bare/checkpoints"), { recursive: true });
    fail(call("eval", "bare"), 1, "MODEL_FILE", "no checkpoint", "--resume");
  });

  it("lends the weights of that checkpoint, whose size and cells are taken over, with a new classifier for other classes", () => {
    const flags = ["--arch", "held", "--init-from", "held", "--epochs", "1", "--batch-size", "8"];
    const begun = call("train", "--data", "three", ...flags, "--out", "more");
    succeed(begun);
    expect(begun.err).toMatch(/fitted to 24 training images and to the weights: .*--cells 3 --channels 4/);
    expect(begun.err).toContain("checkpoint `best`");
    expect(begun.err).toContain("held knows 2 classes, the data have 3: the classifier is drawn anew");
    expect(JSON.parse(readFileSync(at("more/config.json"), "utf8"))).toMatchObject({ cells: 3, channels: 4 });
    expect(json("eval", "more").confusion).toHaveLength(3);
  });
});

describe("what cannot go well is said in its own words", () => {
  const trainOn = (data: string, ...flags: string[]) =>
    call("train", "--data", data, "--arch", "random:3", ...size, "--epochs", "1", ...flags);

  it("a single class, a batch of one with an auxiliary head, a picture that was cut off, HEIC, Latin-1", async () => {
    cpSync(at("two/cat"), at("one/train/cat"), { recursive: true });
    const single = trainOn("one");
    succeed(single);
    expect(single.err).toContain("one class, cat: there is nothing to tell apart");
    const large = ["--image-size", "32", "--auxiliary-weight", "0.4"];
    fail(trainOn("two", ...large, "--batch-size", "1"), 2, "CONFIG_VALUE", "--batch-size 1", "at least 2");
    cpSync(at("two"), at("broken"), { recursive: true });
    const whole = await picture(64, 64, "jpeg");
    writeFileSync(at("broken/cat/cut.jpg"), whole.subarray(0, whole.length / 2));
    fail(
      trainOn("broken", "--image-size", "16"),
      1,
      "DATA_PICTURE",
      "cut.jpg",
      "may be cut off: copy it again",
    );
    const heic = Buffer.concat([Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Buffer.alloc(2000)]);
    writeFileSync(at("broken/cat/cut.jpg"), heic);
    fail(trainOn("broken", "--image-size", "16"), 1, "DATA_PICTURE", "HEIC", "convert them to JPEG");
    writeFileSync(at("latin.json"), Buffer.from('{"data": "caf\xe9"}', "latin1"));
    fail(call("train", "--config", "latin.json"), 1, "FILE_JSON", "Latin-1", "UTF-8");
  });
});
