// What the page makes of figures: its sentences, bands over seeds, slots of the strip.
import { describe, expect, it } from "vitest";
import { bandOf, commonEpochs, epochsOfSteps, slotsOf, valuesAt } from "./page/series.js";
import { changesOf, movement, overfitting, progress } from "./page/verdicts.js";
import type { Point, RunRow, StepPoint } from "./types.js";

const row: RunRow = {
  ...{ id: "a", kind: "search", state: "running", problem: null, method: "ista-two-stage", space: "darts" },
  ...{ seed: 0, created: null, epoch: 10, epochs: 50, secondsLeft: 400, changed: 0, loss: null },
  ...{ accuracy: null, validationAccuracy: null, testAccuracy: null, parameters: null, found: null },
  group: "g",
};
const point = (epoch: number, n: Point["n"], kept?: number[][]): Point => ({
  ...{ epoch, phase: "search", n },
  ...(kept === undefined ? {} : { support: kept }),
});
const losses = (trained: number[], heldOut: number[]): Point[] =>
  trained.map((loss, epoch) => point(epoch, { loss, validationLoss: heldOut[epoch] }));

describe("is it moving", () => {
  const kept = (...choices: number[][][]): Point[] => choices.map((one, epoch) => point(epoch, {}, one));

  it("says how much has changed lately", () => {
    const points = kept([[0, 1]], [[0, 2]], [[1, 2]], [[1, 3]]);
    expect(changesOf(points)).toEqual([0, 1, 1, 1]);
    expect(movement(row, points).words).toBe("Yes: 3 connections changed in the last 3 epochs");
    expect(movement({ ...row, state: "finished" }, points).words).toMatch(/^To the end: /);
  });

  it("says since when the answer stands", () => {
    const points = kept([[0, 1]], [[0, 2]], ...Array.from({ length: 6 }, () => [[2, 0]]));
    // In another order, but the same.
    expect(movement(row, points)).toMatchObject({
      words: "Settled: the cells stand since epoch 2",
      tone: "good",
    });
  });

  it("calls a search that has never moved what it is", () => {
    const points = kept(...Array.from({ length: 12 }, () => [[0, 1]]));
    expect(movement(row, points)).toMatchObject({ tone: "bad" });
    expect(movement(row, points.slice(0, 2))).toMatchObject({ tone: "plain" });
  });

  it("goes by the answer where another network is tried", () => {
    const points = kept([[0]], [[1]], [[2]], [[3]]).map((one) => ({ ...one, answer: [[0]] }));
    expect(changesOf(points)).toEqual([0, 0, 0, 0]);
  });

  it("of a training is whether its loss falls", () => {
    const train = { ...row, kind: "train" as const };
    expect(movement(train, losses([3, 2.5, 2, 1.5], [])).words).toBe("Yes: the training loss falls");
    expect(movement(train, losses([3, 1, 1, 1, 1, 1, 1], [])).words).toBe(
      "The training loss has stopped falling",
    );
  });
});

describe("does it overfit", () => {
  it("when held-out losses rise while training losses fall", () => {
    const found = overfitting(row, losses([2, 1.5, 1, 0.5, 0.3], [2, 1.6, 1.5, 1.9, 2.1]));
    expect(found).toMatchObject({ tone: "bad" });
    expect(found.words).toBe("Yes, since epoch 3: held-out loss up from 1.500 to 2.000");
  });

  it("not when both fall, both rise, or nothing is held out", () => {
    expect(overfitting(row, losses([2, 1.5, 1], [2, 1.6, 1.1])).words).toBe("No sign of it");
    expect(overfitting(row, losses([2, 3, 4], [2, 3, 4])).words).toBe("No sign of it");
    expect(overfitting(row, [point(0, { loss: 1 })]).words).toMatch(/nothing is held out/);
    expect(overfitting({ ...row, method: "ista-trials" }, losses([2, 1, 0], [1, 2, 3])).words).toMatch(
      /^Not a/,
    );
  });
});

describe("how far is it", () => {
  it("tells the time left, and silence", () => {
    expect(progress(row, null, 400, 5000)).toMatchObject({ words: "About 6 min 40 s left", tone: "plain" });
    expect(progress(row, null, 0.001, 3_600_000)).toMatchObject({ tone: "bad" });
    expect(progress({ ...row, state: "failed" }, null, null, 0).words).toBe("Failed, epoch 10 of 50");
  });
});

describe("runs over each other", () => {
  const run = (...values: number[]): Point[] => values.map((loss, epoch) => point(epoch, { loss }));

  it("have mean and standard deviation where they have values", () => {
    const runs = [run(1, 2, 3), run(3, 4)];
    const epochs = commonEpochs(runs);
    expect(epochs).toEqual([1, 2, 3]);
    const band = bandOf(runs.map((points) => valuesAt(points, epochs, "loss")));
    expect(band.mean).toEqual([2, 3, 3]);
    expect(band.low[0]).toBeCloseTo(2 - Math.SQRT2, 12);
    expect(band.high[1]).toBeCloseTo(3 + Math.SQRT2, 12);
    expect([band.low[2], band.high[2]]).toEqual([null, null]);
  });
});

describe("single steps", () => {
  const rows = (...steps: [step: number, epoch: number][]): StepPoint[] =>
    steps.map(([step, epoch]) => [step, epoch, 1, 0.5]);

  it("lie between the ends of the epochs, the present one as long as the one before", () => {
    const ended = [point(0, { steps: 4 }), point(1, { steps: 2 })];
    expect(epochsOfSteps(rows([2, 0], [4, 0], [5, 1], [6, 1], [7, 2]), ended)).toEqual([0.5, 1, 1.5, 2, 2.5]);
  });

  it("of the first epoch fill what is done of it", () => {
    expect(epochsOfSteps(rows([10, 0], [20, 0]), [])).toEqual([0.5, 1]);
    expect(epochsOfSteps([], [])).toEqual([]);
  });

  it("of epochs without rows of their own are passed over", () => {
    const ended = [0, 1, 2].map((epoch) => point(epoch, { steps: 3 }));
    expect(epochsOfSteps(rows([3, 0], [9, 2]), ended)).toEqual([1, 3]);
  });
});

describe("slots of the strip", () => {
  it("keep a candidate where it is as long as it is kept", () => {
    expect(slotsOf([[3, 7], [7, 9], [1, 9], undefined, [9]])).toEqual([
      [3, 7],
      [9, 7],
      [9, 1],
      [null, null],
      [9, null],
    ]);
  });
});
