// The two-stage search on real images: what each half of a step changes, the supports, the end of an epoch.
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  bundledSources,
  givenSources,
  oneBatch,
  searchConfig,
  twoStageSearch,
} from "../../../test/support/courses.js";
import { IstaError } from "../../base/errors.js";
import type { SearchInput } from "../../config/schema.js";
import { cosine } from "../../course/schedules.js";
import { networkShape } from "../../course/shape.js";
import type { Network } from "../../nn/network.js";
import { countNetwork } from "../../space/counts.js";
import { connectionAt } from "../../space/darts.js";
import { normPlacements, superNetwork } from "../../space/layout.js";
import { isTrainable, parameterList } from "../../space/parameters.js";
import { type Codes, listNodes, mapNodes, type PerNode, supportsOf } from "../../sparse/codes.js";
import { recover } from "../../sparse/recovery.js";
import { TwoStageSearch } from "./two-stage.js";

const open: TwoStageSearch[] = [];
async function start(flags: Partial<SearchInput> = {}): Promise<TwoStageSearch> {
  const search = await twoStageSearch(flags);
  open.push(search);
  return search;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const search of open.splice(0)) search.dispose();
});

const compressed = (codes: Codes): PerNode<number[]> =>
  mapNodes(codes, (node) => Array.from(node.compressed));

function trained(network: Network): Record<string, number[]> {
  return Object.fromEntries(
    [...network.trainable].map(([name, tensor]) => [name, Array.from(tensor.toFloat32Array())]),
  );
}

/** State at each forward pass, besides what the pass was asked to do. */
function watch(search: TwoStageSearch) {
  const seen: {
    codes: Codes;
    weights: Record<string, number[]>;
    pixelSum: number;
    nodeWeights: number[][];
  }[] = [];
  const forward = search.network.forward.bind(search.network);
  vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
    const nodeWeights = listNodes(options.nodeWeights!).map(({ value }) =>
      Array.from(value.toFloat32Array()),
    );
    const pixelSum = images.toFloat32Array().reduce((sum, value) => sum + value, 0);
    seen.push({ codes: search.codes, weights: trained(search.network), pixelSum, nodeWeights });
    return forward(images, options);
  });
  return seen;
}

describe("a step", () => {
  it("moves b alone on the held-out batch, then the weights alone on the training batch", async () => {
    const search = await start();
    const before = { codes: search.codes, weights: trained(search.network) };
    const seen = watch(search);
    await search.step(0, 0);
    expect(seen).toHaveLength(2);
    const [first, second] = seen;
    expect(compressed(first.codes)).toEqual(compressed(before.codes));
    expect(second.weights).toEqual(first.weights);
    expect(second.weights).toEqual(before.weights);
    for (const { group, node, value } of listNodes(compressed(second.codes)))
      expect(value).not.toEqual(Array.from(before.codes[group][node].compressed));
    expect(compressed(search.codes)).toEqual(compressed(second.codes));
    const after = trained(search.network);
    const still = Object.keys(after).filter((name) => `${after[name]}` === `${before.weights[name]}`);
    expect(still).toEqual([]);
    // The batches are different ones, and w is computed anew from the new b.
    expect(second.pixelSum).not.toBe(first.pixelSum);
    expect(second.nodeWeights).not.toEqual(first.nodeWeights);
  });

  it("lets the recovered codes and supports alone until the epoch ends", async () => {
    const search = await start();
    const before = listNodes(search.codes).map(({ value }) => value.recovery);
    await advance(search, { epoch: 0, step: 0 }, 3);
    expect(listNodes(search.codes).map(({ value }) => value.recovery)).toEqual(before);
  });

  it("takes the held-out batches round and round when there are fewer of them", async () => {
    const config = searchConfig({ mode: "two-stage" });
    const sources = await bundledSources(config);
    const asked: [number, number][] = [];
    const codes = {
      ...sources.codes!,
      batchCount: 3,
      batch: (epoch: number, index: number) => {
        asked.push([epoch, index]);
        return sources.codes!.batch(epoch, index);
      },
    };
    const search = new TwoStageSearch(
      config,
      givenSources(sources.training, codes),
      networkShape(config, sources),
    );
    open.push(search);
    await advance(search, { epoch: 0, step: 0 }, 8);
    expect(search.stepCount).toBe(4);
    expect(asked).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
      [2, 1],
    ]);
  });
});

it("the learning rate is half a cosine over the epochs", async () => {
  const search = await start({ epochs: 7, learningRate: 0.2, finalLearningRate: 0.01 });
  expect(search.epochCount).toBe(7);
  for (let epoch = 0; epoch < 7; epoch++)
    expect(search.learningRate(epoch)).toBe(cosine(epoch, 7, 0.2, 0.01));
});

describe("the network", () => {
  it.each(["top-s", "path"] as const)(
    "has the connections that the codes say, epoch for epoch (%s)",
    async (recovery) => {
      const search = await start({ recovery, codeLearningRate: 0.05 });
      const place = { epoch: 0, step: 0 };
      const genotypes = new Set<string>();
      for (let epoch = 0; epoch < 4; epoch++) {
        const connections = mapNodes(supportsOf(search.codes), (support) => support.map(connectionAt));
        const description = superNetwork(search.shape, normPlacements.twoStageSuperNet, connections);
        expect([...search.network.trainable.keys()].sort()).toEqual(
          parameterList(description)
            .filter(({ kind }) => isTrainable(kind))
            .map(({ name }) => name)
            .sort(),
        );
        expect(search.size).toMatchObject({
          params: countNetwork(description).params,
          multAdds: countNetwork(description).multAdds,
        });
        genotypes.add(JSON.stringify(search.genotype));
        await advance(search, place, 4);
      }
      expect(genotypes.size).toBeGreaterThan(1);
    },
  );

  it("keeps the weights of an operation that leaves the support", async () => {
    const search = await start({ codeLearningRate: 0.05 });
    await search.step(0, 0);
    const before = search.network.stateDict();
    const place = { epoch: 0, step: 1 };
    await advance(search, place, 3);
    const names = new Set(search.network.trainable.keys());
    const left = [...before.keys()].filter((name) => name.endsWith(".weight") && !names.has(name));
    expect(left.length).toBeGreaterThan(0);
    const atLeaving = search.network.stateDict();
    await advance(search, place, 4);
    const returned = new Set(search.network.trainable.keys());
    for (const name of left)
      if (!returned.has(name)) expect(search.network.stateDict().get(name)).toEqual(atLeaving.get(name));
  });
});

describe("the end of an epoch", () => {
  it("evaluates the network as it was trained, then recovers every node from its b", async () => {
    const search = await start({ codeLearningRate: 0.05 });
    const config = searchConfig({ mode: "two-stage" });
    const sources = await bundledSources(config);
    for (let index = 0; index < 4; index++) await search.step(0, index);
    const before = search.codes;
    const expected = (await search.evaluate(sources.validation!))!;
    const outcome = (await search.endEpoch(0, { loss: 0, accuracy: 0, images: 0, seconds: 0 }, () => false))!;
    expect(outcome.score).toBe(expected.top1);
    expect(outcome.record).toMatchObject({
      validationLoss: expected.loss,
      validationAccuracy: expected.top1,
      genotype: search.genotype,
      parameters: search.size.params,
      multiplyAdds: search.size.multAdds,
    });
    for (const { group, node, value } of listNodes(search.codes)) {
      expect(value.compressed).toEqual(before[group][node].compressed);
      expect(value.adam).toEqual(before[group][node].adam);
      const options = { method: config.recovery, sparsity: 2, lambda: config.lambda };
      const found = recover(value.measurement, value.compressed, options);
      expect(value.recovery).toEqual(found);
      expect(value.frozen).toBe(false);
    }
    const records = outcome.record.nodes as {
      cell: string;
      node: number;
      distance: number;
      frozen: boolean;
    }[];
    expect(records.map(({ cell, node }) => `${cell} ${node}`)).toEqual(
      ["normal", "reduction"].flatMap((cell) => [2, 3, 4, 5].map((node) => `${cell} ${node}`)),
    );
    for (const [index, { group, node, value }] of listNodes(search.codes).entries()) {
      const difference = value.recovery.code.map((z, i) => z - before[group][node].recovery.code[i]);
      expect(records[index].distance).toBeCloseTo(Math.hypot(...difference), 12);
    }
    expect(outcome.lines).toHaveLength(2);
  });

  it("changes nothing when it is stopped, and can be repeated", async () => {
    const search = await start();
    const figures = { loss: 0, accuracy: 0, images: 0, seconds: 0 };
    await search.step(0, 0);
    const before = search.codes;
    expect(await search.endEpoch(0, figures, () => true)).toBeNull();
    expect(search.codes).toBe(before);
    expect(await search.endEpoch(0, figures, () => false)).not.toBeNull();
  });
});

describe("a search", () => {
  it("learns: one batch is overfitted to a small fraction of a guess's loss", async () => {
    const source = await oneBatch();
    const config = searchConfig({
      epochs: 80,
      learningRate: 0.05,
      recovery: "path",
      measurement: "gaussian",
    });
    const sources = givenSources(source, source);
    const search = new TwoStageSearch(config, sources, networkShape(config, sources));
    let loss = Number.POSITIVE_INFINITY;
    // No epoch ends: the connections stay, and what falls is the loss of one network.
    for (let epoch = 0; epoch < 80; epoch++) ({ loss } = await search.step(epoch, 0));
    search.dispose();
    expect(loss).toBeLessThan(Math.log(10) / 10);
  });

  it("of the same seed is the same bit for bit, of another one is not", async () => {
    const [first, second, other] = [await start(), await start(), await start({ seed: 6 })];
    for (const search of [first, second, other]) await advance(search, { epoch: 0, step: 0 }, 6);
    expect(second.network.stateDict()).toEqual(first.network.stateDict());
    expect(second.codes).toEqual(first.codes);
    expect(compressed(other.codes)).not.toEqual(compressed(first.codes));
  });

  it("with distinct predecessors never takes both connections of a node from one", async () => {
    const search = await start({ distinctPredecessors: true, codeLearningRate: 0.05 });
    const place = { epoch: 0, step: 0 };
    for (let epoch = 0; epoch < 3; epoch++) {
      for (const { value } of listNodes(search.connections))
        expect(new Set(value.map(({ predecessor }) => predecessor)).size).toBe(2);
      await advance(search, place, 4);
    }
  });

  it("within a size budget refuses updates that exceed it, and says what it needs at least", async () => {
    const unlimited = await start();
    const search = await start({ maxParams: unlimited.size.params, codeLearningRate: 0.05 });
    const place = { epoch: 0, step: 0 };
    for (let epoch = 0; epoch < 3; epoch++) {
      expect(search.size.params).toBeLessThanOrEqual(unlimited.size.params);
      await advance(search, place, 4);
    }
    await expect(start({ maxParams: 10 })).rejects.toSatisfy(
      (error) => error instanceof IstaError && error.code === "BUDGET_IMPOSSIBLE",
    );
  });
});
