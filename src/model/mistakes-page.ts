// The images that a network got wrong, as a page and as a table: what it was surest of first.

import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import { formatPercent } from "../base/format.js";
import { drawCalibrationSvg } from "../drawing/calibration.js";
import { escapeXml } from "../drawing/cells.js";
import { drawConfusionSvg } from "../drawing/confusion.js";
import { formatCsv } from "../formats/csv.js";
import type { Mistake } from "./classification.js";
import type { ModelEvaluation } from "./evaluate-model.js";

/** Pixels a side of an image on the page. */
const shownSide = 160;

const style = `
:root{color-scheme:light dark;--ink:#1c2128;--soft:#59636e;--line:#d1d9e0;--ground:#fff;--bad:#b3400a}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--ground:#0d1117;--bad:#f0883e}}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif;color:var(--ink);background:var(--ground);margin:0 auto;max-width:1100px;padding:24px 16px}
h1{font-size:22px;margin:0}h2{font-size:17px;margin:32px 0 8px}p{margin:4px 0 12px;color:var(--soft)}
.mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(${shownSide + 16}px,1fr));gap:14px;padding:0;list-style:none}
.mistakes li{border:1px solid var(--line);border-radius:10px;padding:8px;overflow-wrap:anywhere;font-size:13px}
.mistakes img{width:100%;height:${shownSide}px;object-fit:contain;image-rendering:pixelated;background:#8882}
.guess{color:var(--bad);font-weight:600}.origin{color:var(--soft);font-size:12px}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:3px 12px;text-align:right;border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}
.figures{display:flex;flex-wrap:wrap;gap:16px}.figures svg{max-width:100%;height:auto}
`;

const share = (value: number | null): string => (value === null ? "-" : formatPercent(value, 1));

/** A picture as a PNG file in text, from the pixels that the network saw. */
async function inlined(pixels: Float32Array, { shape, normalisation }: PageModel): Promise<string> {
  const { imageHeight: height, imageWidth: width } = shape;
  const channels = normalisation.mean.length as 1 | 3;
  const area = height * width;
  const bytes = Uint8Array.from({ length: pixels.length }, (_, index) => {
    // Planes to pixels.
    const channel = index % channels;
    const value = pixels[channel * area + Math.floor(index / channels)];
    return Math.round(
      255 * Math.min(1, Math.max(0, value * normalisation.std[channel] + normalisation.mean[channel])),
    );
  });
  const { default: sharp } = await import("sharp");
  const png = await sharp(bytes, { raw: { width, height, channels } }).png().toBuffer();
  return `data:image/png;base64,${png.toString("base64")}`;
}

interface PageModel {
  readonly shape: { readonly imageHeight: number; readonly imageWidth: number };
  readonly normalisation: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

/** Pictures are linked where they lie; images of sets in memory are in the page. */
const imageOf = ({ origin, pixels }: Mistake, model: PageModel): Promise<string> | string =>
  typeof origin === "string" && isAbsolute(origin) ? pathToFileURL(origin).href : inlined(pixels, model);

/** @param found an evaluation that collected mistakes */
export async function mistakesPage(found: ModelEvaluation, model: PageModel, title: string): Promise<string> {
  const { classes, report, calibration, calibrationError, topK, mistakes, mistakeCount } = found;
  const items: string[] = [];
  for (const mistake of mistakes) {
    const { origin, truth, guess, probability, truthProbability } = mistake;
    const name = escapeXml(typeof origin === "number" ? `image ${origin}` : origin);
    items.push(
      `<li><img loading="lazy" alt="${name.replaceAll('"', "&quot;")}" src="${escapeXml(await imageOf(mistake, model)).replaceAll('"', "&quot;")}">
<div><span class="guess">${escapeXml(classes[guess])}</span> ${formatPercent(probability, 1)}</div>
<div>is ${escapeXml(classes[truth])} (${formatPercent(truthProbability, 1)})</div>
<div class="origin">${name}</div></li>`,
    );
  }
  const rows = report.classes.map(
    ({ name, support, precision, recall, f1 }) =>
      `<tr><td>${escapeXml(name)}</td><td>${support}</td><td>${share(precision)}</td><td>${share(recall)}</td><td>${share(f1)}</td></tr>`,
  );
  const averages = (["macro", "weighted"] as const).map((kind) => {
    const { precision, recall, f1 } = report[kind];
    return `<tr><th>${kind} average</th><th>${found.count}</th><th>${share(precision)}</th><th>${share(recall)}</th><th>${share(f1)}</th></tr>`;
  });
  const ranks = topK
    .slice(0, classes.length - 1)
    .map((value, index) => `top-${index + 1} ${formatPercent(value)}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: file:; style-src 'unsafe-inline'">
<title>Mistakes of ${escapeXml(title)}</title><style>${style}</style></head><body>
<h1>Mistakes of ${escapeXml(title)}</h1>
<p>${mistakeCount} of ${found.count} images are wrong; ${mistakes.length === mistakeCount ? "all are here" : `the ${mistakes.length} that it was surest of are here`}, the surest first. ${ranks.join(", ")}.</p>
<ul class="mistakes">
${items.join("\n")}
</ul>
<h2>Classes</h2>
<div class="scroll"><table><thead><tr><th>class</th><th>images</th><th>precision</th><th>recall</th><th>F1</th></tr></thead>
<tbody>
${rows.join("\n")}
${averages.join("\n")}
</tbody></table></div>
<h2>How sure it was, and which classes it took for which</h2>
<div class="figures">
${drawCalibrationSvg(calibration, calibrationError, "Calibration")}
${found.confusion === null ? "" : drawConfusionSvg(found.confusion, classes, "Confusion")}
</div>
</body></html>
`;
}

/** The same mistakes as a table. */
export const mistakesCsv = ({ mistakes, classes }: ModelEvaluation): string =>
  formatCsv([
    ["picture", "truth", "guess", "probability", "probability of the truth"],
    ...mistakes.map(({ origin, truth, guess, probability, truthProbability }) => [
      String(origin),
      classes[truth],
      classes[guess],
      probability.toFixed(6),
      truthProbability.toFixed(6),
    ]),
  ]);
