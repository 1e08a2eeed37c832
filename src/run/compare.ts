// Runs beside each other: one row a run, and mean and spread over the runs that differ in nothing but the seed.
import type { RunSummary } from "./summary.js";

export interface Spread {
  count: number;
  mean: number;
  /** Standard deviation of the sample (divided by count - 1); 0 for a single value. */
  deviation: number;
}

export interface ComparisonGroup {
  kind: RunSummary["kind"];
  arch: string;
  method: string | null;
  space: string | null;
  preset: string | null;
  dataset: string;
  epochs: number;
  seeds: number[];
  testAccuracy: Spread | null;
  validationAccuracy: Spread | null;
  parameters: Spread | null;
  multiplyAdds: Spread | null;
  seconds: Spread | null;
  projectionGap: Spread | null;
  kendallTau: Spread | null;
  /** Of the found architectures, per cent, by column of the tables. */
  knownAccuracies: Record<string, Spread | null>;
}

export interface Comparison {
  runs: ({ path: string; name: string } & RunSummary)[];
  groups: ComparisonGroup[];
  /** The columns of known accuracies that any of the runs has. */
  knownColumns: string[];
}

/** Mean and sample deviation of the values that are there; null where none is. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const present = values.filter((value) => value !== null);
  if (present.length === 0) return null;
  const mean = present.reduce((sum, value) => sum + value, 0) / present.length;
  const squares = present.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    count: present.length,
    mean,
    deviation: present.length < 2 ? 0 : Math.sqrt(squares / (present.length - 1)),
  };
}

/**
 * A random architecture is another one for each seed, but its runs are one protocol: `random:1` and `random:2` are
 * averaged as `random`.
 */
export const family = (arch: string): string => arch.replace(/^random:.*$/, "random");

/** What the table of a run says of its architecture in a column, per cent; null where it says nothing. */
export function knownAccuracy({ knownAccuracies }: RunSummary, column: string): number | null {
  return knownAccuracies !== null && Object.hasOwn(knownAccuracies, column) ? knownAccuracies[column] : null;
}

/** Puts runs beside each other. Runs of one kind, architecture or method, space, preset, data set and number of epochs form a group. */
export function compareRuns(
  runs: readonly { path: string; name: string; summary: RunSummary }[],
): Comparison {
  const groups = new Map<string, RunSummary[]>();
  for (const { summary } of runs) {
    // Searches are grouped by how they were made: what they find is their outcome.
    const arch = summary.kind === "search" ? null : family(summary.arch);
    const { kind, method, space, preset, dataset, epochs } = summary;
    const key = JSON.stringify([kind, arch, method, space, preset, dataset, epochs]);
    groups.set(key, [...(groups.get(key) ?? []), summary]);
  }
  const knownColumns = [
    ...new Set(runs.flatMap(({ summary }) => Object.keys(summary.knownAccuracies ?? {}))),
  ];
  return {
    knownColumns,
    runs: runs.map(({ path, name, summary }) => ({ path, name, ...summary })),
    groups: [...groups.values()].map((members) => {
      const [{ kind, arch, method, space, preset, dataset, epochs }] = members;
      const over = (
        key:
          | "testAccuracy"
          | "validationAccuracy"
          | "parameters"
          | "multiplyAdds"
          | "seconds"
          | "projectionGap",
      ) => spreadOf(members.map((member) => member[key]));
      return {
        kind,
        arch: kind === "search" && members.length > 1 ? `${members.length} searches` : family(arch),
        method,
        space,
        preset,
        dataset,
        epochs,
        seeds: members.map((member) => member.seed),
        testAccuracy: over("testAccuracy"),
        validationAccuracy: over("validationAccuracy"),
        parameters: over("parameters"),
        multiplyAdds: over("multiplyAdds"),
        seconds: over("seconds"),
        projectionGap: over("projectionGap"),
        kendallTau: spreadOf(members.map((member) => member.kendallTau?.tau ?? null)),
        knownAccuracies: Object.fromEntries(
          knownColumns.map((column) => [
            column,
            spreadOf(members.map((member) => knownAccuracy(member, column))),
          ]),
        ),
      };
    }),
  };
}
