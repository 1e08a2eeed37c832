// Tests of comparisons: mean and spread over seeds, and which runs belong together.
import { describe, expect, it } from "vitest";
import type { RunSummary } from "../run/summary.js";
import { type ComparedRun, compareRuns } from "./compare.js";
import { spreadOf } from "./estimate.js";

const summary = (change: Partial<RunSummary>, config: object = {}, data = "d1"): ComparedRun => ({
  path: "runs/x",
  name: `${change.arch ?? "x"}-${change.seed ?? 0}`,
  version: "1",
  dataIdentity: data,
  // Nothing of what is not an option of results counts.
  config: {
    ...{ seed: change.seed ?? 0, threads: change.seed ?? 0, preset: change.preset ?? null, data: "anywhere" },
    ...{ arch: change.arch ?? null, method: change.method ?? null, space: change.space ?? "darts" },
    ...{ channels: 36, batchSize: 96, ...config },
  },
  summary: {
    formatVersion: 1,
    kind: "train",
    status: "finished",
    arch: "ISTA_twostage",
    method: null,
    space: "darts",
    genotype: null,
    seed: 0,
    epochs: 600,
    parameters: 3_316_726,
    multiplyAdds: 515_226_000,
    testAccuracy: null,
    validationAccuracy: null,
    testLoss: null,
    seconds: 10,
    processorSeconds: null,
    peakMemoryBytes: null,
    knownAccuracies: null,
    exploration: null,
    diagnosis: null,
    superNetAccuracy: null,
    projectionGap: null,
    kendallTau: null,
    preset: "cifar10-train",
    dataset: "cifar10",
    ...change,
  },
});

describe("spread", () => {
  it("is the sample's deviation over what is there", () => {
    expect(spreadOf([2, 4, null, 4, 4, 5, 5, 7, 9])).toEqual({
      count: 8,
      mean: 5,
      deviation: Math.sqrt(32 / 7),
    });
    expect(spreadOf([3])).toEqual({ count: 1, mean: 3, deviation: 0 });
    expect(spreadOf([null])).toBeNull();
  });
});

describe("groups", () => {
  it("join seeds of one architecture, and random cells of one protocol", () => {
    const { groups, runs } = compareRuns([
      summary({ seed: 1, testAccuracy: 0.97 }),
      summary({ seed: 2, testAccuracy: 0.98 }),
      summary({ arch: "random:1", testAccuracy: 0.95 }),
      summary({ arch: "random:2", testAccuracy: 0.96 }),
      summary({ seed: 3, epochs: 100 }),
    ]);
    expect(runs).toHaveLength(5);
    expect(groups.map(({ arch, seeds }) => [arch, seeds])).toEqual([
      ["ISTA_twostage", [1, 2]],
      ["random", [0, 0]],
      ["ISTA_twostage", [3]],
    ]);
    expect(groups[0].testAccuracy!.mean).toBeCloseTo(0.975, 12);
    expect(groups[0].testAccuracy!.deviation).toBeCloseTo(Math.SQRT1_2 / 100, 12);
    expect(groups[2].testAccuracy).toBeNull();
  });

  it("have the spread of what their runs' tables, gaps and rankings say", () => {
    const ranked = { tau: 0.5, column: "test", architectures: 9, candidates: 4, trainedCandidates: 4 };
    const { groups, knownColumns } = compareRuns([
      summary({ knownAccuracies: { validation: 90, test: 93 }, projectionGap: 0.25, kendallTau: ranked }),
      summary({
        seed: 1,
        knownAccuracies: { validation: 80 },
        projectionGap: 0.75,
        kendallTau: { ...ranked, tau: null },
      }),
      summary({ seed: 2 }),
      summary({ arch: "other", genotype: { other: true } }),
    ]);
    expect(knownColumns).toEqual(["validation", "test"]);
    expect(groups[0].knownAccuracies).toEqual({
      validation: { count: 2, mean: 85, deviation: Math.sqrt(50), interval: expect.any(Array) },
      test: { count: 1, mean: 93, deviation: null, interval: null },
    });
    expect(groups[0].projectionGap).toMatchObject({ count: 2, mean: 0.5 });
    expect(groups[0].kendallTau).toMatchObject({ count: 1, mean: 0.5 });
    expect(groups[1]).toMatchObject({
      knownAccuracies: { validation: null, test: null },
      projectionGap: null,
      kendallTau: null,
    });
  });

  it("keep methods and spaces apart", () => {
    const search = { kind: "search", preset: null } as const;
    const { groups } = compareRuns([
      summary({ ...search, method: "spos", seed: 1 }),
      summary({ ...search, method: "spos", seed: 2 }),
      summary({ ...search, method: "random" }),
      summary({ ...search, method: "spos", space: "nas-bench-201" }),
    ]);
    expect(groups.map(({ method, space, seeds }) => [method, space, seeds.length])).toEqual([
      ["spos", "darts", 2],
      ["random", "darts", 1],
      ["spos", "nas-bench-201", 1],
    ]);
  });

  it("join searches by how they were made, not by what they found", () => {
    const { groups } = compareRuns([
      summary({ kind: "search", arch: "run-a", seed: 1 }),
      summary({ kind: "search", arch: "run-b", seed: 2 }),
      summary({ kind: "search", arch: "run-c" }, { channels: 16 }),
    ]);
    expect(groups.map(({ arch, seeds }) => [arch, seeds.length])).toEqual([
      ["2 searches", 2],
      ["run-c", 1],
    ]);
  });

  it.each<[string, Parameters<typeof summary>, string]>([
    ["channels", [{}, { channels: 16 }], "16"],
    ["batchSize", [{}, { batchSize: 64 }], "64"],
    ["limitTrain", [{}, { limitTrain: 100 }], "100"],
    ["epochs done", [{ epochs: 3 }], "3"],
    ["data", [{}, {}, "d2"], "cifar10 (d2)"],
    ["architecture", [{ genotype: { cells: 2 } }], "ISTA_twostage"],
  ])("keep apart what differs in %s, whatever it is called, and say so", (key, other, shown) => {
    const { groups, pairs } = compareRuns([
      summary({ seed: 1, testAccuracy: 0.9 }),
      summary({ ...other[0], seed: 2, testAccuracy: 0.8 }, other[1], other[2]),
    ]);
    expect(groups.map(({ seeds }) => seeds)).toEqual([[1], [2]]);
    expect(Object.keys(groups[0].differs)).toEqual([key]);
    expect(groups[1].differs[key]).toBe(shown);
    expect(pairs).toEqual([]);
  });

  it("count a run that repeats another one once", () => {
    const { groups, repeated } = compareRuns([
      summary({ seed: 1, testAccuracy: 0.9 }),
      { ...summary({ seed: 1, testAccuracy: 0.9 }), name: "again" },
      summary({ seed: 2, testAccuracy: 0.8 }),
    ]);
    expect(groups.map(({ seeds }) => seeds)).toEqual([[1, 2]]);
    expect(repeated).toEqual([{ name: "again", of: "x-1" }]);
  });

  it("have 95 % intervals by Student's distribution, and are compared seed by seed", () => {
    const accuracies = [0.9, 0.91, 0.92, 0.93];
    const gains = [0.01, 0.02, 0.03, 0.02];
    const runs = accuracies.flatMap((accuracy, seed) => [
      summary({ seed, testAccuracy: accuracy }),
      summary({ seed, testAccuracy: accuracy + gains[seed] }, { channels: 48 }),
    ]);
    const { groups, pairs } = compareRuns([
      ...runs,
      summary({ seed: 9, testAccuracy: 0.5 }, { channels: 48 }),
    ]);
    const { mean, deviation, interval, count } = groups[0].testAccuracy!;
    expect([mean, count]).toEqual([expect.closeTo(0.915, 12), 4]);
    // The quantile of 3 degrees of freedom is 3.18245.
    const reach = (3.18244630528371 * deviation!) / 2;
    expect(interval).toEqual([expect.closeTo(mean - reach, 9), expect.closeTo(mean + reach, 9)]);
    expect(pairs).toHaveLength(1);
    expect(pairs[0]).toMatchObject({ first: 0, second: 1, column: "testAccuracy", seeds: [0, 1, 2, 3] });
    expect(pairs[0].difference.mean).toBeCloseTo(-0.02, 12);
    // All four have one sign: 2 of 16 sign patterns go as far.
    expect(pairs[0].difference.permutation.p).toBeCloseTo(2 / 16, 12);
  });
});
