// The dashboard's page with some runs as one file, which opens from the disk and asks for nothing.
import { createHash } from "node:crypto";
import { IstaError } from "../base/errors.js";
import { stepsFileName } from "../run/growing-files.js";
import type { JsonObject } from "../run/records.js";
import type { Catalogue } from "./catalogue.js";
import { drawCells } from "./drawings.js";
import { joinedModules, readPageFile } from "./page-files.js";
import { pointOf, stepPointOf } from "./points.js";
import { RecordTail, recordsName } from "./record-tail.js";
import type { RunFacts } from "./run-facts.js";
import { studyTable } from "./study-table.js";
import type { Point, SavedPage } from "./types.js";

/** Of every record of a file that is one. */
function allOf<One>(folder: string, name: string, read: (record: JsonObject) => One | null): One[] {
  const tail = new RecordTail(folder, "", name);
  const points: One[] = [];
  for (let more = true; more; ) {
    const part = tail.read();
    if (part.reset) points.length = 0;
    points.push(...part.records.map(read).filter((one) => one !== null));
    more = part.more;
  }
  return points;
}

/** Drawings of the epochs after which they look otherwise than before. */
function drawingsOf(folder: string, points: readonly Point[]): Record<number, string> {
  const drawings: Record<number, string> = {};
  let before = "";
  for (const [index, { epoch }] of points.entries()) {
    const svg = drawCells(folder, epoch, index === 0 ? null : epoch - 1);
    if (svg === null || svg === before) continue;
    drawings[epoch] = svg;
    before = svg;
  }
  return drawings;
}

function savedRun(run: RunFacts): SavedPage["runs"][string] {
  const points = allOf(run.folder, recordsName, pointOf);
  return {
    detail: run.detail(),
    points,
    steps: allOf(run.folder, stepsFileName, stepPointOf),
    cells: drawingsOf(run.folder, points),
    finalCells: drawCells(run.folder, null, null),
  };
}

const policyHash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** JSON inside of a script element, which nothing in it can end. */
const embedded = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");

/**
 * @returns the whole file
 * @throws IstaError RUN_NOT_FOUND where there is nothing to save, FILE_*
 */
export async function savedPage(catalogue: Catalogue): Promise<string> {
  catalogue.refresh();
  const runs = [...catalogue.runs.values()];
  if (runs.length === 0)
    throw new IstaError(
      "RUN_NOT_FOUND",
      "dash --save: expected runs to save, found none; name run directories or folders of them",
    );
  const studies = [...catalogue.studies.values()];
  const tables = await Promise.all(
    studies.map(async (study) => [study.id, await studyTable(study)] as const),
  );
  const page: SavedPage = {
    saved: new Date().toISOString(),
    rows: runs.map((run) => run.row()),
    studies: studies.map(({ id, name }) => ({ id, name })),
    runs: Object.fromEntries(runs.map((run) => [run.id, savedRun(run)])),
    tables: Object.fromEntries(tables),
  };
  const styles = [readPageFile("/uplot.css"), readPageFile("/page.css")];
  const scripts = [readPageFile("/uplot.js"), joinedModules()];
  const policy = [
    "default-src 'none'",
    "img-src data:",
    `style-src ${styles.map(policyHash).join(" ")}`,
    `script-src ${scripts.map(policyHash).join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const icon = `data:image/svg+xml,${encodeURIComponent(readPageFile("/icon.svg"))}`;
  const replacements: readonly (readonly [string, string])[] = [
    [
      '<meta charset="utf-8" />',
      `<meta charset="utf-8" />\n    <meta http-equiv="Content-Security-Policy" content="${policy}" />`,
    ],
    ['href="/icon.svg"', `href="${icon}"`],
    ['<link rel="stylesheet" href="/uplot.css" />', `<style>${styles[0]}</style>`],
    ['<link rel="stylesheet" href="/page.css" />', `<style>${styles[1]}</style>`],
    ['<script src="/uplot.js" defer></script>', ""],
    ['<script src="/page/main.js" type="module"></script>', ""],
    [
      "</body>",
      `<script type="application/json" id="saved-page">${embedded(page)}</script>
    <script>${scripts[0]}</script>
    <script type="module">${scripts[1]}</script>
  </body>`,
    ],
  ];
  return replacements.reduce((html, [from, to]) => {
    if (!html.includes(from)) throw new Error(`the page has no ${from}`);
    return html.replace(from, () => to);
  }, readPageFile("/"));
}
