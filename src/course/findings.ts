// What is measured at the end of every search, after its results: the projection gap, and how shared weights rank architectures.
import { IstaError } from "../base/errors.js";
import { formatPercent } from "../base/format.js";
import type { SearchConfig } from "../config/config.js";
import { AccuracyTable, formatKnown } from "../formats/accuracy-table.js";
import type { RunDirectory } from "../run/directory.js";
import type { RunSummary } from "../run/summary.js";
import type { Space } from "../space/space.js";
import { evaluate } from "./evaluate.js";
import type { RunControl } from "./execute.js";
import type { Observer } from "./loop.js";
import { dispose, measureProjectionGap, type ProjectionGap, projectionOf } from "./projection.js";
import { type Ranking, rankArchitectures, ranksArchitectures } from "./ranking.js";
import type { Search, SearchCourse } from "./search.js";

/** The ranked architectures of a run, one by one. */
export const rankingFileName = "ranking.json";

/** The table of known accuracies that a search has beside it. @throws IstaError TABLE_INVALID, FILE_*, CONFIG_VALUE */
export function openTable(
  { table, rankedArchitectures, validationFraction }: SearchConfig,
  space: Space,
): AccuracyTable | null {
  const refuse = (expected: string, got: string): never => {
    throw new IstaError(
      "CONFIG_VALUE",
      `--ranked-architectures ${rankedArchitectures}: expected ${expected}, got ${got}`,
    );
  };
  if (rankedArchitectures > 0 && table === null)
    refuse("a table of known accuracies to compare with", "none; add --table FILE");
  if (rankedArchitectures > 0 && validationFraction === 0)
    refuse("held-out images to rank on", "none; use a --validation-fraction above 0");
  return table === null ? null : AccuracyTable.read(table, space);
}

type Findings = Pick<RunSummary, "superNetAccuracy" | "projectionGap" | "kendallTau" | "diagnosis">;

const points = (share: number): string => (100 * share).toFixed(1);

const gapLine = ({ superNetAccuracy, keptAccuracy, projectionGap }: ProjectionGap): string =>
  `projection gap ${points(projectionGap)} points${projectionGap === 0 && keptAccuracy === superNetAccuracy ? " (only what is kept was ever built)" : ""}: held-out accuracy ${formatPercent(superNetAccuracy, 1)} of the super-net, ${formatPercent(keptAccuracy, 1)} of its kept candidates alone`;

function rankingLine(
  { tau, column, architectures, candidates, trainedCandidates }: Ranking,
  { tryOut }: Search,
): string {
  const value = tau === null ? "is not defined (no two accuracies differ)" : tau.toFixed(3);
  const begin = `Kendall's tau ${value} between accuracies`;
  if (tryOut !== undefined) return `${begin} after trials and ${column}, ${architectures} architectures`;
  return `${begin} with shared weights and ${column}, ${architectures} architectures; ${trainedCandidates} of their ${candidates} candidates with weights were trained`;
}

async function rank(
  course: SearchCourse,
  run: RunDirectory,
  { rankedArchitectures }: SearchConfig,
  observer: Observer,
  stop: () => boolean,
): Promise<Findings["kendallTau"] | "stopped"> {
  const { table, search, context } = course;
  if (table === null || rankedArchitectures === 0) return null;
  if (!ranksArchitectures(search)) {
    observer.line("no architectures are ranked: this search has no shared weights of all candidates");
    return null;
  }
  const images = context.sources.validation!.exampleCount;
  const ranking = await rankArchitectures(course, table, rankedArchitectures, stop, (step, steps, accuracy) =>
    observer.progress({
      phase: "ranking",
      epoch: 1,
      epochs: 1,
      step,
      steps,
      accuracy,
      images: step * images,
    }),
  );
  if (ranking === null) return "stopped";
  const { rows, ...figures } = ranking;
  run.writeJson(rankingFileName, { ...figures, rows });
  observer.line(rankingLine(ranking, search));
  return figures;
}

/**
 * Held-out losses with the weights of the compressed codes and with the sparse codes, at the end of a search: the same, says the paper
 * (Yang et al. 2020, section 3.2). Null where a search has no such codes or nothing is held out, "stopped" when stopped.
 */
async function measureSameLoss(
  { search, context }: SearchCourse,
  stop: () => boolean,
): Promise<{ compressedLoss: number; sparseLoss: number } | null | "stopped"> {
  const { validation } = context.sources;
  if (search.sparseWeights === undefined || validation === null) return null;
  const losses: number[] = [];
  for (const weights of [search.weights(), search.sparseWeights()]) {
    const { microBatch } = context.config;
    const found = await evaluate(search.network, validation, { weights, stop, microBatch }).finally(() =>
      dispose(weights),
    );
    if (found === null) return "stopped";
    losses.push(found.loss);
  }
  return { compressedLoss: losses[0], sparseLoss: losses[1] };
}

/** What a search says of itself. "stopped" when stopped. */
async function diagnose(
  course: SearchCourse,
  { observer, stop }: RunControl,
): Promise<Findings["diagnosis"] | "stopped"> {
  const figures = course.search.diagnose?.() ?? null;
  const losses = await measureSameLoss(course, stop);
  if (losses === "stopped") return losses;
  if (losses !== null)
    observer.line(
      `held-out loss ${losses.compressedLoss.toFixed(4)} with the weights of the compressed codes, ${losses.sparseLoss.toFixed(4)} with the sparse codes`,
    );
  return losses === null ? figures : { ...figures, ...losses };
}

/** The part of the summary with these measurements; nothing of the search's result depends on them. Null when stopped. */
export async function measureFindings(
  course: SearchCourse,
  run: RunDirectory,
  config: SearchConfig,
  { observer, stop }: RunControl,
): Promise<Findings | null> {
  if (course.table !== null)
    observer.line(`known accuracies of the found architecture: ${formatKnown(course.knownAccuracies)}`);
  const diagnosis = await diagnose(course, { observer, stop });
  if (diagnosis === "stopped") return null;
  const findings = { superNetAccuracy: null, projectionGap: null, kendallTau: null, diagnosis };
  if (course.context.sources.validation === null) return findings;
  const projection = projectionOf(course.search);
  let gap: ProjectionGap | null = null;
  if (projection !== null) {
    try {
      gap = await measureProjectionGap(course, projection, stop);
    } finally {
      dispose(projection.weights);
    }
    if (gap === null) return null;
    observer.line(gapLine(gap));
  }
  const kendallTau = await rank(course, run, config, observer, stop);
  if (kendallTau === "stopped") return null;
  const { superNetAccuracy = null, projectionGap = null } = gap ?? {};
  return { superNetAccuracy, projectionGap, kendallTau, diagnosis };
}
