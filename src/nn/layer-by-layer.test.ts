// Fused branches and compositions against libtorch's own operators, layer by layer: logits, gradients, running statistics.
import { afterEach, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { gradients } from "../engine/autograd.js";
import { Device } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { liveTensorCount, scope, Tensor } from "../engine/tensor.js";
import { darts, dartsSpace } from "../space/darts/space.js";
import { vectorNames } from "../space/mixture.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { maxPool3x3, separable, skipConnect } from "../space/operations/index.js";
import {
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  randomSelection,
  superNetwork,
} from "../space/space.js";
import { type Features, joined, type LayerContext, runLayer } from "./layers.js";
import { Network } from "./network.js";
import { type NetworkPlan, planNetwork } from "./plan.js";
import { type StateDict, TensorStore } from "./tensor-store.js";

const shape: NetworkShape = {
  cells: 3,
  channels: 4,
  inputChannels: 3,
  classes: 5,
  imageHeight: 12,
  imageWidth: 8,
  stem: "cifar",
  auxiliary: false,
};
const seed = 3;
const batchSize = 8;

const open: { dispose(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.dispose();
  expect(liveTensorCount()).toBe(0);
});

type Vectors = ReadonlyMap<string, Tensor>;
type Forward = (images: Tensor, vectors: Vectors) => Tensor;

/** Every layer of the graph by itself. */
function layerByLayer(plan: NetworkPlan, images: Tensor, vectors: Vectors): Tensor {
  const { layers, logits } = plan.graph;
  const context: LayerContext = {
    plan,
    training: true,
    momentum: 0.1,
    epsilon: 1e-5,
    vector: (name) => vectors.get(name) ?? null,
    mask: () => null,
  };
  const results: Features[] = [[images]];
  for (const layer of layers.slice(1)) {
    const inputs = layer.inputs.map((value) => results[value]);
    results.push(
      layer.kind === "add"
        ? [inputs.map(joined).reduce((sum, term) => operators.add(sum, term))]
        : runLayer(layer, inputs, context),
    );
  }
  return joined(results[logits]);
}

/** Logits of a training batch, and the gradients of a loss, by name. */
function passOf({ space }: NetworkDescription, trainable: ReadonlyMap<string, Tensor>, forward: Forward) {
  return scope(() => {
    const random = RandomStream.named(1, "images");
    const { inputChannels, imageHeight, imageWidth, classes } = shape;
    const size = [batchSize, inputChannels, imageHeight, imageWidth];
    const pixels = Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => random.normal());
    const vectors = new Map(
      space.choices.map((choice) => {
        const values = Float32Array.from({ length: choice.kept }, () => random.normal());
        return [vectorNames.candidates(choice), Tensor.from(values).setRequiresGrad(true)];
      }),
    );
    const labels = Tensor.from(BigInt64Array.from({ length: batchSize }, (_, i) => BigInt(i % classes)));
    const logits = forward(Tensor.from(pixels, size), vectors);
    const loss = operators.crossEntropy(logits, labels, null, 1, -100, 0);
    const leaves = [...trainable, ...vectors];
    const slopes = gradients(
      loss,
      leaves.map(([, tensor]) => tensor),
    );
    const results = new Map([["logits", logits.toFloat32Array()]]);
    for (const [index, [name]] of leaves.entries()) {
      const slope = slopes[index];
      if (slope !== null) results.set(name, slope.toFloat32Array());
    }
    return results;
  });
}

function expectClose(found: Float32Array, expected: Float32Array, name: string, floor: number): void {
  expect(found.length, name).toBe(expected.length);
  const size = Math.max(floor, ...expected.map(Math.abs));
  const worst = Math.max(...found.map((value, i) => Math.abs(value - expected[i])));
  expect(worst / size, name).toBeLessThan(1e-4);
}

/** Both ways on the same weights. Returns what has no kernel. */
function compare(description: NetworkDescription): string[] {
  const network = new Network(description, { seed });
  const store = new TensorStore(seed, Device.cpu);
  open.push(network, store);
  const plan = planNetwork(description.space.graph(description), store);
  const found = passOf(
    description,
    network.trainable,
    (images, weights) => network.forward(images, { training: true, weights }).logits,
  );
  const expected = passOf(description, plan.trainable, (images, weights) =>
    layerByLayer(plan, images, weights),
  );
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) expectClose(found.get(name)!, values, name, 1e-2);
  const statistics = (state: StateDict) =>
    [...state].filter(([name]) => /\.running_(mean|var)$/.test(name)) as [string, { data: Float32Array }][];
  const after = new Map(statistics(network.stateDict()));
  for (const [name, { data }] of statistics(store.stateDict()))
    expectClose(after.get(name)!.data, data, name, 1e-2);
  return network.compositions;
}

it.each([darts, nasBench201])("random networks of $name, of every kind", (space) => {
  for (let draw = 0; draw < 6; draw++) {
    const selection = randomSelection(space, RandomStream.named(draw, "layer by layer"));
    const { plainEvaluation, normalisedEvaluation, ...superNets } = space.norms;
    for (const norms of [plainEvaluation, normalisedEvaluation])
      expect(compare(evaluationNetwork({ space, selection }, shape, norms))).toEqual([]);
    for (const norms of Object.values(superNets))
      expect(compare(superNetwork(space, shape, norms, selection))).toEqual([]);
  }
});

it("a pattern without a kernel is computed as a composition, listed, and gives the same numbers", () => {
  const colour = { fill: "#ffffff", ink: "#000000" };
  const space = dartsSpace({
    name: "large-kernels",
    description: "separable convolutions that no kernel is for",
    operations: [
      separable("sep_conv_9x9", { kernel: 9, stages: 2 }, colour),
      separable("dil_conv_3x3_3", { kernel: 3, dilation: 3, stages: 1 }, colour),
      maxPool3x3,
      skipConnect,
    ],
  });
  // All four operations on the inputs of the first nodes, so that both strides occur.
  const selection = space.choices.map((_, choice) => (choice % 2 === 0 ? [0, 5] : [2, 7]));
  for (const norms of Object.values(space.norms))
    expect(compare(superNetwork(space, shape, norms, selection)).sort()).toEqual([
      "separable 3x3 dilation 3",
      "separable 3x3 dilation 3 stride 2",
      "separable 9x9",
      "separable 9x9 stride 2",
    ]);
  const onlySkips = space.choices.map(() => [2, 7]);
  expect(compare(superNetwork(space, shape, space.norms.oneStageSuperNet, onlySkips))).toEqual([]);
});
