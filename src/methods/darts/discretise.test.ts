// What is kept of strengths: within a budget, and where a choice keeps more than it has predecessors.
import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { candidateSizes, excessOf, sizeOfSelection, sizeRange } from "../../space/counts.js";
import { darts } from "../../space/darts/space.js";
import { nasBench201 } from "../../space/nas-bench-201/space.js";
import { type Choice, type Selection, validateSelection } from "../../space/space.js";
import { discretise } from "./discretise.js";

const shape = {
  cells: 6,
  channels: 8,
  inputChannels: 3,
  classes: 10,
  imageHeight: 16,
  imageWidth: 16,
  stem: "cifar" as const,
  auxiliary: false,
};

describe("a size budget", () => {
  it.each([darts, nasBench201].map((space) => [space.name, space] as const))("%s: is met", (_, space) => {
    const sizes = candidateSizes(space, shape, space.norms.twoStageSuperNet);
    const { smallest, largest } = sizeRange(sizes);
    const stream = RandomStream.named(1, "strengths");
    const strengths = space.choices.map(({ candidates }) => candidates.map(() => stream.uniform()));
    const score = (selection: Selection): number =>
      selection.reduce(
        (sum, chosen, choice) =>
          sum + chosen.reduce((part, index) => part + Math.log(strengths[choice][index]), 0),
        0,
      );
    const free = discretise(space.choices, strengths);
    let before = score(free);
    for (const share of [1, 0.6, 0.3, 0.1, 0]) {
      const budget = {
        maxParams: smallest.params + share * (largest.params - smallest.params),
        maxMultAdds: smallest.multAdds + share * (largest.multAdds - smallest.multAdds),
      };
      const found = discretise(space.choices, strengths, (selection) =>
        excessOf(sizeOfSelection(sizes, selection), budget),
      );
      validateSelection(space, found);
      expect(excessOf(sizeOfSelection(sizes, found), budget)).toBe(0);
      if (share === 1) expect(found).toEqual(free);
      // The less room, the less strength.
      expect(score(found)).toBeLessThanOrEqual(before);
      before = score(found);
    }
  });

  it("that nothing comes nearer to is refused", () => {
    const strengths = darts.choices.map(({ candidates }) => candidates.map(() => 1));
    expect(() => discretise(darts.choices, strengths, () => 1)).toThrow(
      expect.objectContaining({ code: "BUDGET_IMPOSSIBLE" }),
    );
  });
});

it("a choice that keeps more than it has predecessors takes the strongest of the rest", () => {
  const choice: Choice = {
    id: "one",
    name: "one",
    group: "one",
    candidates: ["a", "b", "c", "d"].map((operation, index) => ({ operation, predecessor: index % 2 })),
    kept: 3,
    distinctPredecessors: false,
  };
  expect(discretise([choice], [[0.1, 0.4, 0.3, 0.2]])).toEqual([[2, 1, 3]]);
});
