// Measured values of several groups as a picture: a row for each group, a dot for each value, mean and 95 % interval.
import { escapeXml } from "./cells.js";
import { margin, round, ticksOver, tickTexts } from "./figure.js";

export interface Strip {
  readonly name: string;
  readonly mean: number;
  /** Null for a single value. */
  readonly interval: readonly [low: number, high: number] | null;
  readonly points: readonly { readonly value: number; readonly label: string }[];
}

const style = `
text{font-family:system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:13px;fill:#1c2128}
.title{font-size:16px;font-weight:700}.note{fill:#59636e;font-size:12px}.end{text-anchor:end}.middle{text-anchor:middle}
.panel{fill:#ffffff;stroke:#d1d9e0}.grid{stroke:#e4e9ee;stroke-width:1}.dot{fill:#0072b2;fill-opacity:.55}
.interval{stroke:#d55e00;stroke-width:2.5;stroke-linecap:round}.mean{fill:#d55e00}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.panel{fill:#161b22;stroke:#3d444d}.grid{stroke:#2d333b}.dot{fill:#58a6ff}.interval{stroke:#f0883e}.mean{fill:#f0883e}}
`;

const top = margin + 60;
const rowHeight = 52;
const plotWidth = 460;
/** About the width of a letter of 13 pixels. */
const letterWidth = 7.4;
const longestName = 28;
const dotRadius = 4.5;

const shortened = (name: string): string =>
  name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name;

/** Dots of nearly the same value stand below and above each other: by how many radii each is moved. */
function offsets(positions: readonly number[]): number[] {
  const placed: { x: number; level: number }[] = [];
  return positions.map((x) => {
    const near = placed.filter((other) => Math.abs(other.x - x) < 1.7 * dotRadius).map(({ level }) => level);
    // 0, 1, -1, 2, -2: the first that is free.
    const level = [0, 1, -1, 2, -2].find((one) => !near.includes(one)) ?? 0;
    placed.push({ x, level });
    return 1.5 * level;
  });
}

/**
 * @param strips at least one, each with at least one value
 * @param axis what is measured, with its unit
 */
export function drawStripsSvg(strips: readonly Strip[], title: string, axis: string): string {
  const names = strips.map(({ name }) => shortened(name));
  const left = margin + Math.max(...names.map((name) => name.length)) * letterWidth + 16;
  const values = strips.flatMap(({ points, interval }) => [
    ...points.map(({ value }) => value),
    ...(interval ?? []),
  ]);
  const ticks = ticksOver(Math.min(...values), Math.max(...values));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const texts = tickTexts(ticks);
  const at = (value: number): number => left + (plotWidth * (value - low)) / (high - low);
  const bottom = top + rowHeight * strips.length;
  const [width, height] = [left + plotWidth + margin + 12, bottom + 52];
  const parts = ticks.flatMap((tick, index) => [
    `<line class="grid" x1="${round(at(tick))}" y1="${top}" x2="${round(at(tick))}" y2="${bottom}"/>`,
    `<text class="note middle" x="${round(at(tick))}" y="${bottom + 18}">${texts[index]}</text>`,
  ]);
  for (const [index, { mean, interval, points }] of strips.entries()) {
    const middle = top + rowHeight * (index + 0.5);
    // Dots above, mean and interval below them.
    const [dots, bar] = [middle - 7, middle + 12];
    const moved = offsets(points.map(({ value }) => at(value)));
    parts.push(
      `<text class="end" x="${round(left - 14)}" y="${round(middle + 4.5)}">${escapeXml(names[index])}</text>`,
    );
    for (const [number, { value, label }] of points.entries())
      parts.push(
        `<circle class="dot" cx="${round(at(value))}" cy="${round(dots + moved[number] * dotRadius)}" r="${dotRadius}"><title>${escapeXml(label)}: ${value.toFixed(2)}</title></circle>`,
      );
    if (interval !== null)
      parts.push(
        `<line class="interval" x1="${round(at(interval[0]))}" y1="${bar}" x2="${round(at(interval[1]))}" y2="${bar}"/>`,
      );
    const x = at(mean);
    parts.push(
      `<path class="mean" d="M${round(x - 6)} ${bar}L${round(x)} ${bar - 6}L${round(x + 6)} ${bar}L${round(x)} ${bar + 6}Z"><title>mean of ${escapeXml(strips[index].name)}: ${mean.toFixed(2)}</title></path>`,
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" viewBox="0 0 ${round(width)} ${round(height)}" role="img">
<title>${escapeXml(title)}</title>
<style>${style}</style>
<rect class="panel" x="0.5" y="0.5" width="${round(width - 1)}" height="${round(height - 1)}" rx="12"/>
<text class="title" x="${margin}" y="${margin + 8}">${escapeXml(title.slice(0, 60))}</text>
<text class="note" x="${margin}" y="${margin + 30}">dot: one run · diamond and bar: mean and its 95 % interval</text>
${parts.join("\n")}
<text class="note middle" x="${round(left + plotWidth / 2)}" y="${round(height - 14)}">${escapeXml(axis)}</text>
</svg>
`;
}
