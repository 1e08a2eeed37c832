// Figures of a search by derivatives: signal and noise, where the codes moved, what can never be chosen.
import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { initialCodes, recoveryOptions } from "../../sparse/codes.js";
import type { MeasurementKind } from "../../sparse/measurement.js";
import { compressedGradient } from "../../sparse/weights.js";
import { CodeDiagnosis, deadColumns } from "./diagnosis.js";

const choice = { id: "one", predecessors: Array(35).fill(0), kept: 2, distinctPredecessors: false };
const recovery = { method: "path", lambda: 1e-5 } as const;
const codesOf = (measurement: MeasurementKind, seed = 1) =>
  initialCodes({ seed, measurement, compressedLength: 7, choices: [choice], recovery });
const codes = codesOf("gaussian");
const normals = RandomStream.named(1, "noise");
const noise = () => Float64Array.of(normals.normal(), normals.normal());

describe("the signal of the gradients", () => {
  const signalOf = (gradient: () => Float64Array, steps: number): number => {
    const diagnosis = new CodeDiagnosis(codes);
    for (let step = 0; step < steps; step++) diagnosis.note(codes, [gradient()]);
    return diagnosis.end(codes)[0].gradientSignal!;
  };

  it("is about 1 for noise, however long the epoch", () => {
    for (const steps of [10, 300]) {
      const signals = Array.from({ length: 200 }, () => signalOf(noise, steps));
      expect(signals.reduce((sum, value) => sum + value, 0) / 200).toBeCloseTo(1, 0);
    }
  });

  it("grows with the steps where there is one", () => {
    const drift = () => noise().map((value) => value + 0.5);
    expect(signalOf(drift, 400)).toBeGreaterThan(20);
  });

  it("is none of a single step", () => {
    const diagnosis = new CodeDiagnosis(codes);
    diagnosis.note(codes, [noise()]);
    expect(diagnosis.end(codes)[0].gradientSignal).toBeNull();
  });
});

describe("the change of a code", () => {
  const moved = (change: Float64Array) => [
    { ...codes[0], compressed: codes[0].compressed.map((value, row) => value + change[row]) },
  ];

  it("lies in the span of the support where a plain gradient step made it", () => {
    const { measurement, recovery: found } = codes[0];
    const change = compressedGradient(measurement, found.support, Float64Array.of(0.3, -0.4));
    const [figures] = new CodeDiagnosis(codes).end(moved(change));
    expect(figures.changeInSpan).toBeCloseTo(1, 9);
    expect(figures.codeChange).toBeCloseTo(Math.hypot(...change), 12);
  });

  it("of noise lies in a plane of 7 dimensions by the square root of 2/7", () => {
    const shares = Array.from({ length: 2000 }, () => {
      const change = Float64Array.from({ length: 7 }, () => normals.normal());
      return new CodeDiagnosis(codes).end(moved(change))[0].changeInSpan! ** 2;
    });
    expect(shares.reduce((sum, value) => sum + value, 0) / 2000).toBeCloseTo(2 / 7, 1);
  });

  it("begins anew in each epoch", () => {
    const diagnosis = new CodeDiagnosis(codes);
    const after = moved(Float64Array.of(1, 0, 0, 0, 0, 0, 0));
    expect(diagnosis.end(after)[0].codeChange).toBeCloseTo(1, 12);
    expect(diagnosis.end(after)[0]).toEqual({ codeChange: 0, changeInSpan: null, gradientSignal: null });
  });
});

describe("the state", () => {
  it("goes on where it was", () => {
    const [one, other] = [new CodeDiagnosis(codes), new CodeDiagnosis(codes)];
    const gradients = Array.from({ length: 6 }, noise);
    for (const gradient of gradients.slice(0, 3)) one.note(codes, [gradient]);
    other.restore(JSON.parse(JSON.stringify(one.save())), codes);
    for (const gradient of gradients.slice(3)) for (const each of [one, other]) each.note(codes, [gradient]);
    expect(other.end(codes)).toEqual(one.end(codes));
  });

  it.each([undefined, {}, { start: [[1]], sums: [[1]], squares: [1], steps: 1 }])(
    "of %j begins anew",
    (state) => {
      const diagnosis = new CodeDiagnosis(codes);
      diagnosis.note(codes, [noise()]);
      diagnosis.restore(state, codes);
      expect(diagnosis.save()).toEqual(new CodeDiagnosis(codes).save());
    },
  );
});

it("some columns of a Gaussian matrix are dead, and none of a frame", () => {
  const options = [recoveryOptions(choice, recovery)];
  const dead = (kind: MeasurementKind): number =>
    [1, 2, 3].reduce(
      (sum, seed) => sum + deadColumns([codesOf(kind, seed)[0].measurement], options, seed)[0].length,
      0,
    );
  expect(dead("gaussian")).toBeGreaterThan(6);
  expect(dead("frame")).toBeLessThanOrEqual(1);
});
