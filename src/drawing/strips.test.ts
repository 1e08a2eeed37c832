// The figure of a study: where dots and ticks stand, and what names may hold.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ticksOver } from "./figure.js";
import { drawStripsSvg } from "./strips.js";

const strip = (name: string, values: number[]) => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const points = values.map((value, seed) => ({ value, label: `seed ${seed}` }));
  const interval: [number, number] | null = values.length < 2 ? null : [mean - 1, mean + 1];
  return { name, mean, interval, points };
};

describe("a strip plot", () => {
  it("has a dot for each value, further right the higher it is, and mean and interval of each strip", () => {
    const svg = drawStripsSvg([strip("spos", [91, 92, 94]), strip("random", [90])], "two arms", "per cent");
    const dots = [...svg.matchAll(/<circle class="dot" cx="([\d.]+)"[^>]*><title>([^<]*)/g)];
    expect(dots.map(([, , title]) => title)).toEqual([
      "seed 0: 91.00",
      "seed 1: 92.00",
      "seed 2: 94.00",
      "seed 0: 90.00",
    ]);
    const [a, b, c, d] = dots.map(([, x]) => Number(x));
    expect(d).toBeLessThan(a);
    expect(c - b).toBeCloseTo(2 * (b - a), 1);
    expect(svg.match(/class="interval"/g)).toHaveLength(1);
    expect(svg.match(/class="mean"/g)).toHaveLength(2);
  });

  it("moves dots of one value apart, and holds names of every kind", () => {
    const svg = drawStripsSvg([strip('<b>"&', [5, 5, 5])], "<a>", "x");
    const heights = [...svg.matchAll(/<circle[^>]* cy="([\d.]+)"/g)].map(([, y]) => y);
    expect(new Set(heights).size).toBe(3);
    expect(svg).not.toContain("<b>");
    expect(svg).toContain("&lt;b&gt;");
    expect(drawStripsSvg([strip("x".repeat(90), [1])], "t", "x")).toContain(`${"x".repeat(27)}…`);
  });

  it("ticks are few, even, and span the values", () => {
    expect(ticksOver(91.6, 93.9)).toEqual([91.5, 92, 92.5, 93, 93.5, 94]);
    const hundredths = (min: number, max: number) => fc.integer({ min, max }).map((value) => value / 100);
    fc.assert(
      fc.property(hundredths(-10000, 10000), hundredths(0, 10000), (low, range) => {
        const ticks = ticksOver(low, low + range);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(9);
        expect(ticks[0]).toBeLessThanOrEqual(low + 1e-6);
        expect(ticks.at(-1)!).toBeGreaterThanOrEqual(low + range - 1e-6);
      }),
    );
  });
});
