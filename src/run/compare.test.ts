// Tests of comparisons: mean and spread over seeds, and which runs belong together.
import { describe, expect, it } from "vitest";
import { compareRuns, spreadOf } from "./compare.js";
import type { RunSummary } from "./summary.js";

const summary = (change: Partial<RunSummary>): { path: string; name: string; summary: RunSummary } => ({
  path: "runs/x",
  name: "x",
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
        knownAccuracies: { validation: 80 },
        projectionGap: 0.75,
        kendallTau: { ...ranked, tau: null },
      }),
      summary({}),
      summary({ arch: "other" }),
    ]);
    expect(knownColumns).toEqual(["validation", "test"]);
    expect(groups[0].knownAccuracies).toEqual({
      validation: { count: 2, mean: 85, deviation: Math.sqrt(50) },
      test: { count: 1, mean: 93, deviation: 0 },
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
      summary({ kind: "search", arch: "run-c", preset: "demo" }),
    ]);
    expect(groups.map(({ arch, seeds }) => [arch, seeds.length])).toEqual([
      ["2 searches", 2],
      ["run-c", 1],
    ]);
  });
});
