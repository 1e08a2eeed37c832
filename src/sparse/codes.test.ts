// The codes of a search: drawn from a seed, stepped, recovered, and kept as JSON.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import {
  type CodedChoice,
  type Codes,
  type CodesOptions,
  initialCodes,
  initialScale,
  recoverCodes,
  recoveryOptions,
  stepCodes,
  supportsOf,
  weightsOf,
} from "./codes.js";
import { codesFromJson, codesToJson } from "./codes-json.js";
import { freezeAll } from "./freezing.js";

const operations = 7;

/** A choice of two connections, 7 operations on each of so many predecessors. */
const choiceOf = (id: string, predecessorCount: number): CodedChoice => ({
  id,
  predecessors: Array.from({ length: operations * predecessorCount }, (_, i) => Math.floor(i / operations)),
  kept: 2,
  distinctPredecessors: false,
});

/** The choices of two cells of four nodes. */
const choices = ["normal", "reduction"].flatMap((group) =>
  [0, 1, 2, 3].map((node) => choiceOf(`${group}/${node}`, node + 2)),
);
const candidateCounts = choices.map(({ predecessors }) => predecessors.length);

const options: CodesOptions = {
  seed: 1,
  measurement: "gaussian",
  compressedLength: 7,
  choices,
  recovery: { method: "path", lambda: 1e-5 },
};
const recoveries = choices.map((choice) => recoveryOptions(choice, options.recovery));
const adam = { learningRate: 6e-4, betas: [0.5, 0.999], weightDecay: 1e-3 } as const;

/** Gradients as a search would get them; any numbers do. */
const gradientsOf = (codes: Codes) => weightsOf(codes).map((weights) => weights.map((w) => 2 * (w - 1)));

const trained = (steps: number, start = initialCodes(options)): Codes => {
  let codes = start;
  for (let step = 0; step < steps; step++) codes = stepCodes(codes, gradientsOf(codes), adam);
  return codes;
};

test("8 choices of the sizes asked for, each with streams of its own, all from the seed", () => {
  const codes = initialCodes(options);
  expect(codes.map(({ measurement }) => measurement.columns)).toEqual([14, 21, 28, 35, 14, 21, 28, 35]);
  expect(codes.map(({ recovery }) => recovery.support.length)).toEqual(Array(8).fill(2));
  const first = codes.map(({ measurement }) => measurement.data[0]);
  expect(new Set(first).size).toBe(8);
  expect(initialCodes(options)).toEqual(codes);
  expect(initialCodes({ ...options, seed: 2 })).not.toEqual(codes);
  // How a node is recovered changes neither its matrix nor its code.
  const other = initialCodes({ ...options, recovery: { ...options.recovery, method: "top-s" } });
  expect(other[2].compressed).toEqual(codes[2].compressed);
  // Streams are by the name of the choice: its place does not matter, nor what others there are.
  expect(initialCodes({ ...options, choices: [...choices].reverse() })).toEqual([...codes].reverse());
  expect(initialCodes({ ...options, choices: choices.slice(5, 6) })).toEqual(codes.slice(5, 6));
  const sizes = Array.from(
    { length: 200 },
    (_, seed) => initialCodes({ ...options, choices: choices.slice(0, 1), seed })[0].compressed[0],
  );
  const deviation = Math.sqrt(sizes.reduce((sum, b) => sum + b * b, 0) / sizes.length);
  expect(deviation / initialScale).toBeGreaterThan(0.8);
  expect(deviation / initialScale).toBeLessThan(1.2);
});

test("steps lower a loss of the weights and leave recoveries and frozen nodes alone", () => {
  const loss = (codes: Codes): number =>
    weightsOf(codes).reduce((sum, weights) => sum + weights.reduce((s, w) => s + (w - 1) ** 2, 0), 0);
  const start = initialCodes(options);
  const end = trained(500, start);
  expect(loss(end)).toBeLessThan(0.7 * loss(start));
  expect(supportsOf(end)).toEqual(supportsOf(start));
  expect(end[0].adam.step).toBe(500);
  const frozen = freezeAll(start).codes;
  expect(trained(5, frozen)).toEqual(frozen);
  expect(recoverCodes(frozen, recoveries)).toEqual(start.map(({ recovery }) => recovery));
  expect(recoverCodes(end, recoveries)).not.toEqual(start.map(({ recovery }) => recovery));
});

test("choices keep as many candidates as each of them says, of distinct predecessors where it says so", () => {
  const mixed = [1, 2, 3].map((count) => ({
    ...choiceOf(`cell/${count}`, count),
    kept: count,
    distinctPredecessors: true,
  }));
  for (let seed = 0; seed < 20; seed++) {
    const codes = initialCodes({ ...options, choices: mixed, seed });
    for (const [index, support] of supportsOf(codes).entries())
      expect(support.map((candidate) => Math.floor(candidate / operations))).toEqual(
        Array.from({ length: index + 1 }, (_, predecessor) => predecessor),
      );
  }
  expect(recoveryOptions(mixed[1], options.recovery)).toEqual({
    ...options.recovery,
    sparsity: 2,
    distinct: mixed[1].predecessors,
  });
  expect(recoveries[0]).toEqual({ ...options.recovery, sparsity: 2 });
});

describe("a size budget at the start", () => {
  const excess = (supports: readonly (readonly number[])[]): number =>
    // Operations 3 to 6 are the expensive ones here; none may be left.
    supports.reduce((sum, support) => sum + support.filter((index) => index % 7 > 2).length, 0);

  test("codes are drawn until it is met; matrices and codes that fit stay", () => {
    const free = initialCodes(options);
    expect(excess(supportsOf(free))).toBeGreaterThan(0);
    const codes = initialCodes(options, excess);
    expect(excess(supportsOf(codes))).toBe(0);
    expect(initialCodes(options, excess)).toEqual(codes);
    expect(codes.map(({ measurement }) => measurement)).toEqual(free.map(({ measurement }) => measurement));
    expect(initialCodes(options, () => 0)).toEqual(free);
  });

  test("an unreachable one is given up", () => {
    const act = (): unknown =>
      initialCodes({ ...options, choices: [{ ...choices[0], predecessors: [0, 0, 1, 1] }] }, () => 1);
    expect(act).toThrow(IstaError);
    expect(act).toThrow("no network within the size budget in 10000 draws");
  });
});

describe("JSON", () => {
  const codes = trained(3, freezeOne(initialCodes(options)));

  function freezeOne(all: Codes): Codes {
    return all.with(1, { ...all[1], frozen: true });
  }

  test("reads back exactly what was written, and a search goes on from it bit for bit", () => {
    const read = codesFromJson(JSON.parse(JSON.stringify(codesToJson(codes))), candidateCounts);
    expect(read).toEqual(codes);
    expect(trained(20, read)).toEqual(trained(20, codes));
  });

  // biome-ignore lint/suspicious/noExplicitAny: the changes are to be of every wrong type
  test.each<[string, (json: any) => void, string]>([
    ["a missing choice", (json) => json.pop(), "at $: expected an array of 8 choices, got an array of 7"],
    [
      "choices in another order",
      (json) => json.reverse(),
      "at $[0].measurement.columns: expected 14 candidates, got 35",
    ],
    ["a choice that is none", (json) => (json[5] = null), "at $[5]: expected an object, got null"],
    [
      "an unknown kind",
      (json) => (json[0].measurement.kind = "other"),
      'at $[0].measurement.kind: expected one of uniform, gaussian, frame, got "other"',
    ],
    [
      "a short matrix",
      (json) => json[0].measurement.data.pop(),
      "at $[0].measurement.data: expected an array of 98 numbers, got an array of 97",
    ],
    ["a huge matrix", (json) => (json[0].measurement.rows = 1e9), "expected a whole number from 1 to 4096"],
    [
      "null in a code",
      (json) => (json[7].compressed[6] = null),
      "at $[7].compressed[6]: expected a finite number, got null",
    ],
    ["text for a number", (json) => (json[0].recovery.residual = "0"), "at $[0].recovery.residual"],
    [
      "a support out of order",
      (json) => json[2].recovery.support.reverse(),
      "at $[2].recovery.support[1]: expected ascending indices",
    ],
    [
      "a support out of range",
      (json) => (json[0].recovery.support[1] = 14),
      "expected a whole number from 0 to 13, got 14",
    ],
    ["no support", (json) => (json[0].recovery.support = []), "an array of 1 to 14 indices"],
    [
      "a code outside the support",
      (json) => json[0].recovery.code.fill(1),
      "expected 0 outside the support, got 1",
    ],
    ["weights for another support", (json) => json[0].recovery.weights.push(1), "at $[0].recovery.weights"],
    [
      "a negative square",
      (json) => (json[0].adam.squareMean[0] = -1),
      "at $[0].adam.squareMean[0]: expected no negative number",
    ],
    ["half a step", (json) => (json[0].adam.step = 0.5), "at $[0].adam.step"],
    ["no flag", (json) => (json[0].frozen = 1), "at $[0].frozen: expected true or false, got 1"],
    ["no Adam state", (json) => (json[0].adam = []), "at $[0].adam: expected an object, got an array of 0"],
  ])("refuses %s and says where", (_, change, message) => {
    const json = JSON.parse(JSON.stringify(codesToJson(codes)));
    change(json);
    const act = (): unknown => codesFromJson(json, candidateCounts);
    expect(act).toThrow(IstaError);
    expect(act).toThrow(message);
  });

  describe("in the form with a list for each cell type", () => {
    const older = () => {
      const json: unknown[] = JSON.parse(JSON.stringify(codesToJson(codes)));
      return { normal: json.slice(0, 4), reduction: json.slice(4) };
    };

    test("is read as before", () => {
      expect(codesFromJson(older(), candidateCounts)).toEqual(codes);
    });

    test.each<[string, (json: { normal: unknown[]; reduction?: unknown[] }) => unknown, string]>([
      [
        "a missing group",
        (json) => delete json.reduction,
        "at $: expected an array of 8 choices, got an object",
      ],
      [
        "a missing node",
        (json) => json.normal.pop(),
        "at $: expected an array of 8 choices, got an array of 7",
      ],
      [
        "nodes in another order",
        (json) => json.normal.reverse(),
        "at $[0].measurement.columns: expected 14 candidates, got 35",
      ],
    ])("is refused with %s", (_, change, message) => {
      const json = older();
      change(json);
      const act = (): unknown => codesFromJson(json, candidateCounts);
      expect(act).toThrow(IstaError);
      expect(act).toThrow(message);
    });
  });

  test("refuses anything else with an error of its own", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(() => codesFromJson(json, candidateCounts)).toThrow(IstaError);
      }),
    );
  });
});
