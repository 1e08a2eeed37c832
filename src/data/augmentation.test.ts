// Augmentation against a plain description of it, pixel by pixel, and colour jitter against the usual formulas.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomBytes, randomSet } from "../../test/support/data.js";
import { RandomStream } from "../base/random.js";
import {
  type Augmentation,
  augmentImage,
  drawPlacement,
  noAugmentation,
  type Placement,
  writeImage,
} from "./augmentation.js";
import { applyJitter, type ColourJitter, drawJitter } from "./colour-jitter.js";
import { normalisationTables } from "./image-set.js";

const shape = { channels: 3, height: 8, width: 12 };
const pixels = randomSet(1, shape.channels, shape.height, shape.width).images;
const tables = normalisationTables({ mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] }, 3);
const unmoved: Placement = { shiftY: 0, shiftX: 0, flipped: false, cutoutY: 0, cutoutX: 0 };

function written(placement: Placement, cutout = 0, input = pixels): Float32Array {
  const out = new Float32Array(pixels.length).fill(Number.NaN);
  writeImage(out, 0, input, shape, tables, placement, cutout);
  return out;
}

/** What the output pixel must be, from the description alone. */
function described(p: Placement, cutout: number, channel: number, y: number, x: number): number {
  const half = Math.floor(cutout / 2);
  const within = (v: number, centre: number): boolean => v >= centre - half && v < centre - half + cutout;
  if (cutout > 0 && within(y, p.cutoutY) && within(x, p.cutoutX)) return 0;
  const inputY = y + p.shiftY;
  const inputX = (p.flipped ? shape.width - 1 - x : x) + p.shiftX;
  const inside = inputY >= 0 && inputY < shape.height && inputX >= 0 && inputX < shape.width;
  const value = inside ? pixels[(channel * shape.height + inputY) * shape.width + inputX] : 0;
  return tables[channel][value];
}

describe("writeImage", () => {
  it("is the described pixel everywhere, whatever the placement", () => {
    const placements = fc.record({
      shiftY: fc.integer({ min: -9, max: 9 }),
      shiftX: fc.integer({ min: -13, max: 13 }),
      flipped: fc.boolean(),
      cutoutY: fc.integer({ min: 0, max: shape.height - 1 }),
      cutoutX: fc.integer({ min: 0, max: shape.width - 1 }),
    });
    fc.assert(
      fc.property(placements, fc.integer({ min: 0, max: 20 }), (placement, cutout) => {
        const out = written(placement, cutout);
        out.forEach((value, i) => {
          const x = i % shape.width;
          const y = Math.floor(i / shape.width) % shape.height;
          const channel = Math.floor(i / (shape.width * shape.height));
          expect(value).toBe(described(placement, cutout, channel, y, x));
        });
      }),
    );
  });

  it("is plain normalisation when nothing is moved", () => {
    const area = shape.height * shape.width;
    const [mean, std] = [
      [0.5, 0.4, 0.3],
      [0.2, 0.3, 0.4],
    ];
    written(unmoved).forEach((value, i) => {
      const channel = Math.floor(i / area);
      expect(value).toBeCloseTo((pixels[i] / 255 - mean[channel]) / std[channel], 5);
    });
  });

  it("flipped twice is the image itself", () => {
    // The first flip as bytes: the table that maps a value to itself.
    const identity = Array.from({ length: 3 }, () => Float32Array.from({ length: 256 }, (_, v) => v));
    const once = new Float32Array(pixels.length);
    writeImage(once, 0, pixels, shape, identity, { ...unmoved, flipped: true }, 0);
    expect(Uint8Array.from(once)).not.toEqual(pixels);
    expect(written({ ...unmoved, flipped: true }, 0, Uint8Array.from(once))).toEqual(written(unmoved));
  });

  it("writes at the offset and nowhere else", () => {
    const out = new Float32Array(pixels.length + 20).fill(7);
    writeImage(out, 10, pixels, shape, tables, { ...unmoved, shiftX: 3, flipped: true }, 5);
    expect(out.subarray(10, 10 + pixels.length)).toEqual(
      written({ ...unmoved, shiftX: 3, flipped: true }, 5),
    );
    expect([...out.subarray(0, 10), ...out.subarray(-10)]).toEqual(new Array(20).fill(7));
  });
});

describe("drawPlacement", () => {
  it("draws every shift, flip and cutout centre about equally often", () => {
    const stream = RandomStream.named(1, "test");
    const augmentation: Augmentation = { padding: 2, flip: true, cutout: 4 };
    const counts = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      for (const [key, value] of Object.entries(drawPlacement(stream, augmentation, 5, 5))) {
        counts.set(`${key} ${value}`, (counts.get(`${key} ${value}`) ?? 0) + 1);
      }
    }
    const fifths = ["shiftY", "shiftX"].flatMap((key) => [-2, -1, 0, 1, 2].map((v) => `${key} ${v}`));
    const centres = ["cutoutY", "cutoutX"].flatMap((key) => [0, 1, 2, 3, 4].map((v) => `${key} ${v}`));
    expect([...counts.keys()].sort()).toEqual(
      [...fifths, ...centres, "flipped false", "flipped true"].sort(),
    );
    // Five standard deviations of 20,000 draws at 1/5 are 283, at 1/2 354.
    for (const key of [...fifths, ...centres])
      expect(Math.abs((counts.get(key) ?? 0) - 4000)).toBeLessThan(283);
    expect(Math.abs((counts.get("flipped true") ?? 0) - 10_000)).toBeLessThan(354);
  });

  it("moves nothing without augmentation", () => {
    expect(drawPlacement(RandomStream.named(1, "test"), noAugmentation, 8, 8)).toEqual(unmoved);
  });
});

describe("colour jitter", () => {
  const still: ColourJitter = [0, 0, 0, 0];
  const jittered = (order: number[], factors: number[], input = pixels, channels = 3): Uint8Array => {
    const out = Uint8Array.from(input);
    applyJitter(out, channels, { order, factors });
    return out;
  };
  const area = shape.height * shape.width;
  const colour = (image: Uint8Array, i: number): number[] => [image[i], image[i + area], image[i + 2 * area]];
  const grey = ([r, g, b]: number[]): number => 0.299 * r + 0.587 * g + 0.114 * b;
  const clamp = (v: number): number => Math.min(255, Math.max(0, v));

  it("changes nothing at strength 0", () => {
    expect(
      jittered(...(Object.values(drawJitter(RandomStream.named(1, "test"), still)) as [number[], number[]])),
    ).toEqual(pixels);
  });

  it("scales brightness", () => {
    jittered([0], [1.3, 0, 0, 0]).forEach((value, i) => {
      expect(Math.abs(value - clamp(pixels[i] * 1.3))).toBeLessThanOrEqual(0.5);
    });
  });

  it("blends with the mean grey for contrast and with each pixel's grey for saturation", () => {
    let mean = 0;
    for (let i = 0; i < area; i++) mean += grey(colour(pixels, i)) / area;
    const contrast = jittered([1], [0, 0.6, 0, 0]);
    const saturation = jittered([2], [0, 0, 1.4, 0]);
    for (let i = 0; i < area; i++) {
      const before = colour(pixels, i);
      for (const [channel, value] of before.entries()) {
        expect(
          Math.abs(colour(contrast, i)[channel] - clamp(value * 0.6 + Math.round(mean) * 0.4)),
        ).toBeLessThanOrEqual(0.5);
        expect(
          Math.abs(colour(saturation, i)[channel] - clamp(value * 1.4 - grey(before) * 0.4)),
        ).toBeLessThanOrEqual(0.51);
      }
    }
  });

  it("turns the hue: a third of the circle moves the channels on, and back again", () => {
    const turned = jittered([3], [0, 0, 0, 1 / 3]);
    const back = jittered([3], [0, 0, 0, -1 / 3], turned);
    for (let i = 0; i < area; i++) {
      const [r, g, b] = colour(pixels, i);
      expect(colour(turned, i)).toEqual([b, r, g]);
    }
    expect(back).toEqual(pixels);
    // Half a circle is the complement: value and chroma stay.
    const half = jittered([3], [0, 0, 0, 0.5]);
    for (let i = 0; i < area; i++) {
      const [before, after] = [colour(pixels, i), colour(half, i)];
      const extremes = Math.max(...before) + Math.min(...before);
      after.forEach((value, channel) => {
        expect(Math.abs(value - (extremes - before[channel]))).toBeLessThanOrEqual(1);
      });
    }
    expect(half).toEqual(jittered([3], [0, 0, 0, -0.5]));
  });

  it("follows the order, leaves grey pictures grey, and stays within its strengths", () => {
    const factors = [1.4, 0.6, 1.4, 0.2];
    expect(jittered([0, 1, 2, 3], factors)).not.toEqual(jittered([3, 2, 1, 0], factors));
    expect(jittered([2, 3], factors, pixels, 1)).toEqual(pixels);
    const stream = RandomStream.named(1, "test");
    const orders = new Set<string>();
    for (let i = 0; i < 2000; i++) {
      const drawn = drawJitter(stream, [0.4, 2, 0.1, 0.2]);
      orders.add(drawn.order.join());
      const [brightness, contrast, saturation, hue] = drawn.factors;
      expect(Math.abs(brightness - 1)).toBeLessThanOrEqual(0.4);
      expect(contrast).toBeGreaterThanOrEqual(0);
      expect(contrast).toBeLessThanOrEqual(3);
      expect(Math.abs(saturation - 1)).toBeLessThanOrEqual(0.1);
      expect(Math.abs(hue)).toBeLessThanOrEqual(0.2);
    }
    expect(orders.size).toBe(24);
  });

  it("does not change the bytes that it is given, not even those of a Buffer", () => {
    const held = Buffer.from(randomBytes(pixels.length));
    const out = new Float32Array(pixels.length);
    const augmentation: Augmentation = { ...noAugmentation, colourJitter: [0.4, 0.4, 0.4, 0.2] };
    augmentImage(out, 0, held, shape, tables, augmentation, RandomStream.named(1, "test"));
    expect(Uint8Array.from(held)).toEqual(randomBytes(pixels.length));
    expect(out).not.toEqual(written(unmoved));
  });
});
