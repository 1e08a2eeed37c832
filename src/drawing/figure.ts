// What the figures of runs have in common: colours, type, axes with round ticks.
import { escapeXml } from "./cells.js";

/** Okabe and Ito's colours, which people with any kind of colour blindness tell apart. */
export const palette = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#6b4fa0",
  "#8c6d1f",
];

const style = `
text{font-family:system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:12px;fill:#1c2128}
.title{font-size:16px;font-weight:700}.heading{font-size:13px;font-weight:600}.note{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}
.panel{fill:#ffffff;stroke:#d1d9e0}.grid{stroke:#e4e9ee;stroke-width:1}.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.band{stroke:none;fill-opacity:.18}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.panel{fill:#161b22;stroke:#3d444d}.grid{stroke:#2d333b}}
`;

export const margin = 28;

/** Hundredths of a pixel. */
export const round = (value: number): string => String(Math.round(value * 100) / 100);

const mostTicks = 7;

/** Round numbers that span the values, 1, 2 or 5 times a power of ten apart. */
export function ticksOver(low: number, high: number, most = mostTicks): number[] {
  // Values that are as good as equal get an axis all the same.
  const size = Math.max(Math.abs(low), Math.abs(high));
  const apart = high - low > Math.max(1e-12, 1e-6 * size);
  const around = apart ? 0 : Math.max(0.5, 1e-6 * size);
  const [start, end] = [low - around, high + around];
  const range = end - start;
  const power = 10 ** Math.floor(Math.log10(range / most));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => range / one <= most)!;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.floor(start / step + 1e-9);
  const last = Math.ceil(end / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toFixed(digits)),
  );
}

/** Ticks as texts of as many digits as the finest of them has. */
export function tickTexts(ticks: readonly number[]): string[] {
  const digits = Math.max(...ticks.map((tick) => String(tick).split(".")[1]?.length ?? 0));
  return ticks.map((tick) => (String(tick).includes("e") ? String(tick) : tick.toFixed(digits)));
}

/** A whole figure around its parts: background, title, a line below it. */
export function figureSvg(
  { width, height }: { width: number; height: number },
  title: string,
  note: string,
  parts: readonly string[],
): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" viewBox="0 0 ${round(width)} ${round(height)}" role="img">
<title>${escapeXml(title)}</title>
<style>${style}</style>
<rect class="panel" x="0.5" y="0.5" width="${round(width - 1)}" height="${round(height - 1)}" rx="12"/>
<text class="title" x="${margin}" y="${margin + 8}">${escapeXml(title.slice(0, 70))}</text>
<text class="note" x="${margin}" y="${margin + 30}">${escapeXml(note)}</text>
${parts.join("\n")}
</svg>
`;
}
