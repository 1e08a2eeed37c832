// Evolution: against chance on known functions, within the budget, each architecture once.
import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { darts } from "../../space/darts/space.js";
import { nasBench201 } from "../../space/nas-bench-201/space.js";
import { randomSelection, type Selection, type Space, validateSelection } from "../../space/space.js";
import { cross, evolve, mutate, type Scored } from "./evolution.js";

const settings = { evaluations: 300, population: 50, survivors: 10, mutationProbability: 0.1 };
const spaces = [darts, nasBench201].map((space) => [space.name, space] as const);

/** Every candidate has a value, and so has every pair of neighbouring choices: what is best is not the best of each. */
function landscape(space: Space, seed: number): (selection: Selection) => number {
  const stream = RandomStream.named(seed, "landscape");
  const values = space.choices.map(({ candidates }) => candidates.map(() => stream.normal()));
  return (selection) =>
    selection.reduce((sum, kept, choice) => {
      const own = kept.reduce((part, index) => part + values[choice][index], 0);
      const next = selection[(choice + 1) % selection.length];
      const pair = RandomStream.named(seed, `pair/${choice}/${kept[0]}/${next[0]}`).normal();
      return sum + own + pair / 2;
    }, 0);
}

const evolveOn = async (
  space: Space,
  score: (selection: Selection) => number,
  seed: number,
  { fits = () => true }: Partial<{ fits: (selection: Selection) => boolean }> = {},
): Promise<Scored[]> => {
  const excess = (selection: Selection): number => (fits(selection) ? 0 : 1);
  const task = { space, excess, score: async (one: Selection) => score(one) };
  return (await evolve(task, settings, RandomStream.named(seed, "evolution")))!;
};

describe.each(spaces)("in %s", (_, space) => {
  it("finds more than chance with as many evaluations", async () => {
    let wins = 0;
    const seeds = 20;
    for (let seed = 0; seed < seeds; seed++) {
      const score = landscape(space, seed);
      const [best] = await evolveOn(space, score, seed);
      const stream = RandomStream.named(seed, "chance");
      const scores = Array.from({ length: settings.evaluations }, () =>
        score(randomSelection(space, stream)),
      );
      if (best.score > Math.max(...scores)) wins += 1;
    }
    // By chance one half: 16 or more of 20 have a probability of 0.6 %.
    expect(wins).toBeGreaterThanOrEqual(16);
  });

  it("looks at each architecture once, at as many as it may, at none over the budget", async () => {
    const asked: string[] = [];
    const fits = (selection: Selection): boolean => selection[0][0] % 2 === 0;
    const ranked = await evolveOn(
      space,
      (selection) => {
        validateSelection(space, selection);
        expect(fits(selection)).toBe(true);
        asked.push(JSON.stringify(selection));
        return asked.length % 7;
      },
      1,
      { fits },
    );
    expect(asked).toHaveLength(settings.evaluations);
    expect(new Set(asked).size).toBe(asked.length);
    expect(ranked.map(({ score }) => score)).toEqual(ranked.map(({ score }) => score).sort((a, b) => b - a));
    // Of equals the first.
    expect(JSON.stringify(ranked[0].selection)).toBe(asked[5]);
  });

  it("gives children of their parents", () => {
    const stream = RandomStream.named(1, "children");
    for (let turn = 0; turn < 100; turn++) {
      const [mother, father] = [randomSelection(space, stream), randomSelection(space, stream)];
      const child = cross(space.choices, [mother, father], stream);
      validateSelection(space, child);
      for (const [choice, kept] of child.entries())
        for (const index of kept) expect([...mother[choice], ...father[choice]]).toContain(index);
      expect(mutate(space.choices, mother, 0, stream)).toEqual(mother);
      const mutant = mutate(space.choices, mother, 1, stream);
      validateSelection(space, mutant);
      for (const [choice, kept] of mutant.entries()) expect(kept).not.toEqual(mother[choice]);
    }
  });
});

it("ends where there is nothing new to look at", async () => {
  // The last node is given: 5 x 25 architectures are left.
  const given = randomSelection(nasBench201, RandomStream.named(1, "given"))[2];
  const excess = (selection: Selection): number =>
    selection[2].filter((index) => !given.includes(index)).length;
  const ranked = await evolve(
    { space: nasBench201, excess, score: async (selection) => selection[0][0] },
    settings,
    RandomStream.named(2, "few"),
  );
  expect(ranked).toHaveLength(125);
});

it("ends when asked to", async () => {
  let asked = 0;
  const score = async () => (++asked > 60 ? null : asked);
  expect(
    await evolve({ space: darts, excess: () => 0, score }, settings, RandomStream.named(1, "x")),
  ).toBeNull();
  expect(asked).toBe(61);
});
