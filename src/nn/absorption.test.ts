// Folding the architecture's weights into batch norms: a plain network with the super-net's outputs, on real images.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundledFolder } from "../../test/support/data.js";
import { RandomStream } from "../base/random.js";
import { type ImageSet, openDataset } from "../data/index.js";
import { scope, Tensor } from "../engine/tensor.js";
import { countNetwork } from "../space/counts.js";
import { darts } from "../space/darts/space.js";
import { vectorNames } from "../space/mixture.js";
import {
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  superNetwork,
} from "../space/space.js";
import { isTrainable, tensorList } from "../space/tensors.js";
import { absorbWeights } from "./absorption.js";
import { Network } from "./network.js";
import type { StateDict } from "./tensor-store.js";

const shape: NetworkShape = {
  cells: 4,
  channels: 4,
  inputChannels: 1,
  classes: 10,
  imageHeight: 28,
  imageWidth: 28,
  stem: "cifar",
  auxiliary: false,
};
const shapeWithHead: NetworkShape = { ...shape, auxiliary: true };

/** Random supports of as many candidates as are kept, and weights as a search may have them: of both signs, one of them zero. */
function randomArchitecture(seed: number) {
  const stream = RandomStream.named(seed, "architecture");
  const selection = darts.choices.map(({ candidates, kept }) => {
    const indices = stream.shuffle(Array.from(candidates.keys()));
    return indices.slice(0, kept).sort((a, b) => a - b);
  });
  const weights = darts.choices.map(({ kept }) =>
    Float64Array.from({ length: kept }, () => Math.fround(stream.normal())),
  );
  weights[1][0] = 0;
  return { selection, weights };
}

/** Every float tensor drawn anew, so that all scales, shifts and statistics matter. */
function randomState(description: NetworkDescription, seed: number): StateDict {
  const stream = RandomStream.named(seed, "state");
  const state: StateDict = new Map();
  for (const { name, kind, shape } of tensorList(description)) {
    const size = shape.reduce((product, side) => product * side, 1);
    const draw: Record<string, () => number> = {
      weight: () => stream.normal() * Math.sqrt(shape[0] / size),
      bias: () => 0.1 * stream.normal(),
      gamma: () => 1 + 0.2 * stream.normal(),
      beta: () => 0.2 * stream.normal(),
      running_mean: () => 0.2 * stream.normal(),
      running_var: () => 0.5 + stream.uniform(),
    };
    if (kind === "num_batches_tracked") state.set(name, { shape: [], data: BigInt64Array.of(7n) });
    else state.set(name, { shape, data: Float32Array.from({ length: size }, draw[kind]) });
  }
  return state;
}

let images: ImageSet;
const open: Network[] = [];
beforeAll(async () => {
  const dataset = await openDataset(bundledFolder);
  if (dataset.storage === "memory") images = dataset.test!;
});
afterAll(() => {
  for (const network of open) network.dispose();
});

function logitsOf(network: Network, weights?: readonly Float64Array[]): Float32Array {
  const count = 16;
  const pixels = Float32Array.from(images.images.subarray(0, count * 784), (value) => (value - 73) / 90);
  return scope(() => {
    const vectors = weights?.map((values, index): [string, Tensor] => [
      vectorNames.candidates(darts.choices[index]),
      Tensor.from(Float32Array.from(values)),
    ]);
    const batch = Tensor.from(pixels, [count, 1, 28, 28]);
    const options = { training: false, ...(vectors === undefined ? {} : { weights: new Map(vectors) }) };
    return network.forward(batch, options).logits.toFloat32Array();
  });
}

function absorbed(seed: number, networkShape = shape) {
  const { selection, weights } = randomArchitecture(seed);
  const from = superNetwork(darts, networkShape, darts.norms.oneStageSuperNet, selection);
  const state = randomState(from, seed);
  const folded = absorbWeights(state, from, weights);
  const to = evaluationNetwork({ space: darts, selection }, networkShape, darts.norms.normalisedEvaluation);
  return { from, state, weights, folded, to };
}

describe("absorption", () => {
  it.each([1, 2, 3, 4])("gives the super-net's logits on real images (architecture %d)", (seed) => {
    const { from, state, weights, folded, to } = absorbed(seed);
    const superNet = new Network(from, { seed: 0 });
    const plain = new Network(to, { seed: 0 });
    open.push(superNet, plain);
    superNet.loadStateDict(state);
    plain.loadStateDict(folded);
    const [expected, found] = [logitsOf(superNet, weights), logitsOf(plain)];
    const worst = Math.max(...found.map((value, i) => Math.abs(value - expected[i])));
    const size = Math.max(...expected.map(Math.abs));
    expect(size).toBeGreaterThan(0.01);
    expect(worst / size).toBeLessThan(1e-5);
    // The weights do matter: without them the network computes something else.
    const unweighted = logitsOf(superNet);
    expect(Math.max(...unweighted.map((value, i) => Math.abs(value - expected[i]))) / size).toBeGreaterThan(
      0.01,
    );
  });

  it("leaves exactly the tensors of the evaluation network, and its number of parameters", () => {
    for (let seed = 1; seed <= 3; seed++) {
      const { folded, to } = absorbed(seed, shapeWithHead);
      const list = tensorList(to);
      expect([...folded].map(([name, { shape }]) => `${name} ${shape}`).sort()).toEqual(
        list.map(({ name, shape }) => `${name} ${shape}`).sort(),
      );
      const counted = list
        .filter(({ kind, place }) => isTrainable(kind) && place.part !== "auxiliary")
        .reduce((sum, { name }) => sum + folded.get(name)!.data.length, 0);
      expect(counted).toBe(countNetwork(to).params);
    }
  });

  it("changes nothing outside of the operations, and not the tensors that it was given", () => {
    const { from, state, folded } = absorbed(1);
    const again = randomState(from, 1);
    for (const [name, tensor] of state) expect(again.get(name), name).toEqual(tensor);
    for (const name of [...state.keys()].filter((name) => !name.includes("._ops.")))
      expect(folded.get(name), name).toEqual(state.get(name));
  });
});
