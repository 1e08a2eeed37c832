// The one-stage search on real images: freezing, affine parameters, size budgets, the two phases, absorption.
import { afterEach, describe, expect, it, vi } from "vitest";
import { advance, bundledSources, oneStageSearch, searchConfig } from "../../../test/support/courses.js";
import { IstaError } from "../../base/errors.js";
import type { SearchInput } from "../../config/schema.js";
import { evaluateBatch } from "../../course/evaluate.js";
import type { EpochOutcome } from "../../course/loop.js";
import { cosine } from "../../course/schedules.js";
import { Network } from "../../nn/network.js";
import { countNetwork } from "../../space/counts.js";
import { evaluationNetwork, normPlacements, superNetwork } from "../../space/layout.js";
import { isTrainable, parameterList } from "../../space/parameters.js";
import { listNodes, mapNodes } from "../../sparse/codes.js";
import { allFrozen } from "../../sparse/freezing.js";
import { nodeName } from "./architecture-search.js";
import type { OneStageSearch } from "./one-stage.js";

const open: { dispose(): void }[] = [];
async function start(flags: Partial<SearchInput> = {}): Promise<OneStageSearch> {
  const search = await oneStageSearch({ codeLearningRate: 0.01, ...flags });
  open.push(search);
  return search;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const one of open.splice(0)) one.dispose();
});

interface NodeRecord {
  readonly cell: string;
  readonly node: number;
  readonly distance: number;
  readonly frozen: boolean;
}
const nodesOf = (outcome: EpochOutcome): NodeRecord[] => outcome.record.nodes as unknown as NodeRecord[];

/** A search one epoch in, whose tolerance is the median distance of that epoch: half of its nodes are frozen. */
async function halfFrozen(): Promise<OneStageSearch> {
  const trial = await start({ freezeTolerance: 0 });
  const [outcome] = await advance(trial, { epoch: 0, step: 0 }, 4);
  const distances = nodesOf(outcome)
    .map(({ distance }) => distance)
    .sort((a, b) => a - b);
  const search = await start({ freezeTolerance: distances[3] });
  await advance(search, { epoch: 0, step: 0 }, 4);
  const frozen = listNodes(search.codes).filter(({ value }) => value.frozen);
  expect(frozen).toHaveLength(4);
  return search;
}

type Values = Map<string, Float32Array>;

/** gamma and beta of the batch norms that operations end in, by whether their node is frozen; and of those inside operations. */
function affineOfEdges(search: OneStageSearch): { active: Values; frozen: Values; inside: Values } {
  const description = superNetwork(search.shape, normPlacements.oneStageSuperNet, search.connections);
  const { cells } = search.network.layout;
  const state = search.network.stateDict();
  const affine = parameterList(description).filter(
    ({ edge, kind }) => edge !== undefined && (kind === "gamma" || kind === "beta"),
  );
  // In the order of the state dict the last gamma and beta of an edge are those of its last batch norm.
  const last = new Map(affine.map(({ edge, kind, name }) => [`${edge!.name} ${kind}`, name]));
  const parts = { active: new Map(), frozen: new Map(), inside: new Map() };
  for (const { name, kind, cell, edge } of affine) {
    const { frozen } = search.codes[cells[cell!].type][edge!.node];
    const ending = last.get(`${edge!.name} ${kind}`) === name;
    parts[ending ? (frozen ? "frozen" : "active") : "inside"].set(name, state.get(name)!.data);
  }
  return parts;
}

const isAtStart = (name: string, values: Float32Array): boolean =>
  values.every((value) => value === (name.endsWith(".weight") ? 1 : 0));

describe("freezing", () => {
  it("takes exactly the nodes whose code moved by no more than the tolerance", async () => {
    const trial = await start({ freezeTolerance: 0 });
    const [first] = await advance(trial, { epoch: 0, step: 0 }, 4);
    const distances = nodesOf(first).map(({ distance }) => distance);
    expect(listNodes(trial.codes).some(({ value }) => value.frozen)).toBe(false);
    const tolerance = [...distances].sort((a, b) => a - b)[3];
    const search = await start({ freezeTolerance: tolerance });
    const [outcome] = await advance(search, { epoch: 0, step: 0 }, 4);
    expect(nodesOf(outcome).map(({ frozen }) => frozen)).toEqual(
      distances.map((distance) => distance <= tolerance),
    );
    const names = listNodes(search.codes)
      .filter(({ value }) => value.frozen)
      .map(nodeName);
    expect(outcome.record.newlyFrozen).toEqual(names);
    expect(outcome.lines.join("\n")).toContain(`frozen: ${names.join(", ")}`);
    expect(search.phase).toBe("search");
  });

  it("ends the training of b, the recovery and the changes of w", async () => {
    const search = await halfFrozen();
    const before = search.codes;
    const connections = search.connections;
    await advance(search, { epoch: 1, step: 0 }, 3);
    for (const { group, node, value } of listNodes(before))
      if (value.frozen) expect(search.codes[group][node]).toBe(value);
      else expect(search.codes[group][node].compressed).not.toEqual(value.compressed);
    await advance(search, { epoch: 1, step: 3 }, 1);
    for (const { group, node, value } of listNodes(before)) {
      if (!value.frozen) continue;
      expect(search.codes[group][node]).toBe(value);
      expect(search.connections[group][node]).toEqual(connections[group][node]);
    }
  });

  it("holds gamma and beta of active nodes at (1, 0), and trains those of frozen ones", async () => {
    const search = await halfFrozen();
    const begun = affineOfEdges(search);
    expect(begun.active.size).toBeGreaterThan(0);
    expect(begun.frozen.size).toBeGreaterThan(0);
    for (const part of [begun.active, begun.frozen])
      for (const [name, values] of part) expect(isAtStart(name, values), name).toBe(true);
    const trainable = new Set(search.network.trainable.keys());
    for (const name of begun.active.keys()) expect(trainable.has(name), name).toBe(false);
    for (const name of begun.frozen.keys()) expect(trainable.has(name), name).toBe(true);
    await advance(search, { epoch: 1, step: 0 }, 3);
    const later = affineOfEdges(search);
    for (const [name, values] of later.active) expect(isAtStart(name, values), name).toBe(true);
    for (const [name, values] of later.frozen) expect(isAtStart(name, values), name).toBe(false);
    // The batch norms inside of operations and those of the stem train from the first step on.
    expect(begun.inside.size).toBeGreaterThan(0);
    for (const [name, values] of later.inside) expect(isAtStart(name, values), name).toBe(false);
    const { data } = search.network.stateDict().get("stem.1.weight")!;
    expect(isAtStart("stem.1.weight", data as Float32Array)).toBe(false);
  });

  it("frees what a frozen node can never take up again, and its momenta", async () => {
    const search = await halfFrozen();
    const now = search.connections;
    const possible = mapNodes(search.codes, ({ frozen }, { group, node }) =>
      frozen ? now[group][node] : [],
    );
    const kept = new Set(
      parameterList(superNetwork(search.shape, normPlacements.oneStageSuperNet, possible)).map(
        ({ name }) => name,
      ),
    );
    const { model, optimiser } = search.save().tensors;
    const { cells } = search.network.layout;
    for (const name of [...model.keys(), ...optimiser.keys()]) {
      const match = /^cells\.(\d+)\._ops\.(\d+)\./.exec(name);
      if (match === null) continue;
      const { type } = cells[Number(match[1])];
      // Edges are numbered node by node, node j with j + 2 predecessors: 2, 5, 9, 14 edges up to each node.
      const node = [2, 5, 9, 14].findIndex((end) => Number(match[2]) < end);
      if (search.codes[type][node].frozen) expect(kept.has(name), name).toBe(true);
    }
  });

  it("is forced on all at the limit of epochs, with a warning that names them", async () => {
    const search = await start({ epochs: 2, freezeTolerance: 0 });
    const [first, second] = await advance(search, { epoch: 0, step: 0 }, 8);
    expect(first.lines.join("\n")).not.toContain("warning");
    expect(search.forcedNodes).toEqual(
      ["normal", "reduction"].flatMap((group) => [2, 3, 4, 5].map((node) => `${group} node ${node}`)),
    );
    expect(second.lines.join("\n")).toContain(
      `warning: the limit of 2 search epochs froze ${search.forcedNodes.join(", ")}`,
    );
    expect(second.record.forcedNodes).toEqual(search.forcedNodes);
    expect(allFrozen(search.codes)).toBe(true);
    expect(search.phase).toBe("train");
  });

  it("by itself ends the search early and forces nothing", async () => {
    const search = await start({ epochs: 9, trainEpochs: 3, freezeTolerance: 1e6 });
    expect(search.epochCount).toBe(12);
    await advance(search, { epoch: 0, step: 0 }, 4);
    expect(search.phase).toBe("train");
    expect(search.epochCount).toBe(4);
    expect(search.forcedNodes).toEqual([]);
  });
});

describe("the two phases", () => {
  it("have a constant learning rate, then half a cosine", async () => {
    const search = await start({ epochs: 2, trainEpochs: 5, learningRate: 0.03, finalLearningRate: 0.001 });
    for (let epoch = 0; epoch < 2; epoch++) expect(search.learningRate(epoch)).toBe(0.03);
    await advance(search, { epoch: 0, step: 0 }, 8);
    for (let epoch = 2; epoch < 7; epoch++)
      expect(search.learningRate(epoch)).toBe(cosine(epoch - 2, 5, 0.03, 0.001));
  });

  it("drop paths in the second one only, rising from 0", async () => {
    const search = await start({ epochs: 1, trainEpochs: 4, dropPath: 0.2 });
    const seen: (number | undefined)[] = [];
    const forward = search.network.forward.bind(search.network);
    vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
      if (options.training) seen.push(options.dropPath?.probability);
      return forward(images, options);
    });
    await advance(search, { epoch: 0, step: 0 }, 12);
    expect(seen.slice(0, 4)).toEqual(Array(4).fill(undefined));
    expect(seen.slice(4, 8)).toEqual(Array(4).fill(0));
    for (const probability of seen.slice(8)) expect(probability).toBeCloseTo(0.05, 12);
  });

  it("take one batch and one backward pass a step for b and the weights", async () => {
    const search = await start();
    const forward = vi.spyOn(search.network, "forward");
    const before = search.codes;
    const weights = search.network.stateDict().get("stem.0.weight");
    await search.step(0, 0);
    expect(forward).toHaveBeenCalledTimes(1);
    expect(search.codes.normal[0].compressed).not.toEqual(before.normal[0].compressed);
    expect(search.network.stateDict().get("stem.0.weight")).not.toEqual(weights);
  });

  it("give no score while the architecture still changes", async () => {
    const search = await start({ epochs: 1 });
    const outcomes = await advance(search, { epoch: 0, step: 0 }, 8);
    expect(outcomes[0].record.validationAccuracy).toEqual(expect.any(Number));
    expect(outcomes.map(({ score }) => score === null)).toEqual([true, false]);
  });

  it("change no code any more once all are frozen, and train every gamma and beta", async () => {
    const search = await start({ epochs: 1 });
    await advance(search, { epoch: 0, step: 0 }, 4);
    const codes = search.codes;
    const { active, frozen } = affineOfEdges(search);
    expect(active.size).toBe(0);
    const description = superNetwork(search.shape, normPlacements.oneStageSuperNet, search.connections);
    expect(search.network.trainable.size).toBe(
      parameterList(description).filter(({ kind }) => isTrainable(kind)).length,
    );
    await advance(search, { epoch: 1, step: 0 }, 5);
    expect(search.codes).toEqual(codes);
    for (const [name] of frozen)
      expect(isAtStart(name, search.network.stateDict().get(name)!.data as Float32Array), name).toBe(false);
  });
});

describe("size budgets", () => {
  /** A seed whose second network is larger than its first: at that budget the first update is refused. */
  async function growing(
    flags: Partial<SearchInput>,
  ): Promise<{ seed: number; budget: number; larger: number }> {
    for (let seed = 1; seed < 40; seed++) {
      const search = await start({ seed, freezeTolerance: 0, codeLearningRate: 0.05, ...flags });
      const { params } = search.size;
      await advance(search, { epoch: 0, step: 0 }, 4);
      if (search.size.params > params) return { seed, budget: params, larger: search.size.params };
    }
    return expect.fail("no seed whose network grows");
  }

  it("refuse an update as a whole and count it: supports, codes and freezing stay; b trains on", async () => {
    const { seed, budget } = await growing({});
    // With this tolerance any accepted update would freeze every node.
    const search = await start({ seed, maxParams: budget, codeLearningRate: 0.05, freezeTolerance: 1e6 });
    expect(search.size.params).toBe(budget);
    const before = search.codes;
    const weights = new Set(search.network.trainable.keys());
    const [outcome] = await advance(search, { epoch: 0, step: 0 }, 4);
    expect(outcome.record).toMatchObject({ accepted: false, rejectedUpdates: 1, newlyFrozen: [] });
    expect(outcome.lines.join("\n")).toContain("update rejected (1 so far)");
    expect(search.rejected).toBe(1);
    expect(search.size.params).toBe(budget);
    for (const { group, node, value } of listNodes(search.codes)) {
      expect(value.recovery).toBe(before[group][node].recovery);
      expect(value.frozen).toBe(false);
      expect(value.compressed).not.toEqual(before[group][node].compressed);
    }
    expect(new Set(search.network.trainable.keys())).toEqual(weights);
    expect(search.phase).toBe("search");
  });

  it("let through the same update when it just fits", async () => {
    const { seed, larger } = await growing({});
    const search = await start({ seed, maxParams: larger, codeLearningRate: 0.05, freezeTolerance: 0 });
    await advance(search, { epoch: 0, step: 0 }, 4);
    expect(search.rejected).toBe(0);
    expect(search.size.params).toBe(larger);
  });

  it.each([{ maxParams: 500 }, { maxMultAdds: 1000 }])(
    "that nothing can meet are refused at the start (%o)",
    async (budget) => {
      const error = await start(budget).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(IstaError);
      expect((error as IstaError).code).toBe("BUDGET_IMPOSSIBLE");
      expect((error as IstaError).message).toMatch(/\d{3}/);
    },
  );
});

describe("after the end of the search", () => {
  it.each([0, 0.4])("the absorbed network is the super-net (auxiliary head %d)", async (auxiliaryWeight) => {
    const search = await start({ epochs: 1, trainEpochs: 3, auxiliaryWeight, dropPath: 0.2 });
    await advance(search, { epoch: 0, step: 0 }, 12);
    const description = evaluationNetwork(
      search.genotype,
      { ...search.shape, auxiliary: false },
      normPlacements.normalisedEvaluation,
    );
    const plain = new Network(description, { seed: 0 });
    open.push(plain);
    plain.loadStateDict(search.absorbed());
    const { test } = await bundledSources(
      searchConfig({ mode: "one-stage", validationFraction: 0.2, limitTrain: 40, auxiliaryWeight }),
    );
    const expected: number[] = [];
    const forward = search.network.forward.bind(search.network);
    vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
      const outputs = forward(images, options);
      expected.push(...outputs.logits.toFloat32Array());
      return outputs;
    });
    await search.evaluate(test!);
    const found: number[] = [];
    for (let index = 0; index < test!.batchCount; index++)
      found.push(...evaluateBatch(plain, await test!.batch(0, index)).logits);
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - found[i])));
    expect(found).toHaveLength(16 * 10);
    expect(worst / Math.max(...expected.map(Math.abs))).toBeLessThan(1e-5);
    expect(countNetwork(description).params).toBe(search.size.params);
  });
});
