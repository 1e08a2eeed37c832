// How sure a network was and how often it was right, as a picture: a bar for each range of confidence, beside the diagonal.
import { figureSvg, margin, palette, round } from "./figure.js";

interface Bin {
  readonly low: number;
  readonly high: number;
  readonly count: number;
  readonly confidence: number;
  readonly accuracy: number;
}

const left = margin + 44;
const top = margin + 50;
const side = 320;
const countsHeight = 60;

/**
 * @param bins ranges of confidence that follow each other
 * @param error the expected calibration error, 0..1
 */
export function drawCalibrationSvg(bins: readonly Bin[], error: number, title: string): string {
  const atX = (share: number): number => left + side * share;
  const atY = (share: number): number => top + side * (1 - share);
  const countsTop = top + side + 26;
  const most = Math.max(1, ...bins.map(({ count }) => count));
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((tick) => [
    `<line class="grid" x1="${left}" y1="${atY(tick)}" x2="${left + side}" y2="${atY(tick)}"/>`,
    `<text class="note end" x="${left - 8}" y="${round(atY(tick) + 4)}">${100 * tick}</text>`,
    `<text class="note middle" x="${round(atX(tick))}" y="${countsTop + countsHeight + 16}">${100 * tick}</text>`,
  ]);
  for (const { low, high, count, confidence, accuracy } of bins) {
    if (count === 0) continue;
    const [x, width] = [atX(low) + 1, side * (high - low) - 2];
    const tip = `<title>${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)} % sure: ${count} images, ${(100 * confidence).toFixed(1)} % sure on average, ${(100 * accuracy).toFixed(1)} % right</title>`;
    const height = (countsHeight * count) / most;
    parts.push(
      `<rect x="${round(x)}" y="${round(atY(accuracy))}" width="${round(width)}" height="${round(side * accuracy)}" fill="${palette[0]}" fill-opacity=".75">${tip}</rect>`,
      `<circle cx="${round(atX(confidence))}" cy="${round(atY(confidence))}" r="3.5" fill="${palette[1]}">${tip}</circle>`,
      `<rect x="${round(x)}" y="${round(countsTop + countsHeight - height)}" width="${round(width)}" height="${round(height)}" fill="#6b737e">${tip}</rect>`,
    );
  }
  parts.push(
    `<line x1="${left}" y1="${atY(0)}" x2="${left + side}" y2="${atY(1)}" stroke="${palette[1]}" stroke-dasharray="5 3"/>`,
    `<text class="note middle" transform="translate(${margin + 4} ${top + side / 2}) rotate(-90)">right (%)</text>`,
    `<text class="note middle" transform="translate(${margin + 4} ${countsTop + countsHeight / 2}) rotate(-90)">images</text>`,
    `<text class="note middle" x="${left + side / 2}" y="${countsTop + countsHeight + 34}">probability of the answer (%)</text>`,
  );
  const note = `bar: share that is right · dashed: as sure as right · error ${(100 * error).toFixed(2)} %`;
  const size = { width: left + side + margin + 70, height: countsTop + countsHeight + 34 + margin };
  return figureSvg(size, title, note, parts);
}
