// Statistics computed again: the mean over batches, of the connections that are there, without a trace of what was before.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundledSources, trainConfig } from "../../test/support/courses.js";
import { liveTensorCount, Tensor } from "../engine/tensor.js";
import { Network } from "../nn/network.js";
import type { StateDict } from "../nn/tensor-store.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { superNetwork } from "../space/space.js";
import { networkShape } from "./shape.js";
import type { Sources } from "./sources.js";
import { recomputeStatistics } from "./statistics.js";

const { named, norms } = nasBench201;
const convolutions = named.all_nor_conv_3x3.selection;

let sources: Sources;
let network: Network;
beforeAll(async () => {
  const config = trainConfig({});
  sources = await bundledSources(config);
  const description = superNetwork(
    nasBench201,
    networkShape(config, sources),
    norms.twoStageSuperNet,
    convolutions,
  );
  network = new Network(description, { seed: 1 });
});
afterAll(() => network.dispose());

const statistics = (): Map<string, Float32Array> =>
  new Map(
    [...network.saveStatistics()].flatMap(([name, { data }]) =>
      data instanceof Float32Array ? [[name, data]] : [],
    ),
  );
const changed = (state: StateDict): StateDict =>
  new Map(
    [...state].map(([name, { shape, data }]) => [
      name,
      { shape, data: data instanceof Float32Array ? data.map((value) => 3 * value + 5) : data },
    ]),
  );

/** The statistics of one batch alone. */
async function ofBatch(epoch: number, index: number): Promise<Map<string, Float32Array>> {
  const { training } = sources;
  await recomputeStatistics(
    network,
    { ...training, batchCount: 1, batch: () => training.batch(epoch, index) },
    1,
  );
  return statistics();
}

describe("recomputeStatistics", () => {
  it("gives the mean of the batches' statistics, in the next epoch's batches where one has too few", async () => {
    const { batchCount } = sources.training;
    const count = batchCount + 1;
    const parts = [];
    for (let index = 0; index < count; index++)
      parts.push(await ofBatch(Math.floor(index / batchCount), index % batchCount));
    await recomputeStatistics(network, sources.training, count);
    const found = statistics();
    expect(found.size).toBeGreaterThan(40);
    for (const [name, values] of found)
      for (const [i, value] of values.entries()) {
        const mean = parts.reduce((sum, part) => sum + part.get(name)![i], 0) / count;
        expect(Math.abs(value - mean), name).toBeLessThan(1e-5 * Math.max(1, Math.abs(mean)));
      }
  });

  it("depends on nothing that was before, and changes nothing but statistics", async () => {
    await recomputeStatistics(network, sources.training, 2);
    const [expected, weights] = [statistics(), network.stateDict()];
    network.loadStatistics(changed(network.saveStatistics()));
    await recomputeStatistics(network, sources.training, 2);
    expect(statistics()).toEqual(expected);
    for (const [name, tensor] of network.stateDict())
      if (!name.endsWith(".num_batches_tracked")) expect(tensor, name).toEqual(weights.get(name));
  });

  it("is of the weights of the candidates, and leaves the statistics of other candidates alone", async () => {
    await recomputeStatistics(network, sources.training, 1);
    const plain = statistics();
    const weights = new Map(
      nasBench201.choices.map(({ id, kept }) => [id, Tensor.from(new Float32Array(kept).fill(0.3)).keep()]),
    );
    await recomputeStatistics(network, sources.training, 1, { weights });
    for (const tensor of weights.values()) tensor.dispose();
    expect(statistics().get("lastact.0.running_var")).not.toEqual(plain.get("lastact.0.running_var"));

    const before = statistics();
    network.connect(named.ResNet_cell.selection);
    await recomputeStatistics(network, sources.training, 2);
    network.connect(convolutions);
    const after = statistics();
    // The ResNet cell has two of the six convolutions.
    const kept = [...before].filter(([name, values]) => `${after.get(name)}` === `${values}`);
    const edges = new Set([...before.keys()].filter((name) => name.includes(".edges.")));
    expect(kept.every(([name]) => edges.has(name))).toBe(true);
    expect(kept).toHaveLength((edges.size * 4) / 6);
  });

  it("keeps no tensor, and needs a batch", async () => {
    const before = liveTensorCount();
    await recomputeStatistics(network, sources.training, 3);
    expect(liveTensorCount()).toBe(before);
    await expect(recomputeStatistics(network, sources.training, 0)).rejects.toThrow(
      "expected at least 1 batch, got 0",
    );
  });
});
