// The projection gap: what a super-net loses when only the candidates that were found are kept, its weights being the same.
//
// Dense searches train a mixture and keep a part of it; the paper (Yang et al. 2020) says that this is what they suffer from. The
// network of ISTA-NAS has no more than the kept candidates at any time, so that its gap is zero by construction.
import { Tensor } from "../engine/tensor.js";
import type { ForwardOptions, Network } from "../nn/network.js";
import type { StoredTensor } from "../nn/tensor-store.js";
import { vectorEntries } from "../space/mixture.js";
import { type NetworkDescription, type Selection, sameSelection } from "../space/space.js";
import { evaluate } from "./evaluate.js";
import type { Projection, Search, SearchCourse } from "./search.js";
import { recomputeStatistics } from "./statistics.js";

/** Enough for means over a few thousand images; fewer where an epoch has fewer. */
const statisticsBatches = 16;

type Weights = NonNullable<ForwardOptions["weights"]>;

/** Frees vectors of weights. */
export function dispose(weights: Weights | undefined): void {
  for (const tensor of weights?.values() ?? []) tensor.dispose();
}

/** Of vectors of weights of a network, the entries that belong to what another selection keeps. */
function keptWeights(network: NetworkDescription, selection: Selection, weights: Weights): Weights {
  const entries = vectorEntries(network);
  const kept = new Map<string, Tensor>();
  for (const [name, wanted] of vectorEntries({ ...network, selection })) {
    const values = weights.get(name)?.toFloat32Array();
    const held = entries.get(name);
    if (values === undefined || held === undefined) continue;
    const those = wanted.map((entry) => values[held.indexOf(entry)]);
    kept.set(name, Tensor.from(Float32Array.from(those)));
  }
  return kept;
}

/** What the search keeps of its super-net; null where nothing was a mixture. The caller frees the weights. */
export function projectionOf(search: Search): Projection | null {
  if (search.projected !== undefined) return search.projected();
  const { network, selection } = search;
  const { description } = network;
  const isPart = selection.every((chosen, choice) =>
    chosen.every((candidate) => description.selection[choice].includes(candidate)),
  );
  if (!isPart) return null;
  const weights = search.weights();
  try {
    return { selection, weights: keptWeights(description, selection, weights) };
  } finally {
    dispose(weights);
  }
}

/** What the statistics of a new batch norm are. */
function initialStatistic(name: string, { shape, data }: StoredTensor): StoredTensor {
  if (data instanceof BigInt64Array) return { shape, data: BigInt64Array.of(0n) };
  return { shape, data: new Float32Array(data.length).fill(name.endsWith(".running_var") ? 1 : 0) };
}

/** Runs `body`, which may connect the network otherwise and change its statistics: both are put back. */
export async function borrowing<T>(network: Network, body: () => Promise<T>): Promise<T> {
  const { selection } = network.description;
  const before = network.saveStatistics();
  try {
    return await body();
  } finally {
    network.connect(selection);
    const now = [...network.saveStatistics()];
    network.loadStatistics(
      new Map(now.map(([name, tensor]) => [name, before.get(name) ?? initialStatistic(name, tensor)])),
    );
  }
}

/** Accuracy on the held-out images, 0..1, of the network as it is connected, statistics computed again; null when stopped. */
export async function heldOutAccuracy(
  { search: { network }, context: { sources, config } }: SearchCourse,
  weights: ForwardOptions["weights"],
  stop: () => boolean,
): Promise<number | null> {
  const { training, validation } = sources;
  const { microBatch } = config;
  const batches = Math.min(statisticsBatches, training.batchCount);
  await recomputeStatistics(network, training, batches, { weights, microBatch });
  const found = await evaluate(network, validation!, { weights, stop, microBatch });
  return found?.top1 ?? null;
}

export interface ProjectionGap {
  /** Held-out accuracies, 0..1. */
  readonly superNetAccuracy: number;
  readonly keptAccuracy: number;
  /** The first minus the second. */
  readonly projectionGap: number;
}

/** The gap of a search with held-out images, at its end; the network is as before afterwards. Null when stopped. */
export async function measureProjectionGap(
  course: SearchCourse,
  projection: Projection,
  stop: () => boolean,
): Promise<ProjectionGap | null> {
  const { search } = course;
  const { network } = search;
  const weights = search.weights();
  try {
    return await borrowing(network, async () => {
      const superNetAccuracy = await heldOutAccuracy(course, weights, stop);
      if (superNetAccuracy === null) return null;
      // Both are one network: the gap is zero by construction, and nothing is there to be measured.
      if (sameSelection(network.description.selection, projection.selection))
        return { superNetAccuracy, keptAccuracy: superNetAccuracy, projectionGap: 0 };
      network.connect(projection.selection);
      const keptAccuracy = await heldOutAccuracy(course, projection.weights, stop);
      if (keptAccuracy === null) return null;
      return { superNetAccuracy, keptAccuracy, projectionGap: superNetAccuracy - keptAccuracy };
    });
  } finally {
    dispose(weights);
  }
}
