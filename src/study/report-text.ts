// The report of a study for people and programs: tables for the terminal, Markdown, CSV.
import { type Column, formatBytes, formatCount, formatDuration, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { formatCsv } from "../formats/csv.js";
import { type ArmReport, columnWords, type DifferenceReport, type Report } from "./report.js";

export const reportFormats = ["table", "markdown", "csv", "json"] as const;
export type ReportFormat = (typeof reportFormats)[number];

const dash = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? "-" : format(value);

const perCent = (value: number): string => value.toFixed(2);
const signed = (value: number): string => `${value < 0 ? "" : "+"}${value.toFixed(2)}`;

const interval = (
  value: readonly [low: number, high: number] | null | undefined,
  format: (value: number) => string,
): string => (value === null || value === undefined ? "-" : `${format(value[0])} to ${format(value[1])}`);

/** Small ones as their order of magnitude. */
export const formatProbability = (p: number): string => (p < 0.001 ? p.toExponential(0) : p.toFixed(3));

const armColumns: Column<ArmReport>[] = [
  { title: "ARM", cell: ({ arm }) => arm },
  { title: "RUNS", align: "right", cell: ({ count }) => String(count) },
  { title: "MEAN", align: "right", cell: ({ mean }) => perCent(mean) },
  { title: "SD", align: "right", cell: ({ deviation }) => dash(deviation, perCent) },
  { title: "95 % INTERVAL", align: "right", cell: (arm) => interval(arm.interval, perCent) },
  { title: "BEST", align: "right", cell: ({ best }) => perCent(best.value) },
  { title: "WORST", align: "right", cell: ({ worst }) => perCent(worst.value) },
];

const differenceColumns = ({ paired }: Report): Column<DifferenceReport>[] => [
  { title: "ARM", cell: ({ arm }) => arm },
  { title: paired ? "PAIRS" : "RUNS", align: "right", cell: ({ count }) => String(count) },
  {
    title: "DIFFERENCE",
    align: "right",
    cell: ({ difference }) => dash(difference?.mean, signed),
  },
  {
    title: "95 % INTERVAL",
    align: "right",
    cell: ({ difference }) => interval(difference?.interval, signed),
  },
  {
    title: "P",
    align: "right",
    cell: ({ difference }) => dash(difference?.permutation.p, formatProbability),
  },
  {
    title: "P (T TEST)",
    align: "right",
    cell: ({ difference }) => dash(difference?.studentP, formatProbability),
  },
];

const costColumns: Column<ArmReport>[] = [
  { title: "ARM", cell: ({ arm }) => arm },
  {
    title: "PROCESSOR TIME",
    align: "right",
    cell: ({ processorSeconds }) => dash(processorSeconds?.mean, formatDuration),
  },
  { title: "TIME", align: "right", cell: ({ seconds }) => formatDuration(seconds.mean) },
  {
    title: "PEAK MEMORY",
    align: "right",
    cell: ({ peakMemoryBytes }) => dash(peakMemoryBytes, formatBytes),
  },
  { title: "PARAMS", align: "right", cell: ({ parameters }) => dash(parameters?.mean, formatCount) },
];

function testWords({ paired, differences }: Report): string {
  const tests = differences.flatMap(({ difference }) => difference?.permutation ?? []);
  const kind = paired ? "sign flips" : "divisions into groups";
  const drawn = tests.find(({ exact }) => !exact);
  const how = drawn === undefined ? `all ${kind}` : `${drawn.drawn} random ${kind}`;
  const several = differences.length > 1 ? ", not adjusted for several arms" : "";
  return `P: two-sided, by ${how}; P (T TEST): ${paired ? "paired" : "Welch's"}${several}.`;
}

/** What tables cannot say, each a sentence. */
function notes(report: Report): string[] {
  const { armsDifferIn, allowedDifferences, missing, differences, baseline, paired } = report;
  const apart = paired ? differences.filter(({ difference }) => difference === null) : [];
  return [
    ...(differences.length > 0 ? [testWords(report)] : []),
    ...(armsDifferIn.length > 0 ? [`The arms differ in ${armsDifferIn.join(", ")}.`] : []),
    ...(allowedDifferences.length > 0
      ? [`Runs also differ in ${allowedDifferences.join(", ")}, which was allowed.`]
      : []),
    ...apart.map(
      ({ arm }) =>
        `${arm} and ${baseline} have no seed in common: nothing to pair; --unpaired compares them.`,
    ),
    ...missing.map(
      ({ arm, seed, path, reason }) =>
        `Left out: ${arm}${seed === null ? "" : ` seed ${seed}`} (${path}): ${reason}.`,
    ),
  ].map(printable);
}

type TableWriter = <Row>(rows: readonly Row[], columns: readonly Column<Row>[]) => string;

/** Title, tables and notes, joined as a kind of text joins them. */
function parts(report: Report, table: TableWriter): string[] {
  const { name, column, arms, baseline, paired, differences } = report;
  const words = `${columnWords(column)}, per cent`;
  return [
    printable(`${name === null ? "" : `${name}: `}${words}`),
    table(arms, armColumns),
    ...(differences.length === 0
      ? []
      : [
          `difference to ${printable(baseline)}${paired ? ", paired by seed" : ""}`,
          table(differences, differenceColumns(report)),
        ]),
    "cost of a run: means, and the highest memory",
    table(arms, costColumns),
  ];
}

export function formatReport(report: Report): string {
  const [title, first, ...rest] = parts(report, formatTable);
  const sections = [`${title}\n${first}`];
  for (let index = 0; index < rest.length; index += 2) sections.push(`${rest[index]}\n${rest[index + 1]}`);
  const last = notes(report).join("\n");
  return [...sections, ...(last === "" ? [] : [last])].join("\n\n");
}

const markdownText = (text: string): string => text.replaceAll("|", "\\|");

const markdownTable: TableWriter = (rows, columns) =>
  [
    columns.map(({ title }) => title.toLowerCase()),
    columns.map(({ align }) => (align === "right" ? "---:" : "---")),
    ...rows.map((row) => columns.map(({ cell }) => markdownText(printable(cell(row))))),
  ]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");

export function formatMarkdown(report: Report): string {
  const [title, ...rest] = parts(report, markdownTable);
  const list = notes(report).map((note) => `* ${note}`);
  return `${[`# ${title}`, ...rest, ...(list.length > 0 ? [list.join("\n")] : [])].join("\n\n")}\n`;
}

const field = (value: number | string | null | undefined): string => printable(String(value ?? ""));

/** A row for each arm; empty where there is nothing. */
export function formatArmsCsv({ arms, differences, column, baseline, paired }: Report): string {
  const rows = arms.map((arm): Record<string, number | string | null | undefined> => {
    const found = differences.find((one) => one.arm === arm.arm);
    const difference = found?.difference;
    return {
      arm: arm.arm,
      column,
      runs: arm.count,
      mean: arm.mean,
      deviation: arm.deviation,
      low: arm.interval?.[0],
      high: arm.interval?.[1],
      best: arm.best.value,
      best_seed: arm.best.seed,
      worst: arm.worst.value,
      worst_seed: arm.worst.seed,
      processor_seconds: arm.processorSeconds?.mean,
      seconds: arm.seconds.mean,
      peak_memory_bytes: arm.peakMemoryBytes,
      parameters: arm.parameters?.mean,
      baseline: found === undefined ? null : baseline,
      pairs: paired ? found?.count : null,
      difference: difference?.mean,
      difference_low: difference?.interval?.[0],
      difference_high: difference?.interval?.[1],
      permutation_p: difference?.permutation.p,
      permutation_exact: difference === null ? null : difference && String(difference.permutation.exact),
      student_p: difference?.studentP,
    };
  });
  return formatCsv([Object.keys(rows[0]), ...rows.map((row) => Object.values(row).map(field))]);
}

/** A row for each run. */
export function formatRunsCsv({ runs, column }: Report): string {
  const names = [
    "arm",
    "seed",
    column,
    "processor_seconds",
    "seconds",
    "peak_memory_bytes",
    "parameters",
    "path",
  ];
  const rows = runs.map((run) =>
    [
      ...[run.arm, run.seed, run.value, run.processorSeconds, run.seconds],
      ...[run.peakMemoryBytes, run.parameters, run.path],
    ].map(field),
  );
  return formatCsv([names, ...rows]);
}
