// Which networks the trials train: even at first, then those that losses speak for; rounds, budgets, small spaces.
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { RandomStream } from "../../base/random.js";
import { darts } from "../../space/darts/space.js";
import { nasBench201 } from "../../space/nas-bench-201/space.js";
import {
  type Selection,
  type Space,
  sameSelection,
  selectionKey,
  validateSelection,
} from "../../space/space.js";
import { trialOptions } from "./options.js";
import { type Trial, TrialPlan } from "./trial-plan.js";

const schema = z.object(trialOptions);
const plan = (
  flags: z.input<typeof schema>,
  {
    space = nasBench201 as Space,
    epochs = 40,
    seed = 1,
    fits = (_: Selection): boolean => true,
    multiplyAdds = (_: Selection): number => 1,
  } = {},
) => new TrialPlan({ space, seed, epochs, fits, multiplyAdds }, schema.parse(flags));

/** Runs a plan to its end on losses that are known. */
function run(one: TrialPlan, lossOf: (selection: Selection) => number): Trial[] {
  const history: Trial[] = [];
  while (history.length < one.trialCount) {
    const selection = one.next(history);
    history.push({ selection, losses: [lossOf(selection)] });
  }
  return history;
}

/** 3x3 convolutions are good, everything else is bad. */
const lossOf = (selection: Selection): number => {
  const names = selection.flatMap((chosen, choice) =>
    chosen.map((index) => nasBench201.choices[choice].candidates[index].operation),
  );
  return -names.filter((name) => name === "nor_conv_3x3").length;
};

describe.each([nasBench201, darts])("in $name", (space) => {
  it("are architectures of the space, the same for the same seed and history", () => {
    const history = run(plan({ warmupTrials: 8 }, { space, epochs: 20 }), (one) => selectionKey(one).length);
    for (const { selection } of history) validateSelection(space, selection);
    const again = run(plan({ warmupTrials: 8 }, { space, epochs: 20 }), (one) => selectionKey(one).length);
    expect(again).toEqual(history);
    expect(new Set(history.map(({ selection }) => selectionKey(selection))).size).toBe(20);
    const other = plan({ warmupTrials: 8 }, { space, epochs: 20, seed: 2 });
    expect(other.next([])).not.toEqual(history[0].selection);
  });

  it("try every connection while they are drawn evenly", () => {
    const history = run(plan({ warmupTrials: 300 }, { space, epochs: 300 }), () => 0);
    for (const [choice, { candidates, name }] of space.choices.entries()) {
      const counts = candidates.map(
        (_, index) => history.filter(({ selection }) => selection[choice].includes(index)).length,
      );
      expect(Math.min(...counts), name).toBeGreaterThan(0);
    }
  });
});

describe("learning", () => {
  it("finds the best network of a loss that adds up, and tries more and more like it", () => {
    const one = plan({}, { epochs: 80 });
    const history = run(one, lossOf);
    expect(lossOf(one.answer(history))).toBe(-6);
    const mean = (part: Trial[]): number =>
      part.reduce((sum, { losses: [loss] }) => sum + loss, 0) / part.length;
    expect(mean(history.slice(-20))).toBeLessThan(mean(history.slice(0, 20)) - 2);
  });

  it("without perturbation tries what the codes say, and its neighbours", () => {
    const one = plan({ perturbation: 0, warmupTrials: 10 }, { epochs: 11 });
    const history = run(one, lossOf);
    const warm = history.slice(0, 10);
    const said = one.answer(warm);
    const tried = warm.some(({ selection }) => sameSelection(selection, said));
    expect(sameSelection(history[10].selection, said)).toBe(!tried);
  });
});

it("operations that are shared are learnt from fewer trials", () => {
  // What an operation is worth is the same everywhere, with noise.
  const worth = new Map(
    ["sep_conv_5x5", "sep_conv_3x3", "dil_conv_3x3"].map((name, index) => [name, 3 - index]),
  );
  const truth = (selection: Selection): number =>
    -selection
      .flatMap((kept, choice) => kept.map((index) => darts.choices[choice].candidates[index].operation))
      .reduce((sum, name) => sum + (worth.get(name) ?? 0), 0);
  const mean = (sharedOperations: number): number => {
    const found = [1, 2, 3].map((seed) => {
      const one = plan({ sharedOperations, warmupTrials: 12 }, { space: darts, epochs: 24, seed });
      const stream = RandomStream.named(seed, "noise");
      return truth(one.answer(run(one, (selection) => truth(selection) + 2 * stream.normal())));
    });
    return found.reduce((sum, value) => sum + value, 0) / found.length;
  };
  const [alone, shared] = [mean(0), mean(0.8)];
  // The best is -48, two of the best operation in each of eight nodes.
  expect(shared).toBeLessThan(-34);
  expect(shared).toBeLessThan(alone - 6);
});

describe("the capacity's weight", () => {
  const multiplyAdds = (selection: Selection): number => 10 - lossOf(selection);
  const ended = (capacityWeight: number, losses: (selection: Selection) => number): number => {
    const one = plan({ capacityWeight }, { epochs: 60, multiplyAdds });
    return lossOf(one.answer(run(one, losses)));
  };

  it("takes the largest network where losses are equal", () => {
    expect(ended(0.5, () => 1)).toBe(-6);
  });

  it("below 1 yields to losses that speak for the smallest, above 1 does not", () => {
    const smallBetter = (selection: Selection) => -lossOf(selection);
    expect(ended(0.5, smallBetter)).toBeCloseTo(0);
    expect(ended(2, smallBetter)).toBe(-6);
  });

  it("counts the same whatever unit sizes have, and nothing at 0", () => {
    const noisy = (selection: Selection) => selectionKey(selection).length + lossOf(selection);
    const networks = (flags: z.input<typeof schema>, size: (selection: Selection) => number) =>
      run(plan(flags, { epochs: 40, multiplyAdds: size }), noisy).map((trial) => trial.selection);
    const squared = (selection: Selection) => 1000 * multiplyAdds(selection) ** 2;
    expect(networks({ capacityWeight: 0.5 }, squared)).toEqual(
      networks({ capacityWeight: 0.5 }, multiplyAdds),
    );
    expect(networks({ capacityWeight: 0 }, multiplyAdds)).toEqual(networks({}, () => 1));
  });
});

it("a plan shorter than its warm-up ends with the best that it has tried", () => {
  const one = plan({ warmupTrials: 24 }, { epochs: 7 });
  const history = run(one, lossOf);
  expect(history).toHaveLength(7);
  expect(lossOf(one.answer(history))).toBe(Math.min(...history.map(({ losses: [loss] }) => loss)));
});

it("of several depths weighs what each of them ranks, not the size of its losses", () => {
  const one = plan({ warmupTrials: 2 }, { epochs: 6 });
  const [a, b, c] = run(one, lossOf).map(({ selection }) => selection);
  const history = [
    { selection: a, losses: [1, 900] },
    { selection: b, losses: [2, 100] },
    { selection: c, losses: [3, 901] },
  ];
  const shuffled = history.map(({ selection, losses: [shallow, deep] }) => ({
    selection,
    losses: [shallow * 50, Math.log(deep)],
  }));
  const [first, second] = [history, shuffled].map((trials) => one.model(trials));
  expect(first.mean).toEqual(second.mean);
  // Ranks 1 + 2, 2 + 1 and 3 + 3.
  const scores = [a, b, c].map((selection) => first.score(selection));
  expect(scores[2]).toBeLessThan(Math.min(scores[0], scores[1]));
});

describe("rounds", () => {
  const one = plan({ finalists: 8, finalRounds: 3, trialSteps: 10 }, { epochs: 30 });

  it("train half as many networks twice as long", () => {
    expect(one.rounds).toEqual([
      { trials: 30, length: 1 },
      { trials: 8, length: 2 },
      { trials: 4, length: 4 },
      { trials: 2, length: 8 },
    ]);
    expect(one.trialCount).toBe(44);
    expect([0, 29, 30, 37, 38, 43].map((number) => one.placeOf(number).round)).toEqual([0, 0, 1, 1, 2, 3]);
    expect(() => one.placeOf(44)).toThrow(RangeError);
  });

  it("take the best of the round before, and end with the best of the last", () => {
    const history = run(one, lossOf);
    const keys = (from: number, to: number) =>
      history.slice(from, to).map(({ selection }) => selectionKey(selection));
    expect(new Set(keys(30, 38)).size).toBe(8);
    for (const key of keys(38, 42)) expect(keys(30, 38)).toContain(key);
    for (const key of keys(42, 44)) expect(keys(38, 42)).toContain(key);
    const losses = history.slice(30, 38).map(({ losses: [loss] }) => loss);
    expect(Math.max(...history.slice(38, 42).map(({ losses: [loss] }) => loss))).toBeLessThanOrEqual(
      [...losses].sort((a, b) => a - b)[3],
    );
    expect(keys(42, 44)).toContain(selectionKey(one.answer(history)));
  });

  it("are none without finalists", () => {
    expect(plan({ finalists: 0 }).rounds).toHaveLength(1);
    expect(plan({ finalists: 3, finalRounds: 5 }).rounds.map(({ trials }) => trials)).toEqual([40, 3]);
  });
});

describe("budgets", () => {
  const noLarge = (selection: Selection): boolean => lossOf(selection) >= -2;

  it("hold for every network and for the answer", () => {
    const one = plan({ finalists: 4 }, { epochs: 40, fits: noLarge });
    const history = run(one, lossOf);
    for (const { selection } of history) expect(noLarge(selection)).toBe(true);
    for (const length of [1, 30, 40, history.length])
      expect(noLarge(one.answer(history.slice(0, length)))).toBe(true);
    expect(lossOf(one.answer(history))).toBe(-2);
  });

  it("that nothing meets are refused", () => {
    expect(() => plan({}, { fits: () => false }).next([])).toThrow(/no network within the size budget/);
  });
});
