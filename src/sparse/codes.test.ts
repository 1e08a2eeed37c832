// The codes of a search: drawn from a seed, stepped, recovered, and kept as JSON.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import {
  type Codes,
  type CodesOptions,
  initialCodes,
  initialScale,
  listNodes,
  mapNodes,
  recoverNodes,
  stepCodes,
  supportsOf,
  weightsOf,
} from "./codes.js";
import { codesFromJson, codesToJson } from "./codes-json.js";
import { freezeAll } from "./freezing.js";

const options: CodesOptions = {
  seed: 1,
  measurement: "gaussian",
  compressedSize: 7,
  candidateCounts: [14, 21, 28, 35],
  recovery: { method: "path", sparsity: 2, lambda: 1e-5 },
};
const adam = { learningRate: 6e-4, betas: [0.5, 0.999], weightDecay: 1e-3 } as const;

/** Gradients as a search would get them; any numbers do. */
const gradientsOf = (codes: Codes) =>
  mapNodes(weightsOf(codes), (weights) => weights.map((w) => 2 * (w - 1)));

const trained = (steps: number, start = initialCodes(options)): Codes => {
  let codes = start;
  for (let step = 0; step < steps; step++) codes = stepCodes(codes, gradientsOf(codes), adam);
  return codes;
};

test("8 nodes of the sizes asked for, each with streams of its own, all from the seed", () => {
  const codes = initialCodes(options);
  const nodes = listNodes(codes);
  expect(nodes.map(({ group, node }) => `${group} ${node}`)).toEqual([
    ..."0123".split("").map((node) => `normal ${node}`),
    ..."0123".split("").map((node) => `reduction ${node}`),
  ]);
  expect(nodes.map(({ value }) => value.measurement.columns)).toEqual([14, 21, 28, 35, 14, 21, 28, 35]);
  const first = nodes.map(({ value }) => value.measurement.data[0]);
  expect(new Set(first).size).toBe(8);
  expect(initialCodes(options)).toEqual(codes);
  expect(initialCodes({ ...options, seed: 2 })).not.toEqual(codes);
  // How a node is recovered changes neither its matrix nor its code.
  const other = initialCodes({ ...options, recovery: { ...options.recovery, method: "top-s" } });
  expect(other.normal[2].compressed).toEqual(codes.normal[2].compressed);
  const sizes = Array.from(
    { length: 200 },
    (_, seed) => initialCodes({ ...options, seed }).normal[0].compressed[0],
  );
  const deviation = Math.sqrt(sizes.reduce((sum, b) => sum + b * b, 0) / sizes.length);
  expect(deviation / initialScale).toBeGreaterThan(0.8);
  expect(deviation / initialScale).toBeLessThan(1.2);
});

test("steps lower a loss of the weights and leave recoveries and frozen nodes alone", () => {
  const loss = (codes: Codes): number =>
    listNodes(weightsOf(codes)).reduce(
      (sum, { value }) => sum + value.reduce((s, w) => s + (w - 1) ** 2, 0),
      0,
    );
  const start = initialCodes(options);
  const end = trained(500, start);
  expect(loss(end)).toBeLessThan(0.7 * loss(start));
  expect(supportsOf(end)).toEqual(supportsOf(start));
  expect(end.normal[0].adam.step).toBe(500);
  const frozen = freezeAll(start).codes;
  expect(trained(5, frozen)).toEqual(frozen);
  expect(recoverNodes(frozen, options.recovery)).toEqual(mapNodes(start, ({ recovery }) => recovery));
});

describe("a size budget at the start", () => {
  const excess = (supports: ReturnType<typeof supportsOf>): number =>
    // Operations 3 to 6 are the expensive ones here; none may be left.
    listNodes(supports).reduce((sum, { value }) => sum + value.filter((index) => index % 7 > 2).length, 0);

  test("codes are drawn until it is met; matrices and codes that fit stay", () => {
    const free = initialCodes(options);
    expect(excess(supportsOf(free))).toBeGreaterThan(0);
    const codes = initialCodes(options, excess);
    expect(excess(supportsOf(codes))).toBe(0);
    expect(initialCodes(options, excess)).toEqual(codes);
    for (const { group, node, value } of listNodes(codes))
      expect(value.measurement).toEqual(free[group][node].measurement);
    expect(initialCodes(options, () => 0)).toEqual(free);
  });

  test("an unreachable one is given up", () => {
    const act = (): unknown => initialCodes({ ...options, candidateCounts: [4] }, () => 1);
    expect(act).toThrow(IstaError);
    expect(act).toThrow("no network within the size budget in 10000 draws");
  });
});

describe("JSON", () => {
  const codes = trained(3, freezeOne(initialCodes(options)));

  function freezeOne(all: Codes): Codes {
    return { ...all, normal: all.normal.with(1, { ...all.normal[1], frozen: true }) };
  }

  test("reads back exactly what was written, and a search goes on from it bit for bit", () => {
    const read = codesFromJson(JSON.parse(JSON.stringify(codesToJson(codes))), options.candidateCounts);
    expect(read).toEqual(codes);
    expect(trained(20, read)).toEqual(trained(20, codes));
  });

  // biome-ignore lint/suspicious/noExplicitAny: the changes are to be of every wrong type
  test.each<[string, (json: any) => void, string]>([
    [
      "a missing group",
      (json) => delete json.reduction,
      "at $.reduction: expected an array of 4 nodes, got undefined",
    ],
    [
      "a missing node",
      (json) => json.normal.pop(),
      "at $.normal: expected an array of 4 nodes, got an array of 3",
    ],
    [
      "nodes in another order",
      (json) => json.normal.reverse(),
      "at $.normal[0].measurement.columns: expected 14 candidate connections, got 35",
    ],
    [
      "an unknown kind",
      (json) => (json.normal[0].measurement.kind = "other"),
      'at $.normal[0].measurement.kind: expected one of uniform, gaussian, got "other"',
    ],
    [
      "a short matrix",
      (json) => json.normal[0].measurement.data.pop(),
      "at $.normal[0].measurement.data: expected an array of 98 numbers, got an array of 97",
    ],
    [
      "a huge matrix",
      (json) => (json.normal[0].measurement.rows = 1e9),
      "expected a whole number from 1 to 4096",
    ],
    [
      "null in a code",
      (json) => (json.reduction[3].compressed[6] = null),
      "at $.reduction[3].compressed[6]: expected a finite number, got null",
    ],
    [
      "text for a number",
      (json) => (json.normal[0].recovery.residual = "0"),
      "at $.normal[0].recovery.residual",
    ],
    [
      "a support out of order",
      (json) => json.normal[2].recovery.support.reverse(),
      "at $.normal[2].recovery.support[1]: expected ascending indices",
    ],
    [
      "a support out of range",
      (json) => (json.normal[0].recovery.support[1] = 14),
      "expected a whole number from 0 to 13, got 14",
    ],
    ["no support", (json) => (json.normal[0].recovery.support = []), "an array of 1 to 14 indices"],
    [
      "a code outside the support",
      (json) => json.normal[0].recovery.code.fill(1),
      "expected 0 outside the support, got 1",
    ],
    [
      "weights for another support",
      (json) => json.normal[0].recovery.weights.push(1),
      "at $.normal[0].recovery.weights",
    ],
    [
      "a negative square",
      (json) => (json.normal[0].adam.squareMean[0] = -1),
      "at $.normal[0].adam.squareMean[0]: expected no negative number",
    ],
    ["half a step", (json) => (json.normal[0].adam.step = 0.5), "at $.normal[0].adam.step"],
    [
      "no flag",
      (json) => (json.normal[0].frozen = 1),
      "at $.normal[0].frozen: expected true or false, got 1",
    ],
    [
      "no Adam state",
      (json) => (json.normal[0].adam = []),
      "at $.normal[0].adam: expected an object, got an array of 0",
    ],
  ])("refuses %s and says where", (_, change, message) => {
    const json = JSON.parse(JSON.stringify(codesToJson(codes)));
    change(json);
    const act = (): unknown => codesFromJson(json, options.candidateCounts);
    expect(act).toThrow(IstaError);
    expect(act).toThrow(message);
  });

  test("refuses anything else with an error of its own", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(() => codesFromJson(json, options.candidateCounts)).toThrow(IstaError);
      }),
    );
  });
});
