// Padding, splits by seed, statistics and normalisation tables of images in memory.
import { describe, expect, it } from "vitest";
import { expectError, randomSet } from "../../test/support/data.js";
import { classCounts, normalisationTables, padToMultipleOfFour, statisticsOf } from "./image-set.js";

describe("padToMultipleOfFour", () => {
  it("leaves usable sizes alone", () => {
    const set = randomSet(3, 1, 28, 28);
    expect(padToMultipleOfFour(set)).toBe(set);
  });

  it("puts the pixels in the middle of zeros", () => {
    const set = randomSet(2, 3, 5, 7);
    const padded = padToMultipleOfFour(set);
    expect([padded.height, padded.width]).toEqual([8, 8]);
    for (let plane = 0; plane < 6; plane++) {
      for (let y = 0; y < 8; y++) {
        for (let x = 0; x < 8; x++) {
          const inside = y >= 1 && y < 6 && x < 7;
          const expected = inside ? set.images[(plane * 5 + y - 1) * 7 + x] : 0;
          expect(padded.images[(plane * 8 + y) * 8 + x]).toBe(expected);
        }
      }
    }
  });
});

describe("statisticsOf", () => {
  it("is the mean and the standard deviation computed directly, for all images and for some", () => {
    const set = randomSet(5, 3, 4, 8);
    const direct = (images: number[], channel: number): [number, number] => {
      const values = images.flatMap((i) => [
        ...set.images.subarray((i * 3 + channel) * 32, (i * 3 + channel + 1) * 32),
      ]);
      const mean = values.reduce((a, b) => a + b) / values.length;
      return [mean / 255, Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) / 255];
    };
    for (const images of [
      [0, 1, 2, 3, 4],
      [3, 1],
    ]) {
      const { mean, std } = statisticsOf(set, Int32Array.from(images));
      for (let channel = 0; channel < 3; channel++) {
        expect(mean[channel]).toBeCloseTo(direct(images, channel)[0], 12);
        expect(std[channel]).toBeCloseTo(direct(images, channel)[1], 12);
      }
    }
    expect(statisticsOf(set)).toEqual(statisticsOf(set, Int32Array.of(0, 1, 2, 3, 4)));
  });

  it("gives a channel of a single value the standard deviation 1", () => {
    const set = { ...randomSet(2, 1, 4, 4), images: new Uint8Array(32).fill(51) };
    expect(statisticsOf(set)).toEqual({ mean: [0.2], std: [1] });
  });
});

describe("normalisationTables", () => {
  it("holds (value / 255 - mean) / std", () => {
    const [table] = normalisationTables({ mean: [0.5], std: [0.25] }, 1);
    expect(table[0]).toBe(-2);
    expect(table[255]).toBe(2);
    expect(table[100]).toBeCloseTo((100 / 255 - 0.5) / 0.25, 6);
  });

  it("refuses values that do not fit the channels", async () => {
    for (const [mean, std] of [
      [[0.5], [0.5]],
      [
        [0, 0, 0],
        [1, 0, 1],
      ],
      [
        [0, 0, Number.NaN],
        [1, 1, 1],
      ],
    ]) {
      await expectError(() => normalisationTables({ mean, std }, 3), "DATA_SIZE", "3 means");
    }
  });
});

it("counts the images of each class", () => {
  expect(classCounts(Int32Array.of(0, 2, 2), ["a", "b", "c"])).toEqual([1, 0, 2]);
});
