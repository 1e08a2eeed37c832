// Random cells of a given size: within the bounds, and the same as random:SEED where there are none.
import { Command } from "commander";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { parseGenotypeJson } from "../formats/genotype-json.js";
import { randomArchitecture } from "../formats/genotype-resolve.js";
import { countNetwork } from "../space/counts.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { type Architecture, evaluationNetwork, type NetworkShape } from "../space/space.js";
import { registerRandom } from "./arch-random.js";

let written: string[] = [];
beforeEach(() => {
  written = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  return () => vi.restoreAllMocks();
});

function drawn(...words: string[]): Architecture {
  written = [];
  const arch = new Command("arch");
  registerRandom(arch);
  arch.parse(["random", ...words], { from: "user" });
  return parseGenotypeJson(written.join(""));
}

const shape = { cells: 5, channels: 8, inputChannels: 1, classes: 10, imageHeight: 28, imageWidth: 28 };
const shapeWords = "--cells 5 --channels 8 --input-channels 1 --image-size 28".split(" ");
const multAdds = (architecture: Architecture): number => {
  const whole: NetworkShape = { ...shape, stem: "cifar", auxiliary: false };
  return countNetwork(evaluationNetwork(architecture, whole)).multAdds;
};

describe("arch random", () => {
  it("without bounds is random:SEED", () => {
    expect(drawn("--seed", "5")).toEqual(randomArchitecture(5));
    expect(drawn("--seed", "5", "--space", "nas-bench-201")).toEqual(randomArchitecture(5, nasBench201));
  });

  it("keeps to bounds of mult-adds, and to the seed", () => {
    const all = Array.from({ length: 8 }, (_, seed) => multAdds(randomArchitecture(seed)));
    const [least, most] = [Math.min(...all), Math.max(...all)].map((value) => Math.round(value));
    const middle = String(Math.round((least + most) / 2));
    for (const seed of ["0", "1", "2", "3"]) {
      const small = drawn("--seed", seed, "--max-mult-adds", middle, ...shapeWords);
      const large = drawn("--seed", seed, "--min-mult-adds", middle, ...shapeWords);
      expect(multAdds(small)).toBeLessThanOrEqual(Number(middle));
      expect(multAdds(large)).toBeGreaterThanOrEqual(Number(middle));
      expect(drawn("--seed", seed, "--max-mult-adds", middle, ...shapeWords)).toEqual(small);
      // One of the two is the first draw of the seed.
      expect([small, large]).toContainEqual(randomArchitecture(Number(seed)));
    }
  });

  it("is like other cells within the share that is said", () => {
    const wanted = multAdds({ space: darts, selection: darts.named.ISTA_twostage.selection });
    for (const seed of ["1", "2", "3"]) {
      const words = ["--like", "ISTA_twostage", "--within", "0.05", ...shapeWords];
      const found = multAdds(drawn("--seed", seed, ...words));
      expect(Math.abs(found / wanted - 1)).toBeLessThanOrEqual(0.05);
    }
  });

  it.each([
    [["--min-mult-adds", "9", "--max-mult-adds", "8"], "expected at most --max-mult-adds"],
    [["--max-mult-adds", "5"], "found none in 100000 draws"],
    [["--like", "ISTA_twostage", "--max-mult-adds", "5"], "beside it"],
    [["--like", "ISTA_twostage", "--space", "nas-bench-201"], "give --space darts"],
    [["--within", "-1"], "expected a number above 0"],
  ])("refuses %j", (words, message) => {
    expect(() => drawn("--seed", "1", ...words)).toThrow(message);
  });
});
