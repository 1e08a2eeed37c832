// Curves over the epochs of runs as a picture: one panel a quantity, one above the other.
import { escapeXml } from "./cells.js";
import { figureSvg, margin, palette, round, ticksOver, tickTexts } from "./figure.js";

export interface Curve {
  readonly name: string;
  /** Number of the colour in the palette. */
  readonly colour: number;
  readonly dashed: boolean;
  /** Dots that no line joins: each stands for itself. */
  readonly dots: boolean;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Between which values runs lie that the curve is the mean of; null for one run. */
  readonly band: readonly { readonly x: number; readonly low: number; readonly high: number }[] | null;
}

export interface Panel {
  /** The quantity with its unit. */
  readonly title: string;
  readonly curves: readonly Curve[];
}

const left = margin + 48;
const plotWidth = 620;
const plotHeight = 170;
const rowHeight = 17;
/** About the width of a letter of 12 pixels. */
const letterWidth = 6.4;

/** Names of the curves with their colours, in as many rows as they need. */
function legend(curves: readonly Curve[], start: number, top: number): { parts: string[]; rows: number } {
  let [at, rows] = [start, 1];
  const parts = curves.flatMap(({ name, colour, dashed, dots }) => {
    const shown = name.length > 48 ? `${name.slice(0, 47)}…` : name;
    const width = 26 + shown.length * letterWidth + 18;
    if (at + width > left + plotWidth + margin && at > start) [at, rows] = [start, rows + 1];
    const [x, y] = [at, top + rowHeight * (rows - 1)];
    at += width;
    const ink = palette[colour % palette.length];
    return [
      dots
        ? `<circle cx="${round(x + 10)}" cy="${y - 4}" r="3" fill="${ink}"/>`
        : `<line x1="${round(x)}" y1="${y - 4}" x2="${round(x + 20)}" y2="${y - 4}" stroke="${ink}" stroke-width="2"${dashes(dashed)}/>`,
      `<text class="note" x="${round(x + 26)}" y="${y}">${escapeXml(shown)}</text>`,
    ];
  });
  return { parts, rows };
}

const dashes = (dashed: boolean): string => (dashed ? ' stroke-dasharray="5 3"' : "");

/** @returns its parts, and where the next panel begins */
function drawPanel(
  { title, curves }: Panel,
  y: number,
  atX: (x: number) => string,
): { parts: string[]; end: number } {
  const ys = curves.flatMap(({ points, band }) => [
    ...points.map((point) => point.y),
    ...(band ?? []).flatMap(({ low, high }) => [low, high]),
  ]);
  const ticks = ticksOver(Math.min(...ys), Math.max(...ys), 5);
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const names = legend(curves, margin + title.length * 7.4 + 24, y + 16);
  const plotTop = y + 34 + rowHeight * (names.rows - 1);
  const height = (value: number): number => plotTop + plotHeight * (1 - (value - low) / (high - low));
  const atY = (value: number): string => round(height(value));
  const texts = tickTexts(ticks);
  const parts = [
    `<text class="heading" x="${margin}" y="${y + 16}">${escapeXml(title)}</text>`,
    ...names.parts,
    ...ticks.flatMap((tick, index) => [
      `<line class="grid" x1="${left}" y1="${atY(tick)}" x2="${left + plotWidth}" y2="${atY(tick)}"/>`,
      `<text class="note end" x="${left - 8}" y="${round(height(tick) + 4)}">${texts[index]}</text>`,
    ]),
  ];
  for (const { name, colour, dashed, dots, points, band } of curves) {
    const ink = palette[colour % palette.length];
    const tip = `<title>${escapeXml(name)}</title>`;
    if (band !== null && band.length > 1) {
      const there = band.map((one) => `${atX(one.x)} ${atY(one.high)}`);
      const back = band.toReversed().map((one) => `${atX(one.x)} ${atY(one.low)}`);
      parts.push(`<path class="band" fill="${ink}" d="M${[...there, ...back].join("L")}Z">${tip}</path>`);
    }
    if (dots || points.length === 1)
      for (const point of points)
        parts.push(`<circle cx="${atX(point.x)}" cy="${atY(point.y)}" r="2.5" fill="${ink}">${tip}</circle>`);
    else
      parts.push(
        `<path class="curve" stroke="${ink}"${dashes(dashed)} d="M${points.map((point) => `${atX(point.x)} ${atY(point.y)}`).join("L")}">${tip}</path>`,
      );
  }
  return { parts, end: plotTop + plotHeight + 28 };
}

/**
 * @param panels at least one, each with at least one curve of at least one finite point
 * @param axis what is counted from left to right, such as "epoch"
 */
export function drawCurvesSvg(panels: readonly Panel[], title: string, note: string, axis: string): string {
  const xs = panels.flatMap(({ curves }) => curves.flatMap(({ points }) => points.map(({ x }) => x)));
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const atX = (x: number): string =>
    round(first === last ? left + plotWidth / 2 : left + (plotWidth * (x - first)) / (last - first));
  const parts: string[] = [];
  let bottom = margin + 50;
  for (const panel of panels) {
    const drawn = drawPanel(panel, bottom, atX);
    parts.push(...drawn.parts);
    bottom = drawn.end;
  }
  for (const tick of ticksOver(first, last))
    if (Number.isInteger(tick) && tick >= first && tick <= last)
      parts.push(`<text class="note middle" x="${atX(tick)}" y="${round(bottom - 8)}">${tick}</text>`);
  parts.push(
    `<text class="note middle" x="${round(left + plotWidth / 2)}" y="${round(bottom + 12)}">${escapeXml(axis)}</text>`,
  );
  return figureSvg({ width: left + plotWidth + margin, height: bottom + margin }, title, note, parts);
}
