// Absorption of the architecture into the weights (Yang et al. 2020, section 3.4): w * BN(x) is a batch norm itself.

import {
  type NetworkDescription,
  type NetworkShape,
  networkLayout,
  normPlacements,
  superNetwork,
} from "../space/layout.js";
import { parameterList } from "../space/parameters.js";
import type { StateDict } from "./parameters.js";

/**
 * The state dict of the plain evaluation network that computes what the super-net does with these weights of connections:
 * edges are renumbered as kept connections, and in the last batch norm of each operation gamma' = w * gamma, beta' = w * beta.
 * @param weights w_S per intermediate node, in the order of its connections
 */
export function absorbWeights(
  superNet: StateDict,
  connections: NetworkDescription["connections"],
  shape: NetworkShape,
  weights: Readonly<Record<"normal" | "reduction", readonly ArrayLike<number>[]>>,
): StateDict {
  const from = superNetwork(shape, normPlacements.oneStageSuperNet, connections);
  const to = { ...from, form: "evaluation", norms: normPlacements.normalisedEvaluation } as const;
  const factors = new Map<string, number>();
  const renamed = new Map<string, string>();
  const target = networkLayout(to);
  for (const [index, cell] of networkLayout(from).cells.entries()) {
    for (const [number, edge] of cell.edges.entries()) {
      const connection = cell.edges.slice(0, number).filter(({ node }) => node === edge.node).length;
      renamed.set(edge.name, target.cells[index].edges[number].name);
      factors.set(edge.name, weights[cell.type][edge.node][connection]);
    }
  }
  const result: StateDict = new Map();
  const parameters = parameterList(from);
  // The last gamma and beta of an edge in state-dict order are those of its last batch norm.
  const lastOf = new Map<string, string>();
  for (const { name, kind, edge } of parameters)
    if (edge && (kind === "gamma" || kind === "beta")) lastOf.set(`${edge.name} ${kind}`, name);
  for (const { name, kind, edge } of parameters) {
    const stored = superNet.get(name);
    if (stored === undefined) continue;
    const newName = edge === undefined ? name : `${renamed.get(edge.name)}${name.slice(edge.name.length)}`;
    const factor =
      edge !== undefined && lastOf.get(`${edge.name} ${kind}`) === name ? factors.get(edge.name)! : 1;
    const data =
      stored.data instanceof BigInt64Array || factor === 1
        ? stored.data
        : stored.data.map((value) => value * factor);
    result.set(newName, { shape: stored.shape, data });
  }
  return result;
}
