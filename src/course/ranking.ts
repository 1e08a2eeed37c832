// How well shared weights rank architectures whose accuracies are known: Kendall's tau.
import type { z } from "zod";
import { kendallTau } from "../base/kendall-tau.js";
import { RandomStream } from "../base/random.js";
import type { AccuracyTable } from "../formats/accuracy-table.js";
import type { Network } from "../nn/network.js";
import type { rankingSchema } from "../run/summary.js";
import { layersWithWeights } from "../space/graph.js";
import { allCandidates, type Genotype, type Selection, sameSelection } from "../space/space.js";
import { borrowing, dispose, heldOutAccuracy } from "./projection.js";
import type { Search, SearchCourse } from "./search.js";

export interface Ranking extends z.output<typeof rankingSchema> {
  readonly rows: readonly {
    readonly genotype: Genotype;
    /** With the shared weights, on the held-out images, 0..1. */
    readonly sharedAccuracy: number;
    /** As the table has it, per cent. */
    readonly knownAccuracy: number;
  }[];
}

/** Whether the search can judge any architecture: some free weights that they will not need. */
export const ranksArchitectures = ({ reachable, network, tryOut }: Search): boolean =>
  tryOut !== undefined || sameSelection(reachable, allCandidates(network.description.space));

/** "choice/candidate" of all candidates with batch norms, and whether a training batch ever went through them. */
function trainedCandidates(network: Network): Map<string, boolean> {
  const { description } = network;
  const { space } = description;
  const statistics = network.saveStatistics();
  const found = new Map<string, boolean>();
  for (const layer of layersWithWeights(space.graph({ ...description, selection: allCandidates(space) }))) {
    const { choice, candidate } = layer.place;
    if (layer.kind !== "norm" || choice === undefined) continue;
    const count = statistics.get(`${layer.name}.num_batches_tracked`)?.data[0] ?? 0n;
    const key = `${choice}/${candidate}`;
    found.set(key, (found.get(key) ?? false) || count > 0n);
  }
  return found;
}

const candidatesOf = (selection: Selection): string[] =>
  selection.flatMap((chosen, choice) => chosen.map((candidate) => `${choice}/${candidate}`));

/** Of an architecture on the held-out images: as the search judges it, or else with its weights and statistics computed again. */
async function judgedAccuracy(
  course: SearchCourse,
  selection: Selection,
  stop: () => boolean,
): Promise<number | null> {
  const { search } = course;
  if (search.tryOut !== undefined) return search.tryOut(selection, stop);
  search.network.connect(selection);
  const weights = search.weightsFor?.(selection);
  return heldOutAccuracy(course, weights, stop).finally(() => dispose(weights));
}

/**
 * Draws architectures evenly from the table and evaluates each on the held-out images as the search judges it, or with its weights: batch-norm
 * statistics computed again, candidates weighed as the search would (see `Search.weightsFor`), tensors that no step has needed at
 * their initial values. The same seed draws the same ones. The network is as before afterwards.
 * @param count at most; all of the table's where it has fewer
 * @param onRanked told after each architecture how many are done, and its accuracy
 * @returns null when stopped
 */
export async function rankArchitectures(
  course: SearchCourse,
  table: AccuracyTable,
  count: number,
  stop: () => boolean,
  onRanked: (done: number, total: number, accuracy: number) => void = () => {},
): Promise<Ranking | null> {
  const { search, context } = course;
  const { network } = search;
  const column = table.validationColumn;
  const random = RandomStream.named(context.config.seed, "ranked-architectures");
  const drawn = random.shuffle(table.architectures(column)).slice(0, count);
  const trained = trainedCandidates(network);
  const candidates = [...new Set(drawn.flatMap(candidatesOf))].filter((key) => trained.has(key));
  const rows = await borrowing(network, async () => {
    const rows: Ranking["rows"][number][] = [];
    for (const selection of drawn) {
      if (stop()) return null;
      const sharedAccuracy = await judgedAccuracy(course, selection, stop);
      if (sharedAccuracy === null) return null;
      const knownAccuracy = table.lookup(selection)![column];
      rows.push({ genotype: context.space.toGenotype(selection), sharedAccuracy, knownAccuracy });
      onRanked(rows.length, drawn.length, sharedAccuracy);
    }
    return rows;
  });
  if (rows === null) return null;
  return {
    tau: kendallTau(
      rows.map(({ sharedAccuracy }) => sharedAccuracy),
      rows.map(({ knownAccuracy }) => knownAccuracy),
    ),
    column,
    architectures: rows.length,
    candidates: candidates.length,
    trainedCandidates: candidates.filter((key) => search.tryOut !== undefined || trained.get(key)).length,
    rows,
  };
}
