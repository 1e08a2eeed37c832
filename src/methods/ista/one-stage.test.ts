// The one-stage search on real images: freezing, affine parameters, size budgets, the two phases, absorption.
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  bundledSources,
  type CourseOf,
  oneStageSearch,
  type SearchFlags,
  searchConfig,
} from "../../../test/support/courses.js";
import { IstaError } from "../../base/errors.js";
import { evaluateBatch } from "../../course/evaluate.js";
import type { EpochOutcome } from "../../course/loop.js";
import { cosine } from "../../course/schedules.js";
import { Network } from "../../nn/network.js";
import { countNetwork } from "../../space/counts.js";
import { darts } from "../../space/darts/space.js";
import { evaluationNetwork, genotypeOf, superNetwork } from "../../space/space.js";
import { isTrainable, tensorList } from "../../space/tensors.js";
import { allFrozen } from "../../sparse/freezing.js";
import type { OneStageSearch } from "./one-stage.js";

type OneStageCourse = CourseOf<OneStageSearch>;
const open: { dispose(): void }[] = [];
async function start(flags: SearchFlags = {}): Promise<OneStageCourse> {
  const course = await oneStageSearch(flags);
  open.push(course);
  return course;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const one of open.splice(0)) one.dispose();
});

interface ChoiceRecord {
  readonly choice: string;
  readonly group: string;
  readonly distance: number;
  readonly frozen: boolean;
}
const recordsOf = (outcome: EpochOutcome): ChoiceRecord[] =>
  outcome.record.choices as unknown as ChoiceRecord[];

/** A search one epoch in, whose tolerance is the median distance of that epoch: half of its choices are frozen. */
async function halfFrozen(): Promise<OneStageCourse> {
  const trial = await start({ freezeTolerance: 0 });
  const [outcome] = await advance(trial, { epoch: 0, step: 0 }, 4);
  const distances = recordsOf(outcome)
    .map(({ distance }) => distance)
    .sort((a, b) => a - b);
  const course = await start({ freezeTolerance: distances[3] });
  await advance(course, { epoch: 0, step: 0 }, 4);
  expect(course.search.codes.filter(({ frozen }) => frozen)).toHaveLength(4);
  return course;
}

/** The super-net of the present architecture. */
const presentNetwork = ({ context, search }: OneStageCourse) =>
  superNetwork(darts, context.shape, darts.norms.oneStageSuperNet, search.selection);

type Values = Map<string, Float32Array>;

/** gamma and beta of the batch norms that operations end in, by whether their choice is frozen; and of those inside operations. */
function affineOfCandidates(course: OneStageCourse): { active: Values; frozen: Values; inside: Values } {
  const { search } = course;
  const state = search.network.stateDict();
  const affine = tensorList(presentNetwork(course)).filter(
    ({ place, kind }) => place.choice !== undefined && (kind === "gamma" || kind === "beta"),
  );
  // In the order of the state dict the last gamma and beta of a candidate are those of its last batch norm.
  const last = new Map(affine.map(({ place, kind, name }) => [`${place.branch} ${kind}`, name]));
  const parts = { active: new Map(), frozen: new Map(), inside: new Map() };
  for (const { name, kind, place } of affine) {
    const { frozen } = search.codes[place.choice!];
    const ending = last.get(`${place.branch} ${kind}`) === name;
    parts[ending ? (frozen ? "frozen" : "active") : "inside"].set(name, state.get(name)!.data);
  }
  return parts;
}

const isAtStart = (name: string, values: Float32Array): boolean =>
  values.every((value) => value === (name.endsWith(".weight") ? 1 : 0));

describe("freezing", () => {
  it("takes exactly the nodes whose code moved by no more than the tolerance", async () => {
    const trial = await start({ freezeTolerance: 0 });
    const [first] = await advance(trial, { epoch: 0, step: 0 }, 4);
    const distances = recordsOf(first).map(({ distance }) => distance);
    expect(trial.search.codes.some(({ frozen }) => frozen)).toBe(false);
    const tolerance = [...distances].sort((a, b) => a - b)[3];
    const course = await start({ freezeTolerance: tolerance });
    const [outcome] = await advance(course, { epoch: 0, step: 0 }, 4);
    expect(recordsOf(outcome).map(({ frozen }) => frozen)).toEqual(
      distances.map((distance) => distance <= tolerance),
    );
    const names = darts.choices
      .filter((_, index) => course.search.codes[index].frozen)
      .map(({ name }) => name);
    expect(names).toHaveLength(4);
    for (const name of names) expect(name).toMatch(/^(normal|reduction) node [2-5]$/);
    expect(outcome.record.newlyFrozen).toEqual(names);
    expect(outcome.lines.join("\n")).toContain(`frozen: ${names.join(", ")}`);
    expect(course.phase).toBe("search");
  });

  it("ends the training of b, the recovery and the changes of w", async () => {
    const course = await halfFrozen();
    const { search } = course;
    const before = search.codes;
    const { selection } = search;
    await advance(course, { epoch: 1, step: 0 }, 3);
    for (const [index, code] of before.entries())
      if (code.frozen) expect(search.codes[index]).toBe(code);
      else expect(search.codes[index].compressed).not.toEqual(code.compressed);
    await advance(course, { epoch: 1, step: 3 }, 1);
    for (const [index, code] of before.entries()) {
      if (!code.frozen) continue;
      expect(search.codes[index]).toBe(code);
      expect(search.selection[index]).toEqual(selection[index]);
    }
  });

  it("holds gamma and beta of active nodes at (1, 0), and trains those of frozen ones", async () => {
    const course = await halfFrozen();
    const { search } = course;
    const begun = affineOfCandidates(course);
    expect(begun.active.size).toBeGreaterThan(0);
    expect(begun.frozen.size).toBeGreaterThan(0);
    for (const part of [begun.active, begun.frozen])
      for (const [name, values] of part) expect(isAtStart(name, values), name).toBe(true);
    const trainable = new Set(search.network.trainable.keys());
    for (const name of begun.active.keys()) expect(trainable.has(name), name).toBe(false);
    for (const name of begun.frozen.keys()) expect(trainable.has(name), name).toBe(true);
    await advance(course, { epoch: 1, step: 0 }, 3);
    const later = affineOfCandidates(course);
    for (const [name, values] of later.active) expect(isAtStart(name, values), name).toBe(true);
    for (const [name, values] of later.frozen) expect(isAtStart(name, values), name).toBe(false);
    // The batch norms inside of operations and those of the stem train from the first step on.
    expect(begun.inside.size).toBeGreaterThan(0);
    for (const [name, values] of later.inside) expect(isAtStart(name, values), name).toBe(false);
    const { data } = search.network.stateDict().get("stem.1.weight")!;
    expect(isAtStart("stem.1.weight", data as Float32Array)).toBe(false);
  });

  it("holds all gamma and beta of candidates of active nodes where that is asked for, and the others' as ever", async () => {
    const course = await start({ freezeTolerance: 0, heldNorms: "all" });
    await advance(course, { epoch: 0, step: 0 }, 3);
    const { active, inside } = affineOfCandidates(course);
    expect(inside.size).toBeGreaterThan(0);
    for (const [name, values] of [...active, ...inside]) expect(isAtStart(name, values), name).toBe(true);
    const stem = course.search.network.stateDict().get("stem.1.weight")!.data as Float32Array;
    expect(isAtStart("stem.1.weight", stem)).toBe(false);
    const frozen = await start({ epochs: 1, heldNorms: "all" });
    await advance(frozen, { epoch: 0, step: 0 }, 7);
    for (const [name, values] of affineOfCandidates(frozen).inside)
      expect(isAtStart(name, values), name).toBe(false);
  });

  it("compares whole LASSO solutions where that is asked for: they move farther", async () => {
    const distances = async (freezeBy: string) => {
      const [outcome] = await advance(
        await start({ freezeTolerance: 0, freezeBy }),
        { epoch: 0, step: 0 },
        4,
      );
      return recordsOf(outcome).map(({ distance }) => distance);
    };
    const [codes, solutions] = [await distances("sparse-codes"), await distances("lasso-solutions")];
    for (const [index, distance] of codes.entries())
      expect(solutions[index]).toBeGreaterThan(distance * 0.99);
    expect(solutions).not.toEqual(codes);
  });

  it("frees what a frozen node can never take up again, and its momenta", async () => {
    const course = await halfFrozen();
    const { context, search } = course;
    // Of a frozen choice only what the present network has.
    const kept = new Set(tensorList(presentNetwork(course)).map(({ name }) => name));
    const { model, optimiser } = course.save().tensors;
    const choices = new Map(
      tensorList(superNetwork(darts, context.shape, darts.norms.oneStageSuperNet)).map(({ name, place }) => [
        name,
        place.choice,
      ]),
    );
    let checked = 0;
    for (const name of [...model.keys(), ...optimiser.keys()]) {
      expect(choices.has(name), name).toBe(true);
      const choice = choices.get(name);
      if (choice === undefined || !search.codes[choice].frozen) continue;
      expect(kept.has(name), name).toBe(true);
      checked += 1;
    }
    expect(checked).toBeGreaterThan(0);
  });

  it("is forced on all at the limit of epochs, with a warning that names them", async () => {
    const course = await start({ epochs: 2, freezeTolerance: 0 });
    const { search } = course;
    const [first, second] = await advance(course, { epoch: 0, step: 0 }, 8);
    expect(first.lines.join("\n")).not.toContain("warning");
    expect(search.forcedChoices).toEqual(
      ["normal", "reduction"].flatMap((group) => [2, 3, 4, 5].map((node) => `${group} node ${node}`)),
    );
    expect(second.lines.join("\n")).toContain(
      `warning: the limit of 2 search epochs froze ${search.forcedChoices.join(", ")}`,
    );
    expect(second.record.forcedChoices).toEqual(search.forcedChoices);
    expect(allFrozen(search.codes)).toBe(true);
    expect(course.phase).toBe("train");
  });

  it("by itself ends the search early and forces nothing", async () => {
    const course = await start({ epochs: 9, trainEpochs: 3, freezeTolerance: 1e6 });
    expect(course.epochCount).toBe(12);
    await advance(course, { epoch: 0, step: 0 }, 4);
    expect(course.phase).toBe("train");
    expect(course.epochCount).toBe(4);
    expect(course.search.forcedChoices).toEqual([]);
  });
});

describe("the two phases", () => {
  it("have a constant learning rate, then half a cosine", async () => {
    const course = await start({ epochs: 2, trainEpochs: 5, learningRate: 0.03, finalLearningRate: 0.001 });
    for (let epoch = 0; epoch < 2; epoch++) expect(course.learningRate(epoch)).toBe(0.03);
    await advance(course, { epoch: 0, step: 0 }, 8);
    for (let epoch = 2; epoch < 7; epoch++)
      expect(course.learningRate(epoch)).toBe(cosine(epoch - 2, 5, 0.03, 0.001));
  });

  it("drop paths in the second one only, rising from 0", async () => {
    const course = await start({ epochs: 1, trainEpochs: 4, dropPath: 0.2 });
    const { search } = course;
    const seen: (number | undefined)[] = [];
    const forward = search.network.forward.bind(search.network);
    vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
      if (options.training) seen.push(options.dropPath?.probability);
      return forward(images, options);
    });
    await advance(course, { epoch: 0, step: 0 }, 12);
    expect(seen.slice(0, 4)).toEqual(Array(4).fill(undefined));
    expect(seen.slice(4, 8)).toEqual(Array(4).fill(0));
    for (const probability of seen.slice(8)) expect(probability).toBeCloseTo(0.05, 12);
  });

  it("drop skips as well where that is asked for", async () => {
    const dropped = async (dropIdentities: boolean): Promise<number> => {
      const { search } = await start({ dropIdentities });
      const skips = darts.choices.map(({ candidates, kept }) =>
        candidates
          .flatMap(({ operation }, index) => (operation === "skip_connect" ? [index] : []))
          .slice(0, kept),
      );
      search.network.connect(skips);
      const { layers } = darts.graph(search.network.description);
      return layers.filter(({ kind }) => kind === "drop-path").length;
    };
    const [spared, all] = [await dropped(false), await dropped(true)];
    // Skips of stride 2 are no identities and are dropped in any case.
    expect(spared).toBeGreaterThan(0);
    expect(all).toBe(3 * 4 * 2);
    expect(spared).toBeLessThan(all);
  });

  it("take one batch and one backward pass a step for b and the weights", async () => {
    const { search } = await start();
    const forward = vi.spyOn(search.network, "forward");
    const before = search.codes;
    const weights = search.network.stateDict().get("stem.0.weight");
    await search.step(0, 0);
    expect(forward).toHaveBeenCalledTimes(1);
    for (const [index, { compressed }] of search.codes.entries())
      expect(compressed).not.toEqual(before[index].compressed);
    expect(search.network.stateDict().get("stem.0.weight")).not.toEqual(weights);
  });

  it("give no score while the architecture still changes", async () => {
    const course = await start({ epochs: 1 });
    const outcomes = await advance(course, { epoch: 0, step: 0 }, 8);
    expect(outcomes[0].record.validationAccuracy).toEqual(expect.any(Number));
    expect(outcomes.map(({ score }) => score === null)).toEqual([true, false]);
  });

  it("change no code any more once all are frozen, and train every gamma and beta", async () => {
    const course = await start({ epochs: 1 });
    const { search } = course;
    await advance(course, { epoch: 0, step: 0 }, 4);
    const codes = search.codes;
    const { active, frozen } = affineOfCandidates(course);
    expect(active.size).toBe(0);
    expect(search.network.trainable.size).toBe(
      tensorList(presentNetwork(course)).filter(({ kind }) => isTrainable(kind)).length,
    );
    await advance(course, { epoch: 1, step: 0 }, 5);
    expect(search.codes).toEqual(codes);
    for (const [name] of frozen)
      expect(isAtStart(name, search.network.stateDict().get(name)!.data as Float32Array), name).toBe(false);
  });
});

describe("size budgets", () => {
  /** A seed whose second network is larger than its first: at that budget the first update is refused. */
  async function growing(flags: SearchFlags): Promise<{ seed: number; budget: number; larger: number }> {
    for (let seed = 1; seed < 40; seed++) {
      const course = await start({ seed, freezeTolerance: 0, codeLearningRate: 0.05, ...flags });
      const { params } = course.size;
      await advance(course, { epoch: 0, step: 0 }, 4);
      if (course.size.params > params) return { seed, budget: params, larger: course.size.params };
    }
    return expect.fail("no seed whose network grows");
  }

  it("refuse an update as a whole and count it: supports, codes and freezing stay; b trains on", async () => {
    const { seed, budget } = await growing({});
    // With this tolerance any accepted update would freeze every node.
    const course = await start({ seed, maxParams: budget, codeLearningRate: 0.05, freezeTolerance: 1e6 });
    const { search } = course;
    expect(course.size.params).toBe(budget);
    const before = search.codes;
    const weights = new Set(search.network.trainable.keys());
    const [outcome] = await advance(course, { epoch: 0, step: 0 }, 4);
    expect(outcome.record).toMatchObject({ accepted: false, rejectedUpdates: 1, newlyFrozen: [] });
    expect(outcome.lines.join("\n")).toContain("update rejected (1 so far)");
    expect(search.save().rejectedUpdates).toBe(1);
    expect(course.size.params).toBe(budget);
    for (const [index, code] of search.codes.entries()) {
      expect(code.recovery).toBe(before[index].recovery);
      expect(code.frozen).toBe(false);
      expect(code.compressed).not.toEqual(before[index].compressed);
    }
    expect(new Set(search.network.trainable.keys())).toEqual(weights);
    expect(course.phase).toBe("search");
  });

  it("let through the same update when it just fits", async () => {
    const { seed, larger } = await growing({});
    const course = await start({ seed, maxParams: larger, codeLearningRate: 0.05, freezeTolerance: 0 });
    await advance(course, { epoch: 0, step: 0 }, 4);
    expect(course.search.save().rejectedUpdates).toBe(0);
    expect(course.size.params).toBe(larger);
  });

  it.each([{ maxParams: 500 }, { maxMultAdds: 1000 }])(
    "that nothing can meet are refused at the start (%o)",
    async (budget) => {
      const error = await start(budget).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(IstaError);
      expect((error as IstaError).code).toBe("BUDGET_IMPOSSIBLE");
      expect((error as IstaError).message).toMatch(/\d{3}/);
    },
  );
});

describe("after the end of the search", () => {
  it.each([0, 0.4])("the absorbed network is the super-net (auxiliary head %d)", async (auxiliaryWeight) => {
    const course = await start({ epochs: 1, trainEpochs: 3, auxiliaryWeight, dropPath: 0.2 });
    const { search } = course;
    const place = { epoch: 0, step: 0 };
    await advance(course, place, 1);
    // The architecture is not decided yet: checkpoints have no network to use.
    expect(Object.keys(course.save().tensors)).toEqual(["model", "optimiser"]);
    await advance(course, place, 11);
    const { norms, weights } = search.trainedNetwork();
    expect(norms).toEqual(darts.norms.normalisedEvaluation);
    const saved = course.save();
    expect(saved.tensors.network).toEqual(weights);
    expect(JSON.parse((saved.state as { network: string }).network)).toMatchObject({
      ...{ genotype: genotypeOf(course.architecture), norms, classes: { length: 10 } },
    });
    const description = evaluationNetwork(
      course.architecture,
      { ...course.context.shape, auxiliary: false },
      norms,
    );
    const plain = new Network(description, { seed: 0 });
    open.push(plain);
    plain.loadStateDict(weights);
    const { test } = await bundledSources(
      searchConfig({ method: "ista-one-stage", validationFraction: 0.2, limitTrain: 40, auxiliaryWeight }),
    );
    const expected: number[] = [];
    const forward = search.network.forward.bind(search.network);
    vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
      const outputs = forward(images, options);
      expected.push(...outputs.logits.toFloat32Array());
      return outputs;
    });
    await course.evaluate(test!);
    const found: number[] = [];
    for (let index = 0; index < test!.batchCount; index++)
      found.push(...evaluateBatch(plain, await test!.batch(0, index)).logits);
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - found[i])));
    expect(found).toHaveLength(16 * 10);
    expect(worst / Math.max(...expected.map(Math.abs))).toBeLessThan(1e-5);
    expect(countNetwork(description).params).toBe(course.size.params);
  });
});
