// Searches by the real command line on real images: what they print, what they leave, and that a seed decides everything.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { darts } from "../src/space/darts/space.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-search-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cifar = process.env.ISTA_NAS_CIFAR10 ?? join(packageFolder, "../shared/data/cifar10-small");
if (!existsSync(cifar))
  console.log(`skipped: searches on CIFAR-10, there is no ${cifar} (ISTA_NAS_CIFAR10 names it)`);

function call(...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(packageFolder, "ista-nas"), ...words],
    {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    },
  );
  return { status, out: stdout, err: stderr };
}

const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), "utf8"));

/** What must be the same for the same seed: times, memory and paths left out. */
function records(run: string): unknown[] {
  const lines = readFileSync(join(folder, run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => {
    const { seconds, imagesPerSecond, residentBytes, dataWaitSeconds, peakBytes, ...rest } = JSON.parse(line);
    return rest;
  });
}

const small = [
  "--cells",
  "3",
  "--channels",
  "4",
  "--batch-size",
  "32",
  "--limit-train",
  "128",
  "--limit-test",
  "50",
];

/** A search of two epochs, with further options. */
const twoEpochs = (...options: string[]) =>
  call("search", "--preset", "demo", ...small, "--epochs", "2", ...options);

describe("two-stage search", () => {
  it("leaves a run directory with cells, a drawing and a record per epoch, and says what to do next", () => {
    const { status, out, err } = twoEpochs("--out", "first");
    expect(err).toMatch(/epoch 2\/2 {2}loss \d\.\d+ .*validation/);
    expect(err).toMatch(/ {2}reduction .*residual \d\.\d\d\.\.\d\.\d\d/);
    expect(out).toMatch(/Found first.*genotype\.json|Found .*first\/genotype\.json/);
    expect(out).toContain("Next: ista-nas train --arch");
    expect(status).toBe(0);
    const genotype = darts.toGenotype(darts.fromGenotype(json("first/genotype.json")));
    expect(json("first/genotype.json")).toEqual(genotype);
    expect(json("first/genotypes/epoch-001.json")).toEqual(genotype);
    expect(readFileSync(join(folder, "first/cells.svg"), "utf8")).toMatch(/^<svg/);
    expect(json("first/summary.json")).toMatchObject({ kind: "search", status: "finished", epochs: 2 });
    const last = records("first")[1] as {
      choices: { support: number[]; residual: number }[];
      genotype: unknown;
    };
    expect(last.choices).toHaveLength(8);
    expect(last.genotype).toEqual(genotype);
    expect(readdirSync(join(folder, "first/checkpoints"))).toContain("last");
  });

  it("gives the same run for the same seed, another one for another", () => {
    twoEpochs("--out", "second");
    twoEpochs("--seed", "1", "--out", "third");
    expect(records("second")).toEqual(records("first"));
    const weights = (run: string): Buffer =>
      readFileSync(join(folder, run, "checkpoints/last/model.safetensors"));
    expect(weights("second").equals(weights("first"))).toBe(true);
    expect(records("third")).not.toEqual(records("first"));
  });

  it("computes the same with --recompute", () => {
    const { status } = twoEpochs("--recompute", "--out", "recomputed");
    expect(status).toBe(0);
    expect(records("recomputed")).toEqual(records("first"));
  });

  it("takes back the configuration that it wrote", () => {
    const { status } = call("search", "--config", "first/config.json", "--out", "fourth");
    expect(status).toBe(0);
    expect(records("fourth")).toEqual(records("first"));
  });

  it("goes on to training with --then-train", () => {
    const flags = ["--epochs", "1", "--then-train", "--train-preset", "demo-train"];
    const { status, out } = call(
      "search",
      "--preset",
      "demo",
      ...small,
      ...flags,
      "--limit-train",
      "64",
      "--out",
      "fifth",
    );
    expect(status).toBe(0);
    expect(out).toMatch(/test accuracy \d/);
    expect(json("fifth-train/summary.json")).toMatchObject({ kind: "train", status: "finished" });
    expect(json("fifth-train/genotype.json")).toEqual(json("fifth/genotype.json"));
  });

  it("prints its outcome as JSON", () => {
    const { status, out, err } = call(
      "search",
      "--preset",
      "demo",
      ...small,
      "--epochs",
      "1",
      "--json",
      "--out",
      "sixth",
    );
    expect({ status, err }).toEqual({ status: 0, err: "" });
    expect(JSON.parse(out)).toMatchObject({
      path: join(folder, "sixth"),
      status: "finished",
      kind: "search",
    });
  });

  it.skipIf(!existsSync(cifar))(
    "finds the same supports as its codes say, on CIFAR-10 with the paper's recovery",
    () => {
      const flags = [
        "--preset",
        "cifar10-two-stage",
        "--data",
        cifar,
        ...small,
        "--epochs",
        "1",
        "--out",
        "cifar",
      ];
      expect(call("search", ...flags).status).toBe(0);
      const [record] = records("cifar") as [
        {
          choices: { group: string; support: number[] }[];
          genotype: { normal: [string, number][] };
        },
      ];
      const names = [
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
      ];
      const normal = record.choices
        .filter(({ group }) => group === "normal")
        .flatMap(({ support }) => support);
      expect(record.genotype.normal).toEqual(normal.map((i) => [names[i % 7], Math.floor(i / 7)]));
    },
  );
});

describe("one-stage search", () => {
  it("searches, freezes, trains on and absorbs, and leaves a plain network", () => {
    const flags = [
      "--epochs",
      "2",
      "--train-epochs",
      "1",
      "--freeze-tolerance",
      "0.2",
      "--auxiliary-weight",
      "0.4",
    ];
    const { status, out, err } = call(
      "search",
      "--preset",
      "demo-one-stage",
      ...small,
      ...flags,
      "--out",
      "one",
    );
    expect(err).toContain("all nodes are frozen after");
    expect(err).toMatch(/peak memory: .* in the search, .* after it/);
    expect(out).toMatch(/Trained network: .*model\.safetensors, test accuracy/);
    expect(status).toBe(0);
    const phases = records("one").map((record) => (record as { phase: string }).phase);
    expect(new Set(phases)).toEqual(new Set(["search", "train"]));
    const evaluated = call("eval", "one", "--json", "--limit-test", "50");
    expect(evaluated.status).toBe(0);
    const summary = json("one/summary.json") as { testAccuracy: number };
    expect(JSON.parse(evaluated.out).top1).toBeCloseTo(summary.testAccuracy, 6);
  });

  it("refuses a budget that no network can meet, before anything is written", () => {
    const { status, err } = call(
      "search",
      "--preset",
      "demo-one-stage",
      ...small,
      "--max-params",
      "100",
      "--out",
      "none",
    );
    expect(err).toMatch(/^error BUDGET_IMPOSSIBLE: .*smallest network of this shape has \d+/m);
    expect(status).toBe(2);
    expect(existsSync(join(folder, "none"))).toBe(false);
  });
});

describe("demonstration", () => {
  it("searches, trains three networks, compares them and exports one; the second time it is at once done", () => {
    const words = [
      "demo",
      "--epochs",
      "1",
      "--train-epochs",
      "1",
      "--limit-train",
      "128",
      "--root",
      "demo-runs",
    ];
    const { status, out } = call(...words);
    expect(status).toBe(0);
    for (const name of ["demo-found", "demo-random-1", "demo-random-2"]) expect(out).toContain(name);
    expect(out).toContain("model.onnx");
    expect(existsSync(join(folder, "demo-runs/demo-found/model.onnx"))).toBe(true);
    const again = call(...words);
    expect(again.err).toContain("is finished already");
    expect(again.out).toBe(out);
  });
});

describe("wrong input ends with one line before any work", () => {
  it.each<[string[], number, string]>([
    [["search"], 2, "error CONFIG_VALUE: --data DIR"],
    [["search", "--data", "nowhere"], 1, "error FILE_NOT_FOUND"],
    [["search", "--preset", "demo", "--device", "cuda:7"], 2, "error ENGINE_DEVICE"],
    [["search", "--preset", "demo", "--epochs", "0"], 2, "error CONFIG_VALUE: epochs (--epochs)"],
    [["search", "--preset", "demo", "--stem", "imagenet"], 2, "error NETWORK_SHAPE"],
    [
      ["search", "--preset", "demo", "--recovery", "top-s", "--lambda", "0"],
      2,
      "error CONFIG_VALUE: lambda (--lambda)",
    ],
    [
      ["search", "--preset", "demo", "--compressed-length", "5000"],
      2,
      "expected a whole number, at least 1, at most 256",
    ],
    [
      ["search", "--preset", "demo", "--limit-train", "4", "--validation-fraction", "0.1"],
      2,
      "error CONFIG_VALUE: --validation-fraction 0.1",
    ],
    [
      [
        "train",
        "--preset",
        "demo-train",
        "--arch",
        "random:1",
        "--limit-train",
        "4",
        "--validation-fraction",
        "0.1",
      ],
      2,
      "error CONFIG_VALUE: --validation-fraction 0.1",
    ],
    [["train", "--preset", "demo-train"], 2, "error CONFIG_VALUE: --arch"],
    [["train", "--preset", "demo-train", "--arch", "ISTA_twostag"], 2, "error GENOTYPE_INVALID"],
    [["search", "--resume", "first", "--out", "x"], 2, "error USAGE: --resume"],
  ])("%j", (words, expected, message) => {
    const { status, err } = call(...words);
    expect(err).toContain(message);
    expect(err.trim().split("\n")).toHaveLength(1);
    expect(status).toBe(expected);
  });
});
