// Random cells: the baseline that every search result should be shown beside.

import type { RandomStream } from "../base/random.js";
import {
  concatenatedNodes,
  connectionsPerNode,
  intermediateNodeCount,
  predecessorCount,
  primitives,
} from "./darts.js";
import { type Genotype, type GenotypePair, validateGenotype } from "./genotype.js";

/**
 * A cell pair drawn uniformly: for each node two distinct predecessors and an operation on each, all independent
 * (the random baseline of DARTS, Liu et al. 2019). Predecessors ascend within a node.
 */
export function randomGenotype(stream: RandomStream): Genotype {
  const cell = (): GenotypePair[] =>
    Array.from({ length: intermediateNodeCount }, (_, node) => {
      const predecessors = Array.from({ length: predecessorCount(node) }, (_, index) => index);
      return stream
        .shuffle(predecessors)
        .slice(0, connectionsPerNode)
        .sort((a, b) => a - b)
        .map((predecessor): GenotypePair => [primitives[stream.integer(primitives.length)], predecessor]);
    }).flat();
  const normal = cell();
  const reduce = cell();
  return validateGenotype({
    space: "darts",
    normal,
    normalConcat: concatenatedNodes,
    reduce,
    reduceConcat: concatenatedNodes,
  });
}
