// The report of a study in its folder, as files for people, spreadsheets and programs.
import { jsonText, writeFilesAtomic } from "../base/files.js";
import { drawStripsSvg } from "../drawing/strips.js";
import { columnWords, type Report } from "./report.js";
import { formatArmsCsv, formatMarkdown, formatRunsCsv } from "./report-text.js";

/** The figure of a report: a dot for each run, mean and interval of each arm. */
export function drawReportSvg({ arms, runs, name, column }: Report): string {
  const strips = arms.map(({ arm, mean, interval }) => ({
    name: arm,
    mean,
    interval,
    points: runs
      .filter((run) => run.arm === arm)
      .map(({ value, seed }) => ({ value, label: `${arm}, seed ${seed}` })),
  }));
  return drawStripsSvg(strips, name ?? columnWords(column), `${columnWords(column)}, per cent`);
}

/** Writes all forms of a report into the folder of its study. @returns the names of the files */
export function writeReportFiles(folder: string, report: Report): string[] {
  const files = {
    "report.json": jsonText(report),
    "report.md": formatMarkdown(report),
    "report.csv": formatArmsCsv(report),
    "runs.csv": formatRunsCsv(report),
    "figure.svg": drawReportSvg(report),
  };
  writeFilesAtomic(folder, files);
  return Object.keys(files);
}
