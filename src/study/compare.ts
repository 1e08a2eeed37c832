// Runs beside each other: one row a run, and mean, spread and interval over the runs that differ in nothing but the seed.
import { basename } from "node:path";
import { formatValue } from "../config/options.js";
import { RunDirectory } from "../run/directory.js";
import { family, knownAccuracy, type RunSummary } from "../run/summary.js";
import { decidingOptions, figureless, seedGroupOf } from "./agreement.js";
import { type Difference, type Estimate, estimate, pairedDifference } from "./estimate.js";
import type { Options } from "./plan.js";

/** A run with what tells how it was made. */
export interface ComparedRun {
  readonly path: string;
  readonly name: string;
  readonly summary: RunSummary;
  readonly config: Options;
  /** Of the program that began it. */
  readonly version: string;
  readonly dataIdentity: string | null;
}

const figures = [
  "testAccuracy",
  "validationAccuracy",
  "parameters",
  "multiplyAdds",
  "seconds",
  "projectionGap",
] as const;

export interface ComparisonGroup extends Record<(typeof figures)[number], Estimate | null> {
  kind: RunSummary["kind"];
  arch: string;
  method: string | null;
  space: string | null;
  preset: string | null;
  dataset: string;
  epochs: number;
  /** Names of its runs. */
  runs: string[];
  seeds: number[];
  /** What tells it from groups that look the same otherwise, by option. */
  differs: Record<string, string>;
  kendallTau: Estimate | null;
  /** Of the found architectures, per cent, by column of the tables. */
  knownAccuracies: Record<string, Estimate | null>;
}

/** Two groups of one kind on the same data with at least two seeds in common. */
export interface PairedComparison {
  /** Places among the groups. */
  first: number;
  second: number;
  column: "testAccuracy" | "validationAccuracy";
  /** Seeds that both have. */
  seeds: number[];
  /** The first minus the second, seed by seed, in shares of 0..1. */
  difference: Difference;
}

export interface Comparison {
  runs: ({ path: string; name: string } & RunSummary)[];
  groups: ComparisonGroup[];
  pairs: PairedComparison[];
  /** Runs that repeat another one, seed and all: they are counted once. */
  repeated: { name: string; of: string }[];
  /** The columns of known accuracies that any of the runs has. */
  knownColumns: string[];
}

/** @throws IstaError RUN_*, CONFIG_*, FILE_* */
export function comparedRun(path: string, summary: RunSummary): ComparedRun {
  const run = RunDirectory.open(path, "read");
  const { kind, versions, dataIdentity } = run.meta;
  const config = run.config(kind) as unknown as Options;
  return { path, name: run.name, summary, config, version: versions["ista-nas"] ?? "", dataIdentity };
}

/** Options that change no figure, and the architecture's name, in place of which the architecture itself counts. */
const besides = ["arch", ...figureless];

/** Everything that a run depends on besides its seed, as texts. Searches are told by how they were made: what they find is their outcome. */
function factsOf({ summary, config, version, dataIdentity }: ComparedRun): Map<string, string> {
  const { kind, arch, genotype, epochs } = summary;
  const random = family(arch) === "random";
  const options = decidingOptions(config, false).filter(([key]) => !besides.includes(key));
  return new Map([
    ["kind", kind],
    ["version", version],
    ["data", dataIdentity ?? formatValue(config.data)],
    ["epochs done", String(epochs)],
    ...(kind === "search"
      ? []
      : [["architecture", random ? "random" : genotype === null ? arch : JSON.stringify(genotype)] as const]),
    ...options.map(([key, value]) => [key, formatValue(value)] as const),
  ]);
}

interface Member extends ComparedRun {
  readonly facts: Map<string, string>;
}

const keyOf = ({ facts }: Member): string => JSON.stringify([...facts].sort());

/** What people see of a group before anything else. */
const looksOf = ({ kind, arch, method, space, preset }: ComparisonGroup): string =>
  JSON.stringify([kind, arch, method, space, preset]);

/** Facts are shown in words; a digest or a whole genotype says nothing to anybody. */
function shown(
  key: string,
  fact: string | undefined,
  { dataset }: ComparisonGroup,
  [first]: Member[],
): string {
  if (fact === undefined) return "-";
  if (key === "data") return `${basename(dataset)} (${fact.slice(0, 8)})`;
  return key === "architecture" ? basename(first.summary.arch) : fact;
}

function groupOf(members: readonly Member[], knownColumns: readonly string[]): ComparisonGroup {
  const summaries = members.map(({ summary }) => summary);
  const [{ kind, method, space, preset, dataset, epochs, arch }] = summaries;
  const over = (value: (summary: RunSummary) => number | null): Estimate | null => {
    const present = summaries.map(value).filter((one) => one !== null);
    return present.length === 0 ? null : estimate(present);
  };
  return {
    ...{ kind, method, space, preset, dataset, epochs },
    arch: kind === "search" && members.length > 1 ? `${members.length} searches` : family(arch),
    runs: members.map(({ name }) => name),
    seeds: summaries.map(({ seed }) => seed),
    differs: {},
    ...(Object.fromEntries(figures.map((key) => [key, over((summary) => summary[key])])) as Record<
      (typeof figures)[number],
      Estimate | null
    >),
    kendallTau: over(({ kendallTau }) => kendallTau?.tau ?? null),
    knownAccuracies: Object.fromEntries(
      knownColumns.map((column) => [column, over((summary) => knownAccuracy(summary, column))]),
    ),
  };
}

/** The accuracies that two groups have in common, seed by seed; null where there are fewer than two. */
function pairOf(
  members: readonly (readonly Member[])[],
  first: number,
  second: number,
): PairedComparison | null {
  const [one, other] = [members[first], members[second]];
  if (["kind", "data"].some((key) => one[0].facts.get(key) !== other[0].facts.get(key))) return null;
  for (const column of ["testAccuracy", "validationAccuracy"] as const) {
    const bySeed = (group: readonly Member[]): Map<number, number> =>
      new Map(
        group.flatMap(({ summary }) => {
          const { seed, [column]: value } = summary;
          // With several architectures of one seed, none is the partner of another's.
          const alone = group.filter((member) => member.summary.seed === seed).length === 1;
          return value === null || !alone ? [] : [[seed, value] as const];
        }),
      );
    const [values, others] = [bySeed(one), bySeed(other)];
    const seeds = [...values.keys()].filter((seed) => others.has(seed));
    if (seeds.length < 2) continue;
    const differences = seeds.map((seed) => values.get(seed)! - others.get(seed)!);
    return { first, second, column, seeds, difference: pairedDifference(differences) };
  }
  return null;
}

/**
 * Runs put together that differ in the seed alone, also such as are not finished.
 * @throws IstaError RUN_*, CONFIG_*
 */
export function groupBySeed(paths: readonly string[]): { name: string; runs: RunDirectory[] }[] {
  const groups = new Map<string, RunDirectory[]>();
  for (const path of paths) {
    const run = RunDirectory.open(path, "read");
    const { kind, versions, dataIdentity } = run.meta;
    const config = run.config(kind) as unknown as Options;
    const key = seedGroupOf(kind, versions["ista-nas"], dataIdentity ?? config.data, config);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((runs) => ({ name: runs.map(({ name }) => name).join(", "), runs }));
}

/** Puts runs beside each other. Runs that differ in the seed alone form a group; so do random architectures trained alike. */
export function compareRuns(runs: readonly ComparedRun[]): Comparison {
  const byKey = new Map<string, Member[]>();
  const repeated: Comparison["repeated"] = [];
  for (const run of runs) {
    const member = { ...run, facts: factsOf(run) };
    const group = byKey.get(keyOf(member)) ?? [];
    byKey.set(keyOf(member), group);
    const twin = group.find(
      ({ summary: { seed, kind, arch } }) =>
        seed === run.summary.seed &&
        (kind === "search" || family(arch) !== "random" || arch === run.summary.arch),
    );
    if (twin === undefined) group.push(member);
    else repeated.push({ name: run.name, of: twin.name });
  }
  const knownColumns = [
    ...new Set(runs.flatMap(({ summary }) => Object.keys(summary.knownAccuracies ?? {}))),
  ];
  const members = [...byKey.values()];
  const groups = members.map((group) => groupOf(group, knownColumns));
  for (const [index, group] of groups.entries()) {
    const alike = members.filter((_, other) => looksOf(groups[other]) === looksOf(group));
    const keys = new Set(alike.flatMap(([{ facts }]) => [...facts.keys()]));
    for (const key of keys) {
      if (new Set(alike.map(([{ facts }]) => facts.get(key))).size < 2) continue;
      group.differs[key] = shown(key, members[index][0].facts.get(key), group, members[index]);
    }
  }
  const pairs = groups.flatMap((_, second) =>
    groups.slice(0, second).flatMap((_, first) => pairOf(members, first, second) ?? []),
  );
  return {
    knownColumns,
    repeated,
    runs: runs.map(({ path, name, summary }) => ({ path, name, ...summary })),
    groups,
    pairs,
  };
}
