// The inputs of a node in a network: each kept candidate as a branch, or in a partial super-net a mixture for every predecessor.
import type { GraphBuilder, Value } from "./graph.js";
import type { Operation, OperationContext } from "./operation.js";
import type { Choice, NetworkDescription } from "./space.js";

export interface NodeOptions {
  readonly network: NetworkDescription;
  /** Number of the choice in the space. */
  readonly choice: number;
  /** Results of the nodes that predecessors are numbers of. */
  readonly states: readonly Value[];
  /** Prefix of the names of a candidate's tensors; `position` counts the kept candidates of the node. */
  readonly prefix: (candidate: number, position: number) => string;
  readonly stride: (predecessor: number) => 1 | 2;
  readonly operation: (name: string) => Operation;
  /** For messages. */
  readonly name: string;
}

/** Names of the vectors of weights of a choice: of its candidates; of the candidates on one predecessor; of its predecessors. */
export const vectorNames = {
  candidates: ({ id }: Choice): string => id,
  onPredecessor: ({ id }: Choice, predecessor: number): string => `${id}/from-${predecessor}`,
  predecessors: ({ id }: Choice): string => `${id}/predecessors`,
};

/**
 * What the entries of a network's vectors of weights belong to, by the vectors' names: its kept candidates in their order, or the
 * predecessors that these are on.
 */
export function vectorEntries({
  space,
  selection,
  partialChannels,
}: Pick<NetworkDescription, "space" | "selection" | "partialChannels">): Map<string, number[]> {
  const entries = new Map<string, number[]>();
  for (const [index, choice] of space.choices.entries()) {
    if (partialChannels === undefined) {
      entries.set(vectorNames.candidates(choice), [...selection[index]]);
      continue;
    }
    const predecessors = keptPredecessors(choice, selection[index]);
    entries.set(vectorNames.predecessors(choice), predecessors);
    for (const predecessor of predecessors)
      entries.set(
        vectorNames.onPredecessor(choice, predecessor),
        keptOn(choice, selection[index], predecessor),
      );
  }
  return entries;
}

const keptPredecessors = ({ candidates }: Choice, kept: readonly number[]): number[] => [
  ...new Set(kept.map((index) => candidates[index].predecessor)),
];

const keptOn = ({ candidates }: Choice, kept: readonly number[], predecessor: number): number[] =>
  kept.filter((index) => candidates[index].predecessor === predecessor);

/** The sum of a node's kept candidates, scaled in a super-net. */
export function addNode(graph: GraphBuilder, options: NodeOptions): Value {
  const { network, choice, states, name } = options;
  if (network.partialChannels !== undefined) return addPartialNode(graph, options, network.partialChannels);
  const chosen = network.space.choices[choice];
  const terms = network.selection[choice].map((candidate, position) =>
    addBranch(graph, options, candidate, position, states[chosen.candidates[candidate].predecessor], {
      vector: vectorNames.candidates(chosen),
      index: position,
    }),
  );
  return graph.add(terms, name);
}

function addBranch(
  graph: GraphBuilder,
  { network, choice, prefix, stride, operation: find }: NodeOptions,
  candidate: number,
  position: number,
  input: Value,
  { vector, index }: { vector: string; index: number },
): Value {
  const { operation: name, predecessor } = network.space.choices[choice].candidates[candidate];
  const operation = find(name);
  const context: OperationContext = {
    prefix: prefix(candidate, position),
    stride: stride(predecessor),
    norms: network.norms,
  };
  const build = (): Value => {
    const built = operation.build(graph, input, context);
    const identity = operation.isIdentity === true && context.stride === 1;
    const spared = (identity && network.dropIdentities !== true) || operation.isZero === true;
    const dropped = spared ? built : graph.dropPath(built);
    return network.form === "super-net" ? graph.scale(dropped, vector, index) : dropped;
  };
  return graph.branch(context.prefix, build, { choice, candidate });
}

/**
 * A node with partial channels (Xu et al. 2020, PC-DARTS): of every predecessor the first 1/K of the channels goes through the
 * mixture of its candidates, the rest past it (at stride 2 through max pooling); both together are shuffled, and scaled by the
 * weight of the predecessor.
 */
function addPartialNode(graph: GraphBuilder, options: NodeOptions, share: number): Value {
  const { network, choice, states, stride, name } = options;
  const chosen = network.space.choices[choice];
  const kept = network.selection[choice];
  const terms = keptPredecessors(chosen, kept).map((predecessor, edge) => {
    const { channels } = graph.size(states[predecessor]);
    const mixed = graph.slice(states[predecessor], 0, channels / share);
    const passed = graph.slice(states[predecessor], channels / share, channels);
    const those = keptOn(chosen, kept, predecessor);
    const vector = vectorNames.onPredecessor(chosen, predecessor);
    const branches = those.map((candidate, index) =>
      addBranch(graph, options, candidate, kept.indexOf(candidate), mixed, { vector, index }),
    );
    const rest = stride(predecessor) === 2 ? graph.pool(passed, "max", [2, 2], [2, 2]) : passed;
    const joined = graph.concatenate([graph.add(branches, `${name}, from ${predecessor}`), rest], name);
    return graph.scale(graph.shuffle(joined, share), vectorNames.predecessors(chosen), edge);
  });
  return graph.add(terms, name);
}
