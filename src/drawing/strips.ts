// Measured values of several groups as a picture: a row for each group, a dot for each value, mean and 95 % interval.
import { escapeXml } from "./cells.js";

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

const margin = 28;
const top = margin + 60;
const rowHeight = 52;
const plotWidth = 460;
/** About the width of a letter of 13 pixels. */
const letterWidth = 7.4;
const longestName = 28;
const dotRadius = 4.5;
const mostTicks = 7;

const shortened = (name: string): string =>
  name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name;
const round = (value: number): string => String(Math.round(value * 100) / 100);

/** Round numbers that span the values, 1, 2 or 5 times a power of ten apart. */
export function ticksOver(low: number, high: number): number[] {
  // Values that are as good as equal get an axis all the same.
  const apart = high - low > 1e-6;
  const range = apart ? high - low : 1;
  const [start, end] = apart ? [low, high] : [low - range / 2, high + range / 2];
  const power = 10 ** Math.floor(Math.log10(range / mostTicks));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => range / one <= mostTicks)!;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.floor(start / step + 1e-9);
  const last = Math.ceil(end / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toFixed(digits)),
  );
}

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
  const digits = Math.max(...ticks.map((tick) => String(tick).split(".")[1]?.length ?? 0));
  const at = (value: number): number => left + (plotWidth * (value - low)) / (high - low);
  const bottom = top + rowHeight * strips.length;
  const [width, height] = [left + plotWidth + margin + 12, bottom + 52];
  const parts = ticks.flatMap((tick) => [
    `<line class="grid" x1="${round(at(tick))}" y1="${top}" x2="${round(at(tick))}" y2="${bottom}"/>`,
    `<text class="note middle" x="${round(at(tick))}" y="${bottom + 18}">${tick.toFixed(digits)}</text>`,
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
