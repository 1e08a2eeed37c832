// Exact sizes of published networks, per-cell breakdown, and the smallest and largest networks against brute force.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cifarShape, imagenetShape } from "../../test/support/network-shapes.js";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import {
  candidateSizes,
  countNetwork,
  requirePossibleBudget,
  type Size,
  sizeOfSelection,
  sizeRange,
  withinBudget,
} from "./counts.js";
import { darts } from "./darts/space.js";
import {
  evaluationNetwork,
  type NetworkShape,
  randomSelection,
  sortedSelection,
  superNetwork,
} from "./space.js";

const published = (name: string) => ({ space: darts, selection: darts.named[name].selection });

test.each([
  ["ISTA_twostage", cifarShape, darts.norms.plainEvaluation, 3_316_726, 515.226],
  ["ISTA_onestage", cifarShape, darts.norms.normalisedEvaluation, 3_371_806, 532.257],
  ["ISTA_ImageNet", imagenetShape, darts.norms.plainEvaluation, 5_651_392, 621.084],
  ["ISTA_ImageNet", imagenetShape, darts.norms.normalisedEvaluation, 5_655_232, 621.084],
] as const)("%s has the size of the independent PyTorch module", (name, shape, norms, params, millions) => {
  const counts = countNetwork(evaluationNetwork(published(name), shape, norms));
  expect(counts.params).toBe(params);
  expect((counts.multAdds / 1e6).toFixed(3)).toBe(millions.toFixed(3));
});

test("the parts add up, and the auxiliary head is counted apart", () => {
  const description = evaluationNetwork(published("ISTA_twostage"), cifarShape);
  const counts = countNetwork(description);
  for (const measure of ["params", "multAdds"] as const) {
    const cells = counts.cells.reduce((sum, cell) => sum + cell[measure], 0);
    expect(counts.stem[measure] + cells + counts.classifier[measure]).toBe(counts[measure]);
    expect(counts.withAuxiliary[measure]).toBe(counts[measure] + counts.auxiliary[measure]);
  }
  expect(counts.cells.map(({ type }) => type === "reduction")).toEqual(
    Array.from({ length: 20 }, (_, index) => index === 6 || index === 13),
  );
  // 576 -> 128 by 1x1 with norm, 128 -> 768 by 2x2 with norm, 768 -> 10 with bias; on 2 x 2 and on 1 x 1.
  expect(counts.auxiliary).toEqual({
    params: 576 * 128 + 256 + 128 * 768 * 4 + 1536 + 7690,
    multAdds: 576 * 128 * 4 + 128 * 768 * 4 + 7680,
  });
  const without = countNetwork({ ...description, shape: { ...cifarShape, auxiliary: false } });
  expect(without).toEqual({
    ...counts,
    withAuxiliary: { params: counts.params, multAdds: counts.multAdds },
    auxiliary: { params: 0, multAdds: 0 },
  });
});

test("the table of candidates gives the size of every network", () => {
  const table = candidateSizes(darts, cifarShape, darts.norms.oneStageSuperNet);
  for (let seed = 0; seed < 20; seed++) {
    const selection = randomSelection(darts, RandomStream.named(seed, "test"));
    const { params, multAdds } = countNetwork(
      evaluationNetwork({ space: darts, selection }, cifarShape, darts.norms.normalisedEvaluation),
    );
    expect(sizeOfSelection(table, selection)).toEqual({ params, multAdds });
    const superNet = superNetwork(
      darts,
      cifarShape,
      darts.norms.oneStageSuperNet,
      sortedSelection(selection),
    );
    expect(countNetwork(superNet)).toMatchObject({ params, multAdds });
  }
});

const shapes = fc
  .record({
    cells: fc.integer({ min: 3, max: 9 }),
    channels: fc.integer({ min: 1, max: 6 }).map((half) => 2 * half),
    inputChannels: fc.integer({ min: 1, max: 5 }),
    classes: fc.integer({ min: 1, max: 20 }),
    height: fc.integer({ min: 2, max: 6 }),
    width: fc.integer({ min: 2, max: 6 }),
    stem: fc.constantFrom<NetworkShape["stem"]>("cifar", "imagenet"),
    auxiliary: fc.boolean(),
  })
  .map(({ height, width, ...shape }): NetworkShape => {
    const divisor = shape.stem === "cifar" ? 4 : 32;
    return { ...shape, imageHeight: divisor * height, imageWidth: divisor * width };
  });

describe.each(Object.entries(darts.norms))("size range with %s norms", (_, norms) => {
  test("is that of brute force over the pairs of each node, and one network attains both minima", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const table = candidateSizes(darts, shape, norms);
        const free = sizeRange(table);
        // The same choices with the rule of distinct predecessors.
        const choices = table.choices.map((choice) => ({ ...choice, distinctPredecessors: true }));
        for (const distinct of [false, true]) {
          const { smallest, largest } = distinct ? sizeRange({ ...table, choices }) : free;
          let [least, most, leastTogether] = [
            { ...table.base },
            { ...table.base },
            { ...table.base },
          ] as Size[];
          for (const sizes of table.candidates) {
            const pairs: Size[] = [];
            for (let i = 0; i < sizes.length; i++)
              for (let j = 0; j < i; j++) {
                if (distinct && Math.floor(i / 7) === Math.floor(j / 7)) continue;
                const [a, b] = [sizes[i], sizes[j]];
                pairs.push({ params: a.params + b.params, multAdds: a.multAdds + b.multAdds });
              }
            const ends = (pick: (...values: number[]) => number): Size => ({
              params: pick(...pairs.map(({ params }) => params)),
              multAdds: pick(...pairs.map(({ multAdds }) => multAdds)),
            });
            const plus = (a: Size, b: Size): Size => ({
              params: a.params + b.params,
              multAdds: a.multAdds + b.multAdds,
            });
            const best = [...pairs].sort((a, b) => a.params - b.params || a.multAdds - b.multAdds)[0];
            leastTogether = plus(leastTogether, best);
            least = plus(least, ends(Math.min));
            most = plus(most, ends(Math.max));
          }
          expect(smallest).toEqual(least);
          expect(smallest).toEqual(leastTogether);
          expect(largest).toEqual(most);
        }
      }),
      { numRuns: 12, seed: 1 },
    );
  });
});

test("an impossible budget is refused with the smallest size, the exact minimum is not", () => {
  const table = candidateSizes(darts, cifarShape, darts.norms.oneStageSuperNet);
  const { params, multAdds } = sizeRange(table).smallest;
  requirePossibleBudget(table, {});
  requirePossibleBudget(table, { maxParams: params, maxMultAdds: multAdds });
  expect(() => requirePossibleBudget(table, { maxParams: params - 1 })).toThrow(
    new IstaError(
      "BUDGET_IMPOSSIBLE",
      `size budget: a maximum of ${params - 1} parameters cannot be met: the smallest network of this shape has ${params}; raise the budget or take fewer cells or channels`,
    ),
  );
  expect(() => requirePossibleBudget(table, { maxMultAdds: multAdds - 1 })).toThrow(
    "multiply-adds cannot be met",
  );
  expect(() => requirePossibleBudget(table, { maxParams: NaN })).toThrow("cannot be met");
});

test("a size is within a budget up to and including its limits", () => {
  const size = { params: 10, multAdds: 20 };
  expect(withinBudget(size, {})).toBe(true);
  expect(withinBudget(size, { maxParams: 10, maxMultAdds: 20 })).toBe(true);
  expect(withinBudget(size, { maxParams: 9 })).toBe(false);
  expect(withinBudget(size, { maxMultAdds: 19 })).toBe(false);
});
