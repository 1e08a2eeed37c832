// Architectures drawn within a size budget: evenly, and with an end to the trying.

import { describe, expect, it } from "vitest";
import { cifarShape } from "../../test/support/network-shapes.js";
import { RandomStream } from "../base/random.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { candidateName, type Selection, validateSelection } from "../space/space.js";
import { drawWithin, largestSelection, replacements } from "./selections.js";

const spaces = [darts, nasBench201].map((space) => [space.name, space] as const);

/** Chi-squared per degree of freedom of counts that should all be alike. */
function unevenness(counts: readonly number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0) / (counts.length - 1);
}

describe.each(spaces)("%s", (_, space) => {
  it("is drawn from evenly: every candidate of a predecessor, and every predecessor", () => {
    const counts = space.choices.map(({ candidates }) => candidates.map(() => 0));
    for (let draw = 0; draw < 3000; draw++) {
      // Every draw has a stream of its own, as the steps of a search have.
      const selection = drawWithin(
        { space, excess: () => 0 },
        RandomStream.named(3, `path/epoch-${draw % 30}/step-${Math.floor(draw / 30)}`),
      );
      for (const [choice, kept] of selection.entries()) for (const index of kept) counts[choice][index] += 1;
    }
    for (const ofChoice of counts) if (ofChoice.length > 1) expect(unevenness(ofChoice)).toBeLessThan(2);
  });

  it("is drawn from evenly within a budget, too", () => {
    // Only architectures whose first choice begins with one of its first two candidates.
    const excess = (selection: Selection): number => (selection[0][0] < 2 ? 0 : 1);
    const stream = RandomStream.named(1, "within");
    const first = [0, 0];
    const last = space.choices.at(-1)!.candidates.map(() => 0);
    for (let draw = 0; draw < 1000; draw++) {
      const selection = drawWithin({ space, excess }, stream);
      validateSelection(space, selection);
      first[selection[0][0]] += 1;
      for (const index of selection.at(-1)!) last[index] += 1;
    }
    expect(unevenness(first)).toBeLessThan(8);
    expect(unevenness(last)).toBeLessThan(2);
  });

  it("is found by exchanges within a budget that hardly any draw meets", () => {
    // Of every choice the first candidate on each predecessor that it takes.
    const excess = (selection: Selection): number =>
      selection.reduce((sum, chosen, choice) => {
        const { candidates } = space.choices[choice];
        const first = (index: number): number =>
          candidates.findIndex(({ predecessor }) => predecessor === candidates[index].predecessor);
        return sum + chosen.reduce((over, index) => over + index - first(index), 0);
      }, 0);
    const selection = drawWithin({ space, excess }, RandomStream.named(1, "narrow"));
    validateSelection(space, selection);
    expect(excess(selection)).toBe(0);
  });

  it("with a budget that nothing meets ends with an error", () => {
    expect(() => drawWithin({ space, excess: () => 1 }, RandomStream.named(1, "x"))).toThrow(
      expect.objectContaining({ code: "BUDGET_IMPOSSIBLE" }),
    );
  });

  it("has a largest selection, and replacements that leave an architecture", () => {
    const selection = largestSelection(
      space,
      { ...cifarShape, ...space.usualSize.search, auxiliary: false },
      space.norms.plainEvaluation,
    );
    validateSelection(space, selection);
    for (const [number, choice] of space.choices.entries())
      for (const leaving of selection[number]) {
        const possible = replacements(choice, selection[number], leaving);
        expect(possible.map((index) => candidateName(choice.candidates[index]))).not.toHaveLength(0);
        for (const entering of possible) {
          const kept = selection[number].map((index) => (index === leaving ? entering : index));
          validateSelection(space, selection.with(number, kept));
          expect(new Set(kept.map((index) => choice.candidates[index].predecessor)).size).toBe(choice.kept);
        }
      }
  });
});
