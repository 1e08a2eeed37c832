// The space of NAS-Bench-201 through the command line: both searches, training, and everything that is done with what they leave.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { loadOnnxRuntime } from "../src/formats/onnx-runtime.js";
import { nasBench201 } from "../src/space/nas-bench-201/space.js";
import { commandLine, fail, succeed } from "./support/program.js";

const { InferenceSession } = loadOnnxRuntime();

const { at, call, json } = commandLine();
const read = (path: string) => JSON.parse(readFileSync(at(path), "utf8"));
const records = (run: string) =>
  readFileSync(at("runs", run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const space = ["--space", "nas-bench-201"];
const tiny = ["--cells", "3", "--channels", "4", "--batch-size", "32", "--threads", "1"];
const data = ["--data", "bundled", "--limit-train", "128", "--limit-test", "40"];
const small = [...tiny, ...data];
const residual = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";
const cellPattern = /^\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|$/;

beforeAll(async () => {
  const picture = Buffer.from(Array.from({ length: 28 * 28 }, (_, i) => (i * 7) % 256));
  await sharp(picture, { raw: { width: 28, height: 28, channels: 1 } })
    .png()
    .toFile(at("picture.png"));
});

describe("a two-stage search", () => {
  it("chooses an operation for each of the 6 edges, and records how", () => {
    const words = [...space, ...small, "--epochs", "2", "--code-learning-rate", "0.05", "--name", "found"];
    const { status, out, err } = call("search", ...words);
    expect(status, err).toBe(0);
    expect(err).toMatch(/^ {2}cell .* \| .* \| /m);
    expect(out).toContain("Next: ista-nas train --arch");
    expect(read("runs/found/config.json")).toMatchObject({
      space: "nas-bench-201",
      method: "ista-two-stage",
    });
    const { space: name, cell } = read("runs/found/genotype.json");
    expect(name).toBe("nas-bench-201");
    expect(cell).toMatch(cellPattern);
    const found = records("found");
    expect(found).toHaveLength(2);
    for (const [epoch, record] of found.entries()) {
      expect(record.choices.map((one: { choice: string }) => one.choice)).toEqual([
        "node 1",
        "node 2",
        "node 3",
      ]);
      const supports: number[][] = record.choices.map((one: { support: number[] }) => one.support);
      // One operation on each predecessor.
      for (const [node, support] of supports.entries())
        expect(support.map((index) => Math.floor(index / 5))).toEqual([...Array(node + 1).keys()]);
      expect(record.genotype).toEqual(nasBench201.toGenotype(supports));
      expect(read(`runs/found/genotypes/epoch-00${epoch}.json`)).toEqual(record.genotype);
    }
    expect(found[1].genotype).toEqual({ space: "nas-bench-201", cell });
    expect(readFileSync(at("runs/found/cells.svg"), "utf8")).toContain("Cell");
  });

  it("by trials takes its preset, records each trial, and says whether it explored and decided", () => {
    const trials = ["--epochs", "6", "--trial-steps", "3", "--warmup-trials", "3", "--held-out-images", "32"];
    const words = ["--preset", "nas-bench-201", "--image-size", "28", ...small, ...trials, "--name", "tried"];
    const { status, out, err } = call("search", ...words);
    expect(status, err).toBe(0);
    expect(out).toContain("Next: ista-nas train --arch");
    expect(err).toMatch(/^explored \d+ of 30 connections \(\d+ %\); (not )?decided: /m);
    expect(read("runs/tried/config.json")).toMatchObject({
      method: "ista-trials",
      nesterov: true,
      epochs: 6,
    });
    const found = records("tried");
    expect(found).toHaveLength(6);
    expect(found.at(-1).answer).toEqual(read("runs/tried/genotype.json"));
    expect(new Set(found.map(({ genotype }) => genotype.cell)).size).toBe(6);
    const { exploration } = json("runs", "show", "tried").summary;
    expect(exploration.connectionsTried).toBe(found.at(-1).connectionsTried);
  });

  it("counts what the network has", () => {
    const params = json(
      "arch",
      "params",
      "found",
      "--cells",
      "3",
      "--channels",
      "4",
      "--input-channels",
      "1",
    );
    const summary = json("runs", "show", "found").summary;
    // The super-net's batch norms in cells have no gamma and beta.
    expect(summary.parameters).toBeLessThanOrEqual(params.params);
    expect(params.shape).toMatchObject({ auxiliary: false, cells: 3 });
    expect(params.cells.map(({ type }: { type: string }) => type)).toEqual([
      "cell",
      "residual block",
      "cell",
      "residual block",
      "cell",
    ]);
  });

  it("goes on after an end, with more epochs", () => {
    const words = ["--resume", "runs/found", "--epochs", "3"];
    const { err } = call("search", ...words);
    expect(err).toContain("goes on after epoch 2, step 0");
    expect(records("found")).toHaveLength(3);
    fail(
      call("search", "--resume", "runs/found", "--space", "darts"),
      2,
      "CONFIG_RESUME",
      "--space darts instead of nas-bench-201",
    );
  });
});

it("a one-stage search trains the network itself", () => {
  const flags = ["--method", "ista-one-stage", "--epochs", "1", "--train-epochs", "2"];
  const rates = ["--learning-rate", "0.025", "--code-learning-rate", "0.05", "--drop-path", "0.2"];
  const words = [...space, ...small, ...flags, ...rates, "--validation-fraction", "0.2", "--name", "one"];
  const out = succeed(call("search", ...words));
  expect(out).toMatch(/Trained network: .*model\.safetensors, test accuracy/);
  const [search, ...training] = records("one");
  expect(search).toMatchObject({ phase: "search", forcedChoices: ["node 1", "node 2", "node 3"] });
  expect(training.map(({ phase }) => phase)).toEqual(["train", "train"]);
  // The absorbed network gives what the summary says of it.
  const summary = read("runs/one/summary.json");
  expect(json("eval", "one", "--limit-test", "40").loss).toBeCloseTo(summary.testLoss, 5);
  expect(json("arch", "show", "one")).toEqual(read("runs/one/genotype.json"));
  // Its evaluation network has batch norms after skip and pool.
  expect(json("arch", "params", "one", "--cells", "3", "--channels", "4")).toMatchObject({
    poolBatchNorm: true,
  });
});

describe("a trained network", () => {
  it("comes from the cells of a search, of a text, or of a seed", () => {
    const words = [...small, "--epochs", "1", "--learning-rate", "0.05"];
    succeed(call("train", ...words, "--arch", "runs/found", "--name", "trained"));
    expect(read("runs/trained/genotype.json")).toEqual(read("runs/found/genotype.json"));
    expect(read("runs/trained/config.json")).toMatchObject({ space: "nas-bench-201", poolBatchNorm: false });
    succeed(call("train", ...words, "--arch", residual, "--name", "text"));
    expect(read("runs/text/genotype.json").cell).toBe(residual);
    succeed(call("train", ...words, ...space, "--arch", "random:7", "--name", "random"));
    expect(read("runs/random/genotype.json")).toEqual(
      JSON.parse(succeed(call("arch", "random", "--seed", "7", ...space))),
    );
  });

  it("of a one-stage search's cells has batch norms where that had them", () => {
    const words = [...small, "--epochs", "1", "--learning-rate", "0.05"];
    succeed(call("train", ...words, "--arch", "runs/one", "--name", "again"));
    expect(read("runs/again/config.json").poolBatchNorm).toBe(true);
    // Its weights can be those of the search.
    succeed(call("train", ...words, "--arch", "runs/one", "--init-from", "runs/one", "--name", "further"));
    fail(call("train", ...words, "--arch", residual, "--init-from", "runs/one"), 1, "WEIGHTS_MISMATCH");
  });

  it.each(["trained", "one"])("is evaluated, predicts and is exported (%s)", async (run) => {
    const summary = read(`runs/${run}/summary.json`);
    const found = json("eval", run, "--limit-test", "40");
    expect(found.top1).toBeCloseTo(summary.testAccuracy, 6);
    const size = ["--cells", "3", "--channels", "4", "--input-channels", "1"];
    expect(found.parameters).toBe(json("arch", "params", run, ...size).params);
    const [{ classes }] = json("predict", run, "picture.png", "--top", "10");
    const total = classes.reduce((sum: number, one: { probability: number }) => sum + one.probability, 0);
    expect(classes).toHaveLength(10);
    expect(total).toBeCloseTo(1, 4);
    const { check } = json("export", run, "--format", "onnx", "--out", `${run}.onnx`);
    expect(check.largestDifference).toBeLessThan(1e-4);
    const session = await InferenceSession.create(readFileSync(at(`${run}.onnx`)));
    expect(session.inputNames).toHaveLength(1);
    // Bare weights need their cells; everything else is read off the tensors.
    succeed(call("export", run, "--format", "safetensors", "--out", `${run}.safetensors`));
    expect(
      json("eval", `${run}.safetensors`, ...["--data", "bundled", "--limit-test", "40"]).loss,
    ).toBeCloseTo(found.loss, 5);
  });
});

describe("arch", () => {
  it("shows, draws and compares", () => {
    expect(succeed(call("arch", "show", residual, "--format", "own")).trim()).toBe(residual);
    expect(succeed(call("arch", "show", "ResNet_cell", "--format", "own")).trim()).toBe(residual);
    const text = succeed(call("arch", "show", "ResNet_cell"));
    for (const word of ["Cell", "nor_conv_3x3", "skip_connect", "none"]) expect(text).toContain(word);
    writeFileSync(at("cell.json"), succeed(call("arch", "show", residual, "--format", "json")));
    expect(json("arch", "show", "cell.json")).toEqual({ space: "nas-bench-201", cell: residual });
    writeFileSync(at("cell.txt"), `${residual}\n`);
    expect(json("arch", "show", "cell.txt")).toEqual({ space: "nas-bench-201", cell: residual });
    fail(call("arch", "show", residual, "--format", "python"), 2, "USAGE", "nas-bench-201", "it has text");
    for (const name of ["cell.svg", "cell.png"]) {
      succeed(call("arch", "draw", "ResNet_cell", "--out", name));
      expect(existsSync(at(name))).toBe(true);
    }
    expect(readFileSync(at("cell.svg"), "utf8")).toContain("nor conv 3×3");
    expect(json("arch", "diff", "cell.json", "ResNet_cell")).toMatchObject({
      same: true,
      common: 6,
      kept: 6,
    });
    expect(json("arch", "diff", "ResNet_cell", "all_nor_conv_3x3")).toMatchObject({
      same: false,
      common: 2,
      kept: 6,
      choices: [
        { choice: "node 2", onlyInFirst: ["none 0"], onlyInSecond: ["nor_conv_3x3 0"] },
        { choice: "node 3" },
      ],
    });
    fail(call("arch", "diff", "ResNet_cell", "ISTA_twostage"), 2, "USAGE", "nas-bench-201", "darts");
  });

  it("counts the published sizes where nothing says another", () => {
    // NAS-Bench-201's own figures for the largest cell on CIFAR-10: 1.531546 M parameters, 220.12 M mult-adds.
    const { params, multAdds, shape } = json("arch", "params", "all_nor_conv_3x3");
    expect(shape).toMatchObject({ cells: 15, channels: 16 });
    expect(params).toBe(1_531_546);
    expect(multAdds / 1e6).toBeCloseTo(220.12, 1);
  });

  it("lists the space and its names", () => {
    expect(json("arch", "spaces")).toContainEqual(
      expect.objectContaining({ name: "nas-bench-201", choices: 3, candidates: 30, kept: 6 }),
    );
    expect(json("arch", "list")).toContainEqual(
      expect.objectContaining({ name: "all_nor_conv_3x3", space: "nas-bench-201" }),
    );
  });
});

describe("what the space does not have is refused in one line, before anything is written", () => {
  it.each<[string[], number, string, string]>([
    [["--cells", "4"], 2, "NETWORK_SHAPE", "expected cells divisible by 3"],
    [["--auxiliary-weight", "0.4"], 2, "NETWORK_SHAPE", "use --auxiliary-weight 0"],
    [["--stem", "imagenet"], 2, "NETWORK_SHAPE", "expected the cifar stem"],
    [["--max-params", "100"], 2, "BUDGET_IMPOSSIBLE", "smallest network of this shape has"],
    [["--space", "nas-bench-102"], 2, "CONFIG_VALUE", "did you mean nas-bench-201?"],
  ])("%j", (words, status, code, message) => {
    fail(call("search", ...space, ...small, ...words, "--name", "none"), status, code, message);
    expect(existsSync(at("runs/none"))).toBe(false);
  });

  it.each([
    ["|nor_conv_3x3~0|+|none~0|", "expected 3 nodes"],
    [residual.replace("none~1", "none~0"), "expected operation~1"],
    [residual.replace("skip_connect~0", "sep_conv_3x3~0"), 'got "sep_conv_3x3"'],
  ])("the text %s", (text, message) => {
    fail(call("train", ...small, "--arch", text), 2, "GENOTYPE_INVALID", message);
  });
});
