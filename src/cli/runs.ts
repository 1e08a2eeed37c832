// `ista-nas runs`: lists, shows and compares run directories.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import {
  type Column,
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatTable,
} from "../base/format.js";
import { printable } from "../base/terminal.js";
import { formatKnown } from "../formats/accuracy-table.js";
import { RunDirectory } from "../run/directory.js";
import { withTable } from "../run/known-accuracies.js";
import { describeRun, listRuns, type RunListing } from "../run/listing.js";
import { knownAccuracy, type RunSummary } from "../run/summary.js";
import {
  type ComparedRun,
  type Comparison,
  type ComparisonGroup,
  comparedRun,
  compareRuns,
} from "../study/compare.js";
import type { Estimate } from "../study/estimate.js";
import { formatProbability } from "../study/report-text.js";
import { findRun } from "./find-run.js";
import { addExamples, printResult } from "./frame.js";
import { registerRunFigures } from "./runs-figures.js";

export function registerRuns(program: Command): void {
  const runs = program.command("runs").description("list, show and compare runs");

  const list = runs.command("list").description("list the runs in a folder");
  list.argument("[root]", "folder of runs", "runs");
  list.action((root: string) => {
    const listings = listRuns(root);
    printResult(list, listings, () =>
      listings.length === 0 ? `no runs in ${printable(root)}` : formatTable(listings, listColumns),
    );
  });

  const show = runs.command("show").description("show one run: configuration, outcome, last record");
  show.argument("<run>", "run directory, or its name in ./runs");
  show.action((name: string) => showRun(show, findRun(name)));

  const compare = runs
    .command("compare")
    .description("compare finished runs; those that differ in the seed alone are averaged");
  compare.argument("<runs...>", "run directories, or their names in ./runs");
  compare.option(
    "--table <file>",
    "accuracies of their architectures in this table [those recorded by the runs]",
  );
  compare.action((names: string[]) => {
    const { table } = compare.opts<{ table?: string }>();
    const found = names.map((name) => runToCompare(findRun(name)));
    const comparison = compareRuns(table === undefined ? found : withTable(found, table));
    printResult(compare, comparison, () => formatComparison(comparison));
  });

  registerRunFigures(runs);

  addExamples(runs, [
    ["runs list", "the runs in ./runs"],
    ["runs show search-20240607-153000", "one run"],
    ["runs compare search-a search-b --table accuracies.csv", "with what a table says of what they found"],
    ["runs draw first second", "their curves, laid over each other"],
    ["runs export first --out first.csv", "what was recorded, for a spreadsheet"],
    ["runs compare runs/found runs/random-1 runs/random-2", "a table with mean and spread over seeds"],
  ]);
}

const dash = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? "-" : format(value);

const accuracy = (value: number): string => formatPercent(value);

const listColumns: Column<RunListing>[] = [
  { title: "RUN", cell: (run) => run.name },
  { title: "KIND", cell: (run) => run.kind ?? "?" },
  { title: "STATUS", cell: (run) => (run.problem === null ? run.status : "unreadable") },
  { title: "ARCHITECTURE", cell: (run) => run.summary?.arch ?? "-" },
  { title: "EPOCHS", align: "right", cell: (run) => dash(run.summary?.epochs, String) },
  { title: "TEST", align: "right", cell: (run) => dash(run.summary?.testAccuracy, accuracy) },
  { title: "VALIDATION", align: "right", cell: (run) => dash(run.summary?.validationAccuracy, accuracy) },
  { title: "TIME", align: "right", cell: (run) => dash(run.summary?.seconds, formatDuration) },
  { title: "", cell: (run) => run.problem ?? "" },
];

function showRun(command: Command, path: string): void {
  const run = RunDirectory.open(path, "read");
  const listing = describeRun(path);
  const records = run.records();
  const last = records.at(-1) ?? null;
  const config = run.config(run.meta.kind);
  printResult(
    command,
    { ...listing, meta: run.meta, config, records: records.length, lastRecord: last },
    () => {
      const summary = listing.summary;
      const host = run.meta.host as { name?: string; processor?: string; cores?: number };
      const facts: [string, string][] = [
        ["run", path],
        ["kind", run.meta.kind],
        ["status", listing.status],
        ["created", run.meta.created],
        ["command", `ista-nas ${run.meta.command.join(" ")}`],
        ...run.meta.resumed.map(({ time, changes }): [string, string] => [
          "resumed",
          [time, ...changes].join("; "),
        ]),
        ["preset", run.meta.preset ?? "none"],
        ["seed", String(run.meta.seed)],
        [
          "versions",
          Object.entries(run.meta.versions)
            .map((pair) => pair.join(" "))
            .join(", "),
        ],
        ["host", `${host.name ?? "?"}, ${host.cores ?? "?"} cores of ${host.processor ?? "?"}`],
        ["records", String(records.length)],
        ...(summary === null ? [] : summaryFacts(summary)),
      ];
      return formatTable(facts, [
        { title: "", cell: ([name]) => name },
        { title: "", cell: ([, value]) => value },
      ]).trimStart();
    },
  );
}

function summaryFacts(summary: RunSummary): [string, string][] {
  return [
    ["architecture", summary.arch],
    ["data", summary.dataset],
    ["epochs", String(summary.epochs)],
    ["parameters", dash(summary.parameters, formatCount)],
    ["mult-adds", dash(summary.multiplyAdds, formatCount)],
    ["validation accuracy", dash(summary.validationAccuracy, accuracy)],
    ["test accuracy", dash(summary.testAccuracy, accuracy)],
    ...(summary.knownAccuracies === null
      ? []
      : [["known accuracies", formatKnown(summary.knownAccuracies)] as [string, string]]),
    ...(summary.projectionGap === null
      ? []
      : [["projection gap", accuracy(summary.projectionGap)] as [string, string]]),
    ...(summary.kendallTau === null
      ? []
      : [["Kendall's tau", dash(summary.kendallTau.tau, tau)] as [string, string]]),
    ["time", formatDuration(summary.seconds)],
    ["processor time", dash(summary.processorSeconds, formatDuration)],
    ["peak memory", dash(summary.peakMemoryBytes, formatBytes)],
  ];
}

/** @throws IstaError RUN_NOT_FOUND for folders that are no run or have no outcome yet. */
export function runToCompare(path: string): ComparedRun {
  const summary = RunDirectory.open(path, "read").summary();
  if (summary === null) {
    throw new IstaError("RUN_NOT_FOUND", `${path}: it has no summary.json yet; let it finish, or resume it`);
  }
  return comparedRun(path, summary);
}

const spread = (value: Estimate | null, format: (value: number) => string): string =>
  value === null
    ? "-"
    : value.deviation === null
      ? format(value.mean)
      : `${format(value.mean)} ± ${format(value.deviation)}`;

/** The accuracy that says most of a group. */
const mainAccuracy = (group: ComparisonGroup): Estimate | null =>
  group.testAccuracy ?? group.validationAccuracy;

function interval(group: ComparisonGroup): string {
  const found = mainAccuracy(group)?.interval;
  if (!found) return "-";
  const [low, high] = found.map((value) => (100 * value).toFixed(2));
  return `${low} to ${high} %`;
}

const differences = ({ differs }: ComparisonGroup): string =>
  Object.entries(differs)
    .map(([key, value]) => `${key} ${value.length > 24 ? `${value.slice(0, 24)}...` : value}`)
    .join(", ");

const groupColumns: Column<ComparisonGroup>[] = [
  { title: "ARCHITECTURE", cell: (group) => group.arch },
  { title: "PRESET", cell: (group) => group.preset ?? "-" },
  { title: "KIND", cell: (group) => group.method ?? group.kind },
  { title: "SPACE", cell: (group) => group.space ?? "-" },
  { title: "SEEDS", align: "right", cell: (group) => String(group.seeds.length) },
  { title: "TEST", align: "right", cell: (group) => spread(group.testAccuracy, accuracy) },
  { title: "VALIDATION", align: "right", cell: (group) => spread(group.validationAccuracy, accuracy) },
  { title: "95 % INTERVAL", align: "right", cell: interval },
  { title: "PARAMS", align: "right", cell: (group) => spread(group.parameters, formatCount) },
  { title: "MULT-ADDS", align: "right", cell: (group) => spread(group.multiplyAdds, formatCount) },
  { title: "TIME", align: "right", cell: (group) => spread(group.seconds, formatDuration) },
];

const runColumns: Column<Comparison["runs"][number]>[] = [
  { title: "RUN", cell: (run) => run.name },
  { title: "ARCHITECTURE", cell: (run) => run.arch },
  { title: "SEED", align: "right", cell: (run) => String(run.seed) },
  { title: "STATUS", cell: (run) => run.status },
  { title: "EPOCHS", align: "right", cell: (run) => String(run.epochs) },
  { title: "TEST", align: "right", cell: (run) => dash(run.testAccuracy, accuracy) },
  { title: "VALIDATION", align: "right", cell: (run) => dash(run.validationAccuracy, accuracy) },
  { title: "PARAMS", align: "right", cell: (run) => dash(run.parameters, formatCount) },
  { title: "MULT-ADDS", align: "right", cell: (run) => dash(run.multiplyAdds, formatCount) },
  { title: "TIME", align: "right", cell: (run) => formatDuration(run.seconds) },
];

/** Columns that only some comparisons have: those of known accuracies, the projection gap, Kendall's tau. */
function findingColumns<Row>(
  comparison: Comparison,
  cell: (row: Row, column: FindingColumn) => string,
): Column<Row>[] {
  const { runs, knownColumns } = comparison;
  const columns: FindingColumn[] = [
    ...knownColumns.map((name): FindingColumn => ({ kind: "known", name })),
    ...(runs.some(({ projectionGap }) => projectionGap !== null) ? [{ kind: "gap" } as const] : []),
    ...(runs.some(({ kendallTau }) => kendallTau !== null) ? [{ kind: "tau" } as const] : []),
  ];
  return columns.map((column) => ({
    title: column.kind === "known" ? column.name : column.kind === "gap" ? "GAP" : "TAU",
    align: "right",
    cell: (row) => cell(row, column),
  }));
}

type FindingColumn = { kind: "known"; name: string } | { kind: "gap" } | { kind: "tau" };

/** Per cent, as tables of known accuracies have it. */
const known = (value: number): string => `${value.toFixed(2)} %`;
const tau = (value: number): string => value.toFixed(3);

export function formatComparison(comparison: Comparison): string {
  const { runs, groups, repeated } = comparison;
  const table = formatTable(runs, [
    ...runColumns,
    ...findingColumns<Comparison["runs"][number]>(comparison, (run, column) => {
      if (column.kind === "known") return dash(knownAccuracy(run, column.name), known);
      return column.kind === "gap" ? dash(run.projectionGap, accuracy) : dash(run.kendallTau?.tau, tau);
    }),
  ]);
  // Without repeated architectures the second table would say the first again.
  if (groups.every((group) => group.seeds.length < 2) && repeated.length === 0) return table;
  const columns = [
    ...groupColumns,
    ...findingColumns<ComparisonGroup>(comparison, (group, column) => {
      if (column.kind === "known") return spread(group.knownAccuracies[column.name], known);
      return column.kind === "gap" ? spread(group.projectionGap, accuracy) : spread(group.kendallTau, tau);
    }),
    ...(groups.some((group) => differences(group) !== "")
      ? [{ title: "DIFFERS IN", cell: (group: ComparisonGroup) => differences(group) }]
      : []),
  ];
  return [
    table,
    "",
    "mean ± standard deviation over runs that differ in the seed alone (random cells: alike but for the cells):",
    formatTable(groups, columns),
    ...pairLines(comparison),
    ...repeated.map(
      ({ name, of }) => `${printable(name)} repeats ${printable(of)}, seed and all: counted once`,
    ),
  ].join("\n");
}

/** Differences between groups that share seeds, with how often chance alone would give as much. */
function pairLines({ groups, pairs }: Comparison): string[] {
  const name = (index: number): string => {
    const group = groups[index];
    const differs = differences(group);
    return printable(differs === "" ? group.arch : `${group.arch} (${differs})`);
  };
  const points = (share: number): string => `${share < 0 ? "" : "+"}${(100 * share).toFixed(2)}`;
  return pairs.map(({ first, second, column, seeds, difference: { mean, interval, permutation } }) => {
    const range =
      interval === null ? "" : ` (95 % interval ${points(interval[0])} to ${points(interval[1])})`;
    const what = column === "testAccuracy" ? "test" : "validation";
    return `${name(first)} minus ${name(second)}: ${points(mean)} points ${what}${range}, p = ${formatProbability(permutation.p)} by sign flips over ${seeds.length} seeds that both have`;
  });
}
