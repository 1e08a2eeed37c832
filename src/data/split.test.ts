// Who is in which part: stratified, by the seed, no class without training images.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectError } from "../../test/support/data.js";
import { limited, setAside, splitTraining, stratifiedSplit } from "./split.js";

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

const anyLabels = fc
  .array(fc.nat(6), { minLength: 1, maxLength: 80 })
  .map((labels) => Int32Array.from(labels));

const classesOf = (labels: Int32Array, images: Int32Array): Set<number> =>
  new Set(Array.from(images, (image) => labels[image]));

const countOf = (labels: Int32Array, label: number): number => labels.filter((one) => one === label).length;

describe("setAside", () => {
  it("gives every class with two images a test image, and leaves every class a training image", () => {
    fc.assert(
      fc.property(anyLabels, fc.nat(1000), (labels, seed) => {
        const { chosen, rest } = setAside(labels, seed);
        expect([...chosen, ...rest].sort((a, b) => a - b)).toEqual([...labels.keys()]);
        const [tested, trained] = [classesOf(labels, chosen), classesOf(labels, rest)];
        expect(trained).toEqual(new Set(labels));
        for (const label of new Set(labels)) expect(tested.has(label)).toBe(countOf(labels, label) > 1);
      }),
    );
  });

  it("is a fifth, of every class its share, where classes are large", () => {
    const labels = Int32Array.from({ length: 200 }, (_, i) => i % 4);
    const { chosen, rest } = setAside(labels, 7);
    expect([chosen.length, rest.length]).toEqual([40, 160]);
    for (let label = 0; label < 4; label++)
      expect([...chosen].filter((image) => labels[image] === label).length).toBe(10);
    expect(setAside(labels, 7)).toEqual({ chosen, rest });
    expect(setAside(labels, 8).chosen).not.toEqual(chosen);
  });
});

describe("splitTraining", () => {
  it("leaves every class that is used an image to train on, and holds at least one image out", () => {
    fc.assert(
      fc.property(
        anyLabels,
        fc.nat(1000),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (labels, seed, fraction) => {
          const { trained, heldOut } = splitTraining(labels, { limit: null, fraction, seed });
          expect([...trained, ...heldOut].sort((a, b) => a - b)).toEqual([...labels.keys()]);
          expect(classesOf(labels, trained)).toEqual(new Set(labels));
          const possible = [...new Set(labels)].some((label) => countOf(labels, label) > 1);
          if (!possible) expect(heldOut.length).toBe(0);
        },
      ),
    );
    const { heldOut } = splitTraining(Int32Array.of(0, 0, 0, 0), { limit: 4, fraction: 0.1, seed: 0 });
    expect(heldOut.length).toBe(1);
  });

  it("holds nothing out where nothing is to be", () => {
    const labels = Int32Array.of(0, 1, 2);
    expect(splitTraining(labels, { limit: null, fraction: 0, seed: 3 })).toEqual({
      trained: Int32Array.of(0, 1, 2),
      heldOut: new Int32Array(),
    });
  });
});

describe("limited", () => {
  it("takes so many, and one of every class if there is room", () => {
    fc.assert(
      fc.property(anyLabels, fc.nat(1000), fc.integer({ min: 1, max: 80 }), (labels, seed, limit) => {
        const taken = limited(labels, limit, seed, "limit-train");
        expect(taken.length).toBe(Math.min(limit, labels.length));
        expect(new Set(taken).size).toBe(taken.length);
        expect([...taken]).toEqual([...taken].sort((a, b) => a - b));
        const classes = new Set(labels);
        if (limit >= classes.size) expect(classesOf(labels, taken)).toEqual(classes);
      }),
    );
  });
});
