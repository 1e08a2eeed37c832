// Random streams: what seeds give stays, names tell streams apart, and large seeds tell more of them apart.
import { describe, expect, it } from "vitest";
import { RandomStream } from "./random.js";

describe("named streams", () => {
  it("of seeds below 2^32 are what they always were", () => {
    expect(RandomStream.named(0, "measurement/normal/1").state).toEqual([
      2943093989, 3419283636, 504524327, 4180829225,
    ]);
    expect(RandomStream.named(2 ** 32 - 1, "x").state).toEqual([
      4240837252, 3503390704, 3506558900, 2980605671,
    ]);
    expect(RandomStream.named(7, "a").uniform()).toBe(0.23142971136450052);
  });

  it("of larger seeds come from 128 bits: names that are one stream of a small seed are two of a large one", () => {
    const names = ["weights/epoch-50/batch-13/image-89", "weights/epoch-111/batch-23/image-82"];
    const states = (seed: number): string[] =>
      names.map((name) => RandomStream.named(seed, name).state.join());
    expect(new Set(states(0)).size).toBe(1);
    for (const seed of [2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER])
      expect(new Set(states(seed)).size).toBe(2);
  });

  it("of large seeds depend on every digit of the seed, and are as even as they should be", () => {
    const seeds = [2 ** 32, 2 ** 32 + 1, 2 ** 40, 2 ** 53 - 1];
    const firsts = seeds.map((seed) => RandomStream.named(seed, "a").nextUint32());
    expect(new Set(firsts).size).toBe(4);
    const draws = Array.from({ length: 4096 }, (_, i) => RandomStream.named(2 ** 33, `image-${i}`).uniform());
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    // Four standard deviations of the mean of so many.
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / draws.length));
  });
});
