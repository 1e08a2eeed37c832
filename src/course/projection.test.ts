// The projection gap against networks built by hand: a dense super-net, and the kept candidates with the same tensors and weights.
import { afterEach, describe, expect, it } from "vitest";
import { advance, bundledSources, searchConfig, startSearch } from "../../test/support/courses.js";
import { RandomStream } from "../base/random.js";
import { Device } from "../engine/device.js";
import { liveTensorCount, Tensor } from "../engine/tensor.js";
import { Network } from "../nn/network.js";
import { vectorEntries, vectorNames } from "../space/mixture.js";
import { findSpace } from "../space/registry.js";
import { allCandidates, randomSelection, type Selection, superNetwork } from "../space/space.js";
import { evaluate } from "./evaluate.js";
import { measureProjectionGap, projectionOf } from "./projection.js";
import { type Search, SearchCourse, searchContext } from "./search.js";
import { networkShape } from "./shape.js";
import { recomputeStatistics } from "./statistics.js";

const goOn = (): boolean => false;
const open: SearchCourse[] = [];
afterEach(() => {
  for (const course of open.splice(0)) course.dispose();
});

const tensorsOf = (values: ReadonlyMap<string, readonly number[]>): Map<string, Tensor> =>
  new Map([...values].map(([name, entries]) => [name, Tensor.from(Float32Array.from(entries))]));

/** A search over all candidates that has trained nothing, as far as its end is concerned. */
async function dense(spaceName: string, partialChannels?: number) {
  const space = findSpace(spaceName);
  const config = searchConfig({ space: spaceName, channels: 4, limitTrain: 64 });
  const sources = await bundledSources(config);
  const description = {
    ...superNetwork(space, networkShape(config, sources), space.norms.twoStageSuperNet),
    ...(partialChannels === undefined ? {} : { partialChannels }),
  };
  const random = RandomStream.named(2, "weights");
  const values = new Map(
    [...vectorEntries(description)].map(([name, entries]) => [
      name,
      entries.map(() => Math.fround(random.normal())),
    ]),
  );
  const network = new Network(description, { seed: 3 });
  const search: Partial<Search> = {
    network,
    selection: randomSelection(space, RandomStream.named(4, "selection")),
    weights: () => tensorsOf(values),
  };
  const course = new SearchCourse(searchContext(config, sources, Device.cpu, description), search as Search);
  open.push(course);
  return { course, network, values, search: search as Search, sources, space };
}

/** Entries of the vectors of a network with fewer candidates, found by what they belong to. */
function expectedWeights(
  network: Network,
  selection: Selection,
  values: ReadonlyMap<string, readonly number[]>,
) {
  const { space, partialChannels } = network.description;
  const { choices } = space;
  const weights = new Map<string, number[]>();
  for (const [index, choice] of choices.entries()) {
    const { candidates } = choice;
    const kept = selection[index];
    if (partialChannels === undefined) {
      const vector = values.get(vectorNames.candidates(choice))!;
      weights.set(
        vectorNames.candidates(choice),
        kept.map((candidate) => vector[candidate]),
      );
      continue;
    }
    const from = [...new Set(kept.map((candidate) => candidates[candidate].predecessor))];
    // All candidates, predecessor by predecessor, ascending.
    const beta = values.get(vectorNames.predecessors(choice))!;
    weights.set(
      vectorNames.predecessors(choice),
      from.map((predecessor) => beta[predecessor]),
    );
    for (const predecessor of from) {
      const vector = values.get(vectorNames.onPredecessor(choice, predecessor))!;
      const first = candidates.findIndex((one) => one.predecessor === predecessor);
      const those = kept.filter((candidate) => candidates[candidate].predecessor === predecessor);
      weights.set(
        vectorNames.onPredecessor(choice, predecessor),
        those.map((candidate) => vector[candidate - first]),
      );
    }
  }
  return weights;
}

describe.each([
  ["nas-bench-201", undefined],
  ["nas-bench-201", 2],
  ["darts", undefined],
  ["darts", 4],
] as const)("in %s, partial channels %s", (spaceName, partialChannels) => {
  it("the entries of vectors are those that the network's layers scale by", async () => {
    const { network, course } = await dense(spaceName, partialChannels);
    const { description } = network;
    for (const selection of [description.selection, course.search.selection]) {
      const entries = vectorEntries({ ...description, selection });
      const lengths = new Map<string, number>();
      for (const layer of description.space.graph({ ...description, selection }).layers) {
        if (layer.kind !== "scale") continue;
        lengths.set(layer.vector, Math.max(lengths.get(layer.vector) ?? 0, layer.index + 1));
        const { candidate } = layer.place;
        if (candidate !== undefined) expect(entries.get(layer.vector)![layer.index]).toBe(candidate);
      }
      expect(new Map([...entries].map(([name, { length }]) => [name, length]))).toEqual(lengths);
    }
  });

  it("the kept candidates keep their weights", async () => {
    const { course, network, values, search } = await dense(spaceName, partialChannels);
    const projection = projectionOf(course.search)!;
    expect(projection.selection).toBe(search.selection);
    const expected = expectedWeights(network, search.selection, values);
    expect(
      new Map([...projection.weights].map(([name, tensor]) => [name, Array.from(tensor.toFloat32Array())])),
    ).toEqual(expected);
    for (const tensor of projection.weights.values()) tensor.dispose();
  });

  it("the gap is between networks built by hand, and everything is put back", async () => {
    const { course, network, values, search, sources } = await dense(spaceName, partialChannels);
    const before = { selection: network.description.selection, state: network.stateDict() };
    const tensors = liveTensorCount();
    const projection = projectionOf(search)!;
    const found = (await measureProjectionGap(course, projection, goOn))!;
    for (const tensor of projection.weights.values()) tensor.dispose();
    expect(liveTensorCount()).toBe(tensors);
    expect(network.description.selection).toBe(before.selection);
    expect(network.stateDict()).toEqual(before.state);

    const accuracyOf = async (selection: Selection, vectors: ReadonlyMap<string, readonly number[]>) => {
      const other = new Network({ ...network.description, selection }, { seed: 3 });
      const weights = tensorsOf(vectors);
      await recomputeStatistics(other, sources.training, sources.training.batchCount, { weights });
      const { top1 } = (await evaluate(other, sources.validation!, { weights }))!;
      other.dispose();
      for (const tensor of weights.values()) tensor.dispose();
      return top1;
    };
    const whole = await accuracyOf(before.selection, values);
    const kept = await accuracyOf(search.selection, expectedWeights(network, search.selection, values));
    expect(found).toEqual({ superNetAccuracy: whole, keptAccuracy: kept, projectionGap: whole - kept });
  });
});

describe("the projection", () => {
  it("is what the method says, where it says something", async () => {
    const { search } = await dense("nas-bench-201");
    const projection = { selection: search.selection, weights: new Map() };
    expect(projectionOf({ ...search, projected: () => projection } as Search)).toBe(projection);
    expect(projectionOf({ ...search, projected: () => null } as Search)).toBeNull();
  });

  it("is none of a network that has not all that was found", async () => {
    const { search, network, space } = await dense("nas-bench-201");
    network.connect([[0], [0, 5], [0, 5, 10]]);
    expect(projectionOf({ ...search, selection: [[1], [0, 5], [0, 5, 10]] } as Search)).toBeNull();
    network.connect(allCandidates(space));
  });

  it("is not measured to the end when it is stopped, and nothing is left", async () => {
    const { course, network, search } = await dense("nas-bench-201");
    const state = network.stateDict();
    const tensors = liveTensorCount();
    const projection = projectionOf(search)!;
    for (const batches of [0, 20]) {
      let asked = 0;
      expect(
        await measureProjectionGap(course, projection, () => asked++ >= Math.min(batches, 4)),
      ).toBeNull();
    }
    for (const tensor of projection.weights.values()) tensor.dispose();
    expect(network.stateDict()).toEqual(state);
    expect(liveTensorCount()).toBe(tensors);
  });
});

it.each(["darts", "nas-bench-201"])("the gap of ISTA-NAS is zero in %s", async (space) => {
  for (const method of ["ista-two-stage", "ista-one-stage"]) {
    const course = await startSearch({ method, space, validationFraction: 0.25, codeLearningRate: 0.05 });
    open.push(course);
    await advance(course, { epoch: 0, step: 0 }, 2 * course.stepCount);
    const trainable = [...course.search.network.trainable.keys()];
    const projection = projectionOf(course.search)!;
    const { projectionGap } = (await measureProjectionGap(course, projection, goOn))!;
    for (const tensor of projection.weights.values()) tensor.dispose();
    expect(projectionGap).toBe(0);
    // Which batch norms train is part of the connections: those of active choices do not.
    expect([...course.search.network.trainable.keys()]).toEqual(trainable);
  }
});
