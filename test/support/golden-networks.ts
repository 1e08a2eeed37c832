// Passes through networks of golden cases: what a network computes, by golden key.
import { expect } from "vitest";
import { operators } from "../../src/engine/operators.js";
import { scope, Tensor } from "../../src/engine/tensor.js";
import { type ForwardOptions, Network } from "../../src/nn/network.js";
import type { StateDict, StoredTensor } from "../../src/nn/tensor-store.js";
import { vectorNames } from "../../src/space/mixture.js";
import type { NetworkDescription, NetworkShape } from "../../src/space/space.js";
import { type NormPlacement, type Space, superNetwork } from "../../src/space/space.js";
import { supportsOf, weightsOf } from "../../src/sparse/codes.js";
import { compressedGradient } from "../../src/sparse/weights.js";
import {
  awayFromKinks,
  expectGolden,
  type GoldenCase,
  goldenCases,
  gradientResults,
  type Results,
} from "./golden.js";
import { goldenCodes, goldenPlace, goldenSupports, isCodeKey, type SearchFields } from "./golden-codes.js";

const auxiliaryWeight = 0.4;

/** The state before, without the codes. */
export function goldenState(golden: GoldenCase): StateDict {
  const state: StateDict = new Map();
  for (const prefix of ["parameter.", "buffer."])
    for (const key of golden.keys(prefix))
      if (!isCodeKey(key)) state.set(key.slice(prefix.length), golden.tensor(key) as StoredTensor);
  return state;
}

/** The network with the weights of the case, which must be exactly the tensors that it has. */
export function loadedNetwork(golden: GoldenCase, description: NetworkDescription): Network {
  const network = new Network(description, { seed: 0 });
  network.loadStateDict(goldenState(golden));
  return network;
}

const crossEntropy = (logits: Tensor, labels: Tensor): Tensor =>
  operators.crossEntropy(logits, labels, null, 1, -100, 0);

/** One pass through the network, in a scope of the caller's; `extra` are further leaves, by a key of the caller's. */
export function passResults(
  golden: GoldenCase,
  network: Network,
  options: ForwardOptions,
  extra: ReadonlyMap<string, Tensor> = new Map(),
): Results {
  const { data, shape } = golden.tensor("input.images");
  const images = Tensor.from(data as Float32Array, shape).setRequiresGrad(true);
  const labels = Tensor.from(golden.tensor("input.labels").data as BigInt64Array);
  const { logits, auxiliaryLogits } = network.forward(images, options);
  const main = crossEntropy(logits, labels);
  const loss =
    auxiliaryLogits === null
      ? main
      : operators.add(main, operators.scale(crossEntropy(auxiliaryLogits, labels), auxiliaryWeight));
  const leaves = new Map([["input.images", images], ...extra]);
  for (const [name, tensor] of network.trainable) leaves.set(`parameter.${name}`, tensor);
  const results = gradientResults(loss, leaves);
  results.set("output.logits", logits.toFloat32Array());
  results.set("output.loss", [loss.item()]);
  if (auxiliaryLogits !== null) results.set("output.auxiliary_logits", auxiliaryLogits.toFloat32Array());
  for (const [name, { data }] of network.stateDict()) {
    if (data instanceof BigInt64Array) expect(data[0], name).toBe(options.training ? 1n : 0n);
    else if (golden.has(`buffer.${name}`)) results.set(`after.buffer.${name}`, data);
  }
  return results;
}

/** A super-net with golden codes: w_S(b) of every choice, one pass, and gradients up to those of b, as a search takes them. */
export const checkSuperNet = (
  golden: GoldenCase<SearchFields>,
  space: Space,
  shape: NetworkShape,
  norms: NormPlacement,
): Promise<void> => awayFromKinks(golden, (nudged) => checkPass(nudged, space, shape, norms));

function checkPass(
  golden: GoldenCase<SearchFields>,
  space: Space,
  shape: NetworkShape,
  norms: NormPlacement,
): void {
  const { choices } = space;
  const { supports, training } = golden.description;
  const codes = goldenCodes(golden, choices);
  expect(supportsOf(codes)).toEqual(goldenSupports(supports, choices));
  const network = loadedNetwork(golden, superNetwork(space, shape, norms, supportsOf(codes)));
  const values = weightsOf(codes);
  const results = scope(() => {
    const weights = new Map<string, Tensor>();
    const leaves = new Map<string, Tensor>();
    for (const [index, choice] of choices.entries()) {
      const { frozen } = codes[index];
      const vector = Tensor.from(Float32Array.from(values[index])).setRequiresGrad(!frozen);
      weights.set(vectorNames.candidates(choice), vector);
      if (!frozen) leaves.set(choice.id, vector);
    }
    const results = passResults(golden, network, { training, weights }, leaves);
    for (const [index, { id }] of choices.entries()) {
      const { group, node } = goldenPlace(choices, index);
      results.set(`output.${group}.w.${node}`, values[index]);
      const slope = results.get(`gradient.${id}`);
      results.delete(`gradient.${id}`);
      if (slope === undefined) continue;
      const { measurement, recovery } = codes[index];
      const gradient = compressedGradient(measurement, recovery.support, Float64Array.from(slope));
      results.set(`gradient.parameter.${group}.b.${node}`, gradient);
    }
    return results;
  });
  network.dispose();
  expectGolden(golden, results);
}

/** Rows for `it.each`: the cases of a family whose names begin with one of the prefixes (all where there is none). */
export const goldenRows = <Fields>(family: string, ...prefixes: string[]): [string, GoldenCase<Fields>][] =>
  goldenCases<Fields>(family)
    .filter(({ name }) => prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix)))
    .map((golden) => [golden.name, golden]);
