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

/** A command that is stopped once it has said something. */
async function stopped(after: RegExp, ...words: string[]): Promise<string> {
  const command = begin(line.program, words, { cwd: at() });
  await command.said(after);
  command.kill("SIGINT");
  const { status, err } = await command.ended;
  expect(status, err).toBe(130);
  return err;
}

/** A training that is stopped after its second epoch. */
const interrupted = (name: string, ...flags: string[]): Promise<string> =>
  stopped(/epoch 2\/5000/, ...words, ...flags, "--epochs", "5000", "--out", at(name));

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

describe("an interrupted one-stage search", () => {
  const search = ["search", "--method", "ista-one-stage", "--data", "two", ...size, "--threads", "1"];
  const all = [...search, "--batch-size", "8", "--auxiliary-weight", "0"];

  it.each([
    ["held-search", "best", ["--validation-fraction", "0.3"]],
    ["whole-search", "last", []],
  ])(
    "in its training is of use, and goes on to the end: %s with its checkpoint %s",
    async (run, name, own) => {
      const long = ["--epochs", "1", "--train-epochs", "5000", "--out", at(run)];
      await stopped(/epoch 3\/5001/, ...all, ...own, ...long);
      const evaluated = call("eval", run, "--split", "all", "--json");
      expect(evaluated.err).toMatch(
        new RegExp(
          `${run}.* is not finished: .* checkpoint \`${name}\`, after [1-9] epochs of the search and of`,
        ),
      );
      expect(JSON.parse(succeed(evaluated)).count).toBe(20);
      succeed(call("predict", run, "two/cat/1.png"));
      succeed(call("export", run, "--format", "onnx", "--out", `${run}.onnx`));
      const { position } = JSON.parse(readFileSync(at(run, "checkpoints/last/state.json"), "utf8"));
      // One epoch was the search's.
      succeed(call("search", "--resume", run, "--train-epochs", String(position.epoch)));
      const finished = call("eval", run, "--split", "all");
      succeed(finished);
      expect(finished.err).not.toContain("not finished");
    },
  );

  it("in its search is told to go on", async () => {
    const flags = ["--freeze-tolerance", "1e-12", "--epochs", "5000", "--train-epochs", "1"];
    await stopped(/epoch 2\/5001/, ...all, ...flags, "--out", at("searching"));
    fail(call("eval", "searching"), 1, "MODEL_FILE", "architecture is decided", "search --resume");
  });
});

it("a search with --then-train trains what fits the data", async () => {
  const flags = ["--data", "two", ...size, "--threads", "1", "--batch-size", "4", "--epochs", "1"];
  const err = await stopped(/epoch 1\/200/, "search", ...flags, "--then-train", "--out", at("chain"));
  expect(err).toContain("fitted to 16 training images: --epochs 200 --batch-size 32 --cells 8");
  const config = JSON.parse(readFileSync(at("chain-train/config.json"), "utf8"));
  expect(config).toMatchObject({ preset: null, epochs: 200, batchSize: 32, cells: 8, channels: 16 });
  // It goes on as it was.
  const again = await stopped(/epoch \d+\/200/, "search", "--resume", at("chain"));
  expect(again).not.toContain("fitted to");
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
