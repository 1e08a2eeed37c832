// Networks that change their connections, their state dicts, determinism, memory over many steps.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryUsage } from "node:process";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { gradients } from "../engine/autograd.js";
import { engineInformation, setThreads } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { Sgd } from "../engine/sgd.js";
import { liveTensorCount, scope, Tensor } from "../engine/tensor.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import { stateDictFrom } from "../formats/state-dict.js";
import { countNetwork } from "../space/counts.js";
import { darts } from "../space/darts/space.js";
import {
  allCandidates,
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  type Selection,
  superNetwork,
} from "../space/space.js";
import { tensorList } from "../space/tensors.js";
import { Network } from "./network.js";
import type { StateDict } from "./tensor-store.js";

const shape: NetworkShape = {
  cells: 3,
  channels: 4,
  inputChannels: 3,
  classes: 5,
  imageHeight: 8,
  imageWidth: 8,
  stem: "cifar",
  auxiliary: false,
};

/** Every node takes two operations on the cell's inputs. */
const uniform = (first: string, second: string): Selection =>
  darts.choices.map(({ candidates }) => [
    candidates.findIndex(({ operation, predecessor }) => operation === first && predecessor === 0),
    candidates.findIndex(({ operation, predecessor }) => operation === second && predecessor === 1),
  ]);

const published = (name: string) => ({ space: darts, selection: darts.named[name].selection });
const separable = uniform("sep_conv_3x3", "dil_conv_5x5");
const pooling = uniform("max_pool_3x3", "skip_connect");
const superNet = (selection: Selection): NetworkDescription =>
  superNetwork(darts, shape, darts.norms.twoStageSuperNet, selection);

const open: Network[] = [];
function networkOf(description: NetworkDescription, seed = 1): Network {
  const network = new Network(description, { seed });
  open.push(network);
  return network;
}
afterEach(() => {
  for (const network of open.splice(0)) network.dispose();
  setThreads(1);
  // No test leaves a tensor behind: neither do the methods that it called.
  expect(liveTensorCount()).toBe(0);
});

function batch({ inputChannels, imageHeight, imageWidth, classes } = shape) {
  const count = 8;
  const stream = RandomStream.named(3, "images");
  const data = Float32Array.from({ length: count * inputChannels * imageHeight * imageWidth }, () =>
    stream.normal(),
  );
  return {
    images: Tensor.from(data, [count, inputChannels, imageHeight, imageWidth]),
    labels: Tensor.from(BigInt64Array.from({ length: count }, (_, i) => BigInt(i % classes))),
  };
}

/** One step of SGD; in a scope of its own. */
function trainingStep(network: Network, sgd: Sgd, imageShape = shape): number {
  return scope(() => {
    const { images, labels } = batch(imageShape);
    const { logits } = network.forward(images, { training: true });
    const loss = operators.crossEntropy(logits, labels, null, 1, -100, 0);
    const slopes = gradients(loss, [...network.trainable.values()]);
    sgd.step(network.trainable, slopes, {
      learningRate: 0.05,
      momentum: 0.9,
      weightDecay: 3e-4,
      gradientClip: 5,
    });
    return loss.item();
  });
}

function train(network: Network, steps: number): number {
  const sgd = new Sgd();
  let loss = 0;
  for (let step = 0; step < steps; step++) loss = trainingStep(network, sgd);
  sgd.dispose();
  return loss;
}

const logitsOf = (network: Network): Float32Array =>
  scope(() => network.forward(batch().images, { training: false }).logits.toFloat32Array());

describe("tensors of a network", () => {
  it("have the names, shapes and number that the description promises", () => {
    const shapeWithHead = { ...shape, auxiliary: true };
    for (const norms of Object.values(darts.norms)) {
      for (const description of [
        evaluationNetwork(published("ISTA_onestage"), shapeWithHead, norms),
        superNet(separable),
      ]) {
        const network = networkOf(description);
        const expected = tensorList(description).map(({ name, shape }) => `${name} ${shape}`);
        const found = [...network.stateDict()].map(([name, { shape }]) => `${name} ${shape}`);
        expect(found.sort()).toEqual(expected.sort());
        const trained = [...network.trainable.values()].reduce((sum, tensor) => sum + tensor.elementCount, 0);
        expect(trained).toBe(countNetwork(description).withAuxiliary.params);
      }
    }
  });

  it("begin as PyTorch's layers do: weights uniform within 1 / sqrt(fan in), norms at (1, 0), statistics at (0, 1)", () => {
    const state = networkOf(evaluationNetwork(published("ISTA_twostage"), shape)).stateDict();
    const all = (name: string): number[] => Array.from(state.get(name)!.data as Float32Array);
    for (const [name, fanIn] of [
      ["stem.0.weight", 27],
      ["cells.0._ops.1.op.1.weight", 9],
      ["classifier.weight", 64],
    ] as const) {
      const bound = 1 / Math.sqrt(fanIn);
      const largest = Math.max(...all(name).map(Math.abs));
      expect(largest, name).toBeLessThanOrEqual(bound);
      expect(largest, name).toBeGreaterThan(0.8 * bound);
    }
    for (const [suffix, value] of [
      ["stem.1.weight", 1],
      ["stem.1.bias", 0],
      ["stem.1.running_mean", 0],
      ["stem.1.running_var", 1],
    ] as const)
      expect(new Set(all(suffix))).toEqual(new Set([value]));
  });

  it("come from the seed and their names alone, whatever was connected before", () => {
    const direct = networkOf(superNet(separable)).stateDict();
    const detour = networkOf(superNet(pooling));
    detour.connect(separable);
    const later = detour.stateDict();
    for (const [name, tensor] of direct) expect(later.get(name), name).toEqual(tensor);
    expect(networkOf(superNet(separable), 2).stateDict().get("stem.0.weight")).not.toEqual(
      direct.get("stem.0.weight"),
    );
  });
});

describe("connections that change", () => {
  it("keep the weights and statistics of an operation that leaves for its return", () => {
    const network = networkOf(superNet(separable));
    train(network, 2);
    const before = network.stateDict();
    const names = [...network.trainable.keys()].filter((name) => name.includes("._ops."));
    network.connect(pooling);
    expect([...network.trainable.keys()].filter((name) => names.includes(name))).toEqual([]);
    train(network, 2);
    const during = network.stateDict();
    for (const name of names) expect(during.get(name), name).toEqual(before.get(name));
    expect(during.get("stem.0.weight")).not.toEqual(before.get("stem.0.weight"));
    network.connect(separable);
    const after = network.stateDict();
    const edges = [...before.keys()].filter((name) => name.includes("._ops."));
    for (const name of edges) expect(after.get(name), name).toEqual(before.get(name));
    train(network, 1);
    for (const name of names) expect(network.stateDict().get(name), name).not.toEqual(before.get(name));
  });

  it("give the same network as one that had them from the start with the same weights", () => {
    const network = networkOf(superNet(pooling));
    train(network, 2);
    network.connect(separable);
    const fresh = networkOf(superNet(separable), 9);
    const own = new Set(tensorList(superNet(separable)).map(({ name }) => name));
    fresh.loadStateDict(new Map([...network.stateDict()].filter(([name]) => own.has(name))));
    expect(logitsOf(network)).toEqual(logitsOf(fresh));
  });

  it("free the tensors of operations that are forgotten, and say how many bytes", () => {
    const live = liveTensorCount();
    const small = networkOf(superNet(pooling));
    const smallBytes = small.parameterBytes;
    const smallTensors = liveTensorCount() - live;
    const network = networkOf(superNet(pooling));
    network.connect(separable);
    network.connect(pooling);
    const [bytes, tensors] = [network.parameterBytes, liveTensorCount()];
    expect(bytes).toBeGreaterThan(smallBytes);
    const freed = network.forgetAllBut(pooling);
    expect(freed).toBe(bytes - smallBytes);
    expect(network.parameterBytes).toBe(smallBytes);
    expect(liveTensorCount()).toBeLessThan(tensors);
    expect(liveTensorCount() - live).toBe(2 * smallTensors);
    expect([...network.parameterNames].sort()).toEqual([...small.parameterNames].sort());
    expect(network.stateDict().size).toBe(small.stateDict().size);
    train(network, 1);
  });
});

describe("state dicts", () => {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-network-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const description = evaluationNetwork(published("ISTA_onestage"), shape);

  it("carry a network through a safetensors file", () => {
    const network = networkOf(description);
    train(network, 3);
    const path = join(folder, "model.safetensors");
    writeSafetensors(path, network.stateDict());
    const other = networkOf(description, 2);
    other.loadStateDict(stateDictFrom(readSafetensors(path).tensors));
    expect(other.stateDict()).toEqual(network.stateDict());
    expect(other.stateDict().get("stem.1.num_batches_tracked")!.data).toEqual(BigInt64Array.of(3n));
    expect(logitsOf(other)).toEqual(logitsOf(network));
  });

  function problemsOf(change: (state: StateDict) => void, candidates?: Selection): string {
    const network = networkOf(candidates === undefined ? description : superNet(separable));
    const before = network.stateDict();
    const state = new Map(before);
    change(state);
    let message = "";
    try {
      network.loadStateDict(state, candidates);
    } catch (error) {
      expect(error).toBeInstanceOf(IstaError);
      expect((error as IstaError).code).toBe("WEIGHTS_MISMATCH");
      message = (error as IstaError).message;
      expect(network.stateDict()).toEqual(before);
    }
    return message;
  }

  const single = { shape: [1], data: Float32Array.of(1) };
  const everything = allCandidates(darts);

  it("that do not fit are refused with all that is missing, unknown or misshapen, and nothing is changed", () => {
    const message = problemsOf((state) => {
      state.delete("stem.0.weight");
      state.delete("classifier.bias");
      state.set("stem.1.weight", single);
      state.set("stem.1.num_batches_tracked", { shape: [], data: Float32Array.of(1) });
      state.set("cells.7.what", single);
    });
    expect(message).toContain("2 missing: stem.0.weight, classifier.bias");
    expect(message).toContain("1 unknown: cells.7.what");
    expect(message).toContain("2 misshapen: stem.1.num_batches_tracked of the wrong number format");
    expect(message).toContain("stem.1.weight [1] instead of [12]");
    expect(message).not.toContain("\n");
  });

  it("of many unknown tensors are shortened to the first 20", () => {
    const message = problemsOf((state) => {
      for (let i = 0; i < 30; i++) state.set(`x.${i}`, single);
    });
    expect(message).toContain("30 unknown: x.0, x.1,");
    expect(message).toContain("x.19, ...");
    expect(message).not.toContain("x.20");
  });

  it("may lack counters of batches, and of a search any tensor of a candidate that is not connected", () => {
    expect(problemsOf((state) => state.delete("stem.1.num_batches_tracked"))).toBe("");
    const name = "cells.0._ops.0._ops.3.op.1.weight";
    expect(problemsOf((state) => state.delete(name), everything)).toContain(`1 missing: ${name};`);
    const other = { shape: [4, 1, 5, 5], data: new Float32Array(100) };
    expect(problemsOf((state) => state.set("cells.0._ops.0._ops.4.op.1.weight", other), everything)).toBe("");
    expect(
      problemsOf((state) => state.set("cells.0._ops.0._ops.9.op.1.weight", other), everything),
    ).toContain("1 unknown");
  });

  it("with an auxiliary head fit a network without one", () => {
    const withHead = networkOf({ ...description, shape: { ...shape, auxiliary: true } });
    const network = networkOf(description, 4);
    network.loadStateDict(withHead.stateDict());
    expect(logitsOf(network)).toEqual(logitsOf(withHead));
  });
});

describe("determinism", () => {
  const run = (threads: number): { loss: number; state: StateDict; logits: Float32Array } => {
    setThreads(threads);
    expect(engineInformation().threads).toBe(threads);
    const network = networkOf(evaluationNetwork(published("ISTA_onestage"), shape));
    const loss = train(network, 3);
    return { loss, state: network.stateDict(), logits: logitsOf(network) };
  };

  it.each([1, 2])("the same seed and %d threads give the same bits", (threads) => {
    expect(run(threads)).toEqual(run(threads));
  });

  it("other numbers of threads agree to rounding", () => {
    const [one, two] = [run(1), run(2)];
    const worst = Math.max(...one.logits.map((value, i) => Math.abs(value - two.logits[i])));
    console.log(`logits after 3 steps with 1 and 2 threads differ by ${worst.toExponential(1)}`);
    expect(worst / Math.max(...one.logits.map(Math.abs))).toBeLessThan(1e-4);
  });
});

describe("cost of a step", () => {
  it("depends on the connections in the support, not on the number of candidates", () => {
    const counts = (connections: Selection, before: readonly Selection[]) => {
      const network = networkOf(superNet(before[0] ?? connections));
      for (const other of before) network.connect(other);
      network.connect(connections);
      return scope(() => {
        const live = liveTensorCount();
        const { logits } = network.forward(batch().images, { training: true });
        const forward = liveTensorCount() - live;
        const loss = operators.sum(logits);
        gradients(loss, [...network.trainable.values()]);
        return { forward, all: liveTensorCount() - live, trainable: network.trainable.size };
      });
    };
    const others: Selection[] = (
      [
        ["sep_conv_3x3", "sep_conv_5x5"],
        ["dil_conv_3x3", "dil_conv_5x5"],
        ["max_pool_3x3", "avg_pool_3x3"],
      ] as const
    ).map(([first, second]) => uniform(first, second));
    const alone = counts(separable, []);
    expect(counts(separable, others)).toEqual(alone);
    // A node is one operator however many connections it has: the number of results is that of the nodes.
    expect(counts(pooling, []).forward).toBe(alone.forward);
    expect(alone.trainable).toBe(
      tensorList(superNet(separable)).filter(({ kind }) => ["weight", "bias", "gamma", "beta"].includes(kind))
        .length,
    );
  });
});

describe("memory", () => {
  it("is after 1,000 training steps what it was", () => {
    const largeImages = { ...shape, channels: 2, imageHeight: 16, imageWidth: 16 };
    const network = networkOf(superNetwork(darts, largeImages, darts.norms.oneStageSuperNet, separable));
    const sgd = new Sgd();
    const resident = (): number => memoryUsage().rss / 2 ** 20;
    for (let step = 0; step < 100; step++) trainingStep(network, sgd, largeImages);
    const [live, before] = [liveTensorCount(), resident()];
    for (let step = 0; step < 1000; step++) {
      trainingStep(network, sgd, largeImages);
      if (step % 100 === 0) expect(liveTensorCount()).toBe(live);
    }
    const growth = resident() - before;
    console.log(
      `1,000 steps: ${live} tensors before and after, resident memory ${before.toFixed(0)} MB, growth ${growth.toFixed(1)} MB`,
    );
    expect(liveTensorCount()).toBe(live);
    // A single feature map of the stem (8 x 6 x 16 x 16) that was not freed in each step would be 47 MB.
    expect(growth).toBeLessThan(30);
    sgd.dispose();
  });
});
