// Padding, splits by seed, statistics and normalisation tables of images in memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectError, randomSet } from "../../test/support/data.js";
import {
  classCounts,
  normalisationTables,
  padToMultipleOfFour,
  statisticsOf,
  stratifiedSplit,
} from "./image-set.js";

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

describe("stratifiedSplit", () => {
  const labelArrays = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 200 });

  it("splits into disjoint parts of the wanted sizes, each class to within one image of its share", () => {
    fc.assert(
      fc.property(
        labelArrays,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(),
        (values, share, seed) => {
          const labels = Int32Array.from(values);
          const size = Math.round(share * labels.length);
          const { chosen, rest } = stratifiedSplit(labels, size, seed, "test");
          expect(chosen.length).toBe(size);
          expect([...chosen, ...rest].sort((a, b) => a - b)).toEqual(values.map((_, i) => i));
          expect([...chosen]).toEqual([...chosen].sort((a, b) => a - b));
          for (let label = 0; label <= 6; label++) {
            const all = values.filter((value) => value === label).length;
            const got = chosen.filter((image) => labels[image] === label).length;
            expect(Math.abs(got - (all * size) / labels.length)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });

  it("is the same for the same seed and name, and another otherwise", () => {
    const labels = Int32Array.from({ length: 100 }, (_, i) => i % 10);
    const split = (seed: number, name: string): number[] => [
      ...stratifiedSplit(labels, 50, seed, name).chosen,
    ];
    expect(split(1, "halves")).toEqual(split(1, "halves"));
    expect(split(1, "halves")).not.toEqual(split(2, "halves"));
    expect(split(1, "halves")).not.toEqual(split(1, "limit"));
  });

  it("refuses sizes that the labels do not have", async () => {
    for (const size of [-1, 11, 1.5, Number.NaN]) {
      await expectError(
        () => stratifiedSplit(new Int32Array(10), size, 1, "limit"),
        "USAGE",
        "0 to 10",
        "limit",
      );
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
