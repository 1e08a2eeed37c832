// Absorption of the architecture into the weights (Yang et al. 2020, section 3.4): w * BN(x) is a batch norm itself.

import { layersWithWeights } from "../space/graph.js";
import type { NetworkDescription } from "../space/space.js";
import { endingNorms, layerTensors } from "../space/tensors.js";
import type { StateDict } from "./tensor-store.js";

/**
 * The state dict of the plain evaluation network that computes what a one-stage super-net does with these weights of its candidates:
 * in the last batch norm of each kept candidate gamma' = w * gamma, beta' = w * beta, and names are those of kept candidates.
 * @param weights w_S of every choice, in the order of its selection
 */
export function absorbWeights(
  superNet: StateDict,
  network: NetworkDescription,
  weights: readonly ArrayLike<number>[],
): StateDict {
  const { space, selection } = network;
  const evaluation = { ...network, form: "evaluation", norms: space.norms.normalisedEvaluation } as const;
  // The two forms differ in the names of tensors, and in scalings, which have none.
  const from = layersWithWeights(space.graph(network));
  const to = layersWithWeights(space.graph(evaluation));
  const ending = endingNorms(from);
  const result: StateDict = new Map();
  for (const [position, layer] of from.entries()) {
    const { choice, candidate } = layer.place;
    const weight =
      ending.has(layer) && choice !== undefined ? weights[choice][selection[choice].indexOf(candidate!)] : 1;
    const names = layerTensors(to[position]).map(({ name }) => name);
    for (const [index, { name, kind }] of layerTensors(layer).entries()) {
      const stored = superNet.get(name);
      if (stored === undefined) continue;
      const factor = kind === "gamma" || kind === "beta" ? weight : 1;
      const data =
        stored.data instanceof BigInt64Array || factor === 1
          ? stored.data
          : stored.data.map((value) => value * factor);
      result.set(names[index], { shape: stored.shape, data });
    }
  }
  return result;
}
