// The report of a study as it stands.
import { realpathSync } from "node:fs";
import { relative, sep } from "node:path";
import { IstaError } from "../base/errors.js";
import { collectRuns } from "../study/collect.js";
import { readPlan, runsOf, studyOf } from "../study/directory.js";
import { type Report, reportOf } from "../study/report.js";
import type { FoundStudy } from "./catalogue.js";
import { lookAt, readObjectInside } from "./safe-files.js";
import type { StudyTable } from "./types.js";

const largestReport = 16 << 20;

/** Whether a path leads to a folder below `folder` without any link; what does not exist does no harm. */
function staysInside(folder: string, path: string): boolean {
  const below = relative(folder, path);
  if (below === "" || below.startsWith(`..${sep}`) || below === "..") return false;
  try {
    return realpathSync(path) === path && lookAt(path, "summary.json")?.size !== undefined;
  } catch {
    return true;
  }
}

/** The report of a study; where it needs plug-ins, which are programs, the one that `study` has written. */
export async function studyTable({ folder }: FoundStudy): Promise<StudyTable> {
  try {
    const plan = readPlan(folder);
    if (plan.plugins.length > 0) {
      const written = readObjectInside(folder, "report.json", largestReport);
      if (written !== null) return { report: written as unknown as Report };
      return { problem: "it needs plug-ins, which are not run here: `ista-nas study report` shows it" };
    }
    const outside = runsOf(studyOf(folder, plan)).find(({ path }) => !staysInside(folder, path));
    if (outside !== undefined) return { problem: `${outside.path} is a link or lies elsewhere` };
    return { report: shortPaths(reportOf(await collectRuns([folder])), folder) };
  } catch (error) {
    if (error instanceof IstaError) return { problem: error.message };
    throw error;
  }
}

/** With paths below the study's folder: whoever gets a saved page need not know the folders of this machine. */
function shortPaths(report: Report, folder: string): Report {
  const short = <Row extends { readonly path: string }>(row: Row): Row => ({
    ...row,
    path: relative(folder, row.path),
  });
  return { ...report, runs: report.runs.map(short), missing: report.missing.map(short) };
}
