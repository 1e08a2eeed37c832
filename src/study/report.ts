// What a study has found: figures of each arm, and its differences to the one that all are compared with.
import { IstaError } from "../base/errors.js";
import { suggestion } from "../base/nearest.js";
import { knownAccuracy, type RunSummary } from "../run/summary.js";
import { checkAgreement } from "./agreement.js";
import type { CollectedRun, Collection, MissingRun } from "./collect.js";
import {
  type Difference,
  type Estimate,
  estimate,
  pairedDifference,
  type Spread,
  spreadOf,
  unpairedDifference,
} from "./estimate.js";

export interface MeasuredRun {
  readonly arm: string;
  readonly seed: number;
  readonly path: string;
  /** Per cent. */
  readonly value: number;
  readonly seconds: number;
  readonly processorSeconds: number | null;
  readonly peakMemoryBytes: number | null;
  readonly parameters: number | null;
}

export interface ArmReport extends Estimate {
  readonly arm: string;
  readonly best: { readonly value: number; readonly seed: number };
  readonly worst: { readonly value: number; readonly seed: number };
  /** Of one run. */
  readonly seconds: Spread;
  readonly processorSeconds: Spread | null;
  readonly parameters: Spread | null;
  /** Of the run that took most. */
  readonly peakMemoryBytes: number | null;
}

export interface DifferenceReport {
  readonly arm: string;
  /** Seeds that both arms have, or how many values of the arm there are when they are not paired. */
  readonly count: number;
  /** Null where there is nothing to compare: no seed that both have. */
  readonly difference: Difference | null;
}

export interface Report {
  readonly name: string | null;
  /** What was measured: a column of a table, `testAccuracy` or `validationAccuracy`; per cent. */
  readonly column: string;
  readonly baseline: string;
  readonly paired: boolean;
  readonly arms: readonly ArmReport[];
  readonly differences: readonly DifferenceReport[];
  /** What the arms differ in, as they are said to. */
  readonly armsDifferIn: readonly string[];
  /** What differs beyond that, and was allowed to. */
  readonly allowedDifferences: readonly string[];
  readonly runs: readonly MeasuredRun[];
  readonly missing: readonly MissingRun[];
}

export interface ReportOptions {
  readonly column?: string;
  readonly baseline?: string;
  readonly unpaired?: boolean;
  readonly allowed?: readonly string[];
  /** Whether known accuracies were looked up anew in one table. */
  readonly lookedUp?: boolean;
}

const ownColumns = ["testAccuracy", "validationAccuracy"] as const;
type OwnColumn = (typeof ownColumns)[number];

/** The words for people. */
export const columnWords = (column: string): string =>
  ({ testAccuracy: "test accuracy", validationAccuracy: "held-out accuracy" })[column] ?? column;

function measuredValue({ summary, training }: CollectedRun, column: string): number | null {
  const known = knownAccuracy(summary, column);
  if (known !== null || !ownColumns.includes(column as OwnColumn)) return known;
  const share = training?.[column as OwnColumn] ?? summary[column as OwnColumn];
  return share === null ? null : 100 * share;
}

/** The column that is measured, and whether it is one of a table. @throws IstaError USAGE for one that no run has */
function chooseColumn(runs: readonly CollectedRun[], wanted?: string): { column: string; known: boolean } {
  const known = [...new Set(runs.flatMap(({ summary }) => Object.keys(summary.knownAccuracies ?? {})))];
  const has = (column: string): boolean => runs.some((run) => measuredValue(run, column) !== null);
  if (wanted !== undefined) {
    const all = [...known, ...ownColumns.filter(has)];
    if (!all.includes(wanted))
      throw new IstaError(
        "USAGE",
        `--column: expected one that the runs have, got ${JSON.stringify(wanted)}; ${suggestion(wanted, all)}`,
      );
    return { column: wanted, known: known.includes(wanted) };
  }
  const test = known.find((name) => /test/i.test(name));
  if (test !== undefined) return { column: test, known: true };
  // Only some searches train the network that they find: then held-out images are what all were measured on.
  const tested = runs.every((run) => measuredValue(run, "testAccuracy") !== null);
  return { column: tested ? "testAccuracy" : "validationAccuracy", known: false };
}

const added = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a + b;

function measure(run: CollectedRun, value: number): MeasuredRun {
  const { arm, seed, path, summary, training } = run;
  const of = (one: RunSummary) => ({
    seconds: one.seconds,
    processorSeconds: one.processorSeconds,
    peakMemoryBytes: one.peakMemoryBytes,
  });
  const [first, second] = [of(summary), training === null ? null : of(training)];
  const peaks = [first, second].flatMap((one) => one?.peakMemoryBytes ?? []);
  return {
    ...{ arm, seed, path, value },
    seconds: first.seconds + (second?.seconds ?? 0),
    processorSeconds:
      second === null ? first.processorSeconds : added(first.processorSeconds, second.processorSeconds),
    peakMemoryBytes: peaks.length === 0 ? null : Math.max(...peaks),
    parameters: (training ?? summary).parameters,
  };
}

function armReport(arm: string, runs: readonly MeasuredRun[]): ArmReport {
  const ranked = runs.toSorted((a, b) => b.value - a.value);
  const place = ({ value, seed }: MeasuredRun) => ({ value, seed });
  const peaks = runs.flatMap(({ peakMemoryBytes }) => peakMemoryBytes ?? []);
  return {
    arm,
    ...estimate(runs.map(({ value }) => value)),
    best: place(ranked[0]),
    worst: place(ranked[ranked.length - 1]),
    seconds: spreadOf(runs.map(({ seconds }) => seconds))!,
    processorSeconds: spreadOf(runs.map(({ processorSeconds }) => processorSeconds)),
    parameters: spreadOf(runs.map(({ parameters }) => parameters)),
    peakMemoryBytes: peaks.length === 0 ? null : Math.max(...peaks),
  };
}

/** @throws IstaError USAGE where an arm has two runs of one seed */
function bySeed(runs: readonly MeasuredRun[]): Map<number, number> {
  const values = new Map<number, number>();
  for (const { arm, seed, path, value } of runs) {
    if (values.has(seed))
      throw new IstaError(
        "USAGE",
        `arm ${arm}: expected one run of each seed to pair them, got seed ${seed} twice (${path}, ${runs.find((run) => run.seed === seed)!.path}); leave one out, or compare with --unpaired`,
      );
    values.set(seed, value);
  }
  return values;
}

function compare(
  arm: string,
  runs: readonly MeasuredRun[],
  baseline: readonly MeasuredRun[],
  paired: boolean,
): DifferenceReport {
  if (!paired) {
    const [values, others] = [runs, baseline].map((list) => list.map(({ value }) => value));
    return { arm, count: runs.length, difference: unpairedDifference(values, others) };
  }
  const [own, other] = [bySeed(runs), bySeed(baseline)];
  const seeds = [...own.keys()].filter((seed) => other.has(seed));
  const differences = seeds.map((seed) => own.get(seed)! - other.get(seed)!);
  return {
    arm,
    count: seeds.length,
    difference: seeds.length === 0 ? null : pairedDifference(differences),
  };
}

/**
 * @param planned by the study; where all its runs are missing, which the report says, the usual one stands in
 * @throws IstaError USAGE where there is no arm as wanted
 */
function chooseBaseline(arms: readonly string[], wanted: string | undefined, planned: string | null): string {
  if (wanted === undefined) {
    const usual = arms.includes("random") ? "random" : arms[0];
    return planned !== null && arms.includes(planned) ? planned : usual;
  }
  if (arms.includes(wanted)) return wanted;
  throw new IstaError(
    "USAGE",
    `--baseline: expected an arm with finished runs, got ${JSON.stringify(wanted)}; ${suggestion(wanted, arms)}`,
  );
}

/**
 * Puts the runs of a study beside each other.
 * @throws IstaError STUDY_DIFFERS where they differ in more than they say, STUDY_EMPTY where none is finished, USAGE
 */
export function reportOf(collection: Collection, options: ReportOptions = {}): Report {
  const missing = [...collection.missing];
  if (collection.runs.length === 0)
    throw new IstaError(
      "STUDY_EMPTY",
      `expected finished runs to report on, got none${missing.length === 0 ? "" : ` (${missing.length} are not finished; the first: ${missing[0].path}: ${missing[0].reason})`}; let them finish`,
    );
  const { column, known } = chooseColumn(collection.runs, options.column);
  const { armsDifferIn, allowed } = checkAgreement(collection, {
    fromTable: known && options.lookedUp !== true,
    allowed: options.allowed ?? [],
  });
  const runs = collection.runs.flatMap((run) => {
    const value = measuredValue(run, column);
    if (value !== null) return [measure(run, value)];
    const { arm, seed, path } = run;
    missing.push({ arm, seed, path, reason: `it has no ${columnWords(column)}` });
    return [];
  });
  const of = (arm: string): MeasuredRun[] => runs.filter((run) => run.arm === arm);
  const arms = collection.arms.filter((arm) => of(arm).length > 0);
  if (arms.length === 0)
    throw new IstaError(
      "STUDY_EMPTY",
      `expected runs with a ${columnWords(column)}, got none; choose another --column`,
    );
  const baseline = chooseBaseline(arms, options.baseline, collection.baseline);
  const paired = options.unpaired !== true;
  return {
    name: collection.name,
    ...{ column, baseline, paired },
    arms: arms.map((arm) => armReport(arm, of(arm))),
    differences: arms
      .filter((arm) => arm !== baseline)
      .map((arm) => compare(arm, of(arm), of(baseline), paired)),
    ...{ armsDifferIn, allowedDifferences: allowed },
    ...{ runs, missing },
  };
}
