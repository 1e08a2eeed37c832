// The two-stage search on real images: what each half of a step changes, the supports, the end of an epoch.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  bundledSources,
  type CourseOf,
  carryOver,
  givenSources,
  oneBatch,
  type SearchFlags,
  searchConfig,
  twoStageSearch,
} from "../../../test/support/courses.js";
import { IstaError } from "../../base/errors.js";
import type { SearchConfig } from "../../config/schema.js";
import { cosine } from "../../course/schedules.js";
import { openSources, type Sources } from "../../course/sources.js";
import type { Network } from "../../nn/network.js";
import { countNetwork } from "../../space/counts.js";
import { darts } from "../../space/darts/space.js";
import { vectorNames } from "../../space/mixture.js";
import { genotypeOf, superNetwork } from "../../space/space.js";
import { isTrainable, tensorList } from "../../space/tensors.js";
import { type Codes, supportsOf } from "../../sparse/codes.js";
import { recover } from "../../sparse/recovery.js";
import { createSearch } from "../run-search.js";
import type { IstaOptions } from "./options.js";
import type { TwoStageSearch } from "./two-stage.js";

type TwoStageCourse = CourseOf<TwoStageSearch>;
const folder = mkdtempSync(join(tmpdir(), "ista-nas-two-stage-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const open: TwoStageCourse[] = [];
async function start(flags: SearchFlags = {}): Promise<TwoStageCourse> {
  const course = await twoStageSearch(flags);
  open.push(course);
  return course;
}
async function startOn(config: SearchConfig, sources: Sources): Promise<TwoStageCourse> {
  const course = (await createSearch(config, sources)) as TwoStageCourse;
  open.push(course);
  return course;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const course of open.splice(0)) course.dispose();
});

const compressed = (codes: Codes): number[][] => codes.map((code) => Array.from(code.compressed));

function trained(network: Network): Record<string, number[]> {
  return Object.fromEntries(
    [...network.trainable].map(([name, tensor]) => [name, Array.from(tensor.toFloat32Array())]),
  );
}

/** State at each forward pass, besides what the pass was asked to do. */
function watch(search: TwoStageSearch) {
  const seen: {
    codes: Codes;
    weights: Record<string, number[]>;
    pixelSum: number;
    choiceWeights: number[][];
  }[] = [];
  const forward = search.network.forward.bind(search.network);
  vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
    const choiceWeights = darts.choices.map((choice) =>
      Array.from(options.weights!.get(vectorNames.candidates(choice))!.toFloat32Array()),
    );
    const pixelSum = images.toFloat32Array().reduce((sum, value) => sum + value, 0);
    seen.push({ codes: search.codes, weights: trained(search.network), pixelSum, choiceWeights });
    return forward(images, options);
  });
  return seen;
}

describe("a control run", () => {
  it("with random gradients moves the codes otherwise, and the weights at the first step alike", async () => {
    const [fair, control] = [await start(), await start({ control: "random-gradients" })];
    const begun = compressed(fair.search.codes);
    expect(compressed(control.search.codes)).toEqual(begun);
    for (const course of [fair, control]) await course.step(0, 0);
    expect(compressed(control.search.codes)).not.toEqual(compressed(fair.search.codes));
    expect(compressed(control.search.codes)).not.toEqual(begun);
  });

  it("with shuffled labels has as many images of each class, and other labels for them", async () => {
    const sources = await Promise.all(
      (["none", "shuffled-labels"] as const).map((control) =>
        openSources(searchConfig({ method: "ista-two-stage", control, augmentation: "none" })),
      ),
    );
    const [fair, control] = await Promise.all(sources.map(({ validation }) => validation!.batch(0, 0)));
    expect(control.images).toEqual(fair.images);
    expect(control.labels).not.toEqual(fair.labels);
    const counts = await Promise.all(
      sources.map(async ({ training }) => {
        const labels: number[] = [];
        for (let index = 0; index < training.batchCount; index++)
          labels.push(...(await training.batch(0, index)).labels);
        return labels.sort((a, b) => a - b);
      }),
    );
    expect(counts[1]).toEqual(counts[0]);
    for (const one of sources) await one.close();
  });
});

describe("a step", () => {
  it("moves b alone on the held-out batch, then the weights alone on the training batch", async () => {
    const { search } = await start();
    const before = { codes: search.codes, weights: trained(search.network) };
    const seen = watch(search);
    await search.step(0, 0);
    expect(seen).toHaveLength(2);
    const [first, second] = seen;
    expect(compressed(first.codes)).toEqual(compressed(before.codes));
    expect(second.weights).toEqual(first.weights);
    expect(second.weights).toEqual(before.weights);
    for (const [index, value] of compressed(second.codes).entries())
      expect(value).not.toEqual(Array.from(before.codes[index].compressed));
    expect(compressed(search.codes)).toEqual(compressed(second.codes));
    const after = trained(search.network);
    const still = Object.keys(after).filter((name) => `${after[name]}` === `${before.weights[name]}`);
    expect(still).toEqual([]);
    // The batches are different ones, and w is computed anew from the new b.
    expect(second.pixelSum).not.toBe(first.pixelSum);
    expect(second.choiceWeights).not.toEqual(first.choiceWeights);
  });

  it("lets the recovered codes and supports alone until the epoch ends", async () => {
    const course = await start();
    const before = course.search.codes.map(({ recovery }) => recovery);
    await advance(course, { epoch: 0, step: 0 }, 3);
    expect(course.search.codes.map(({ recovery }) => recovery)).toEqual(before);
  });

  it("recovers inside of the epoch where that is wanted, from perturbed codes until the last epoch is over", async () => {
    const flags = { recoverEvery: 2, epochs: 2, codeLearningRate: 1e-9 };
    const [still, moving] = [await start(flags), await start({ ...flags, recoveryNoise: 1 })];
    const supports = ({ search }: TwoStageCourse) => supportsOf(search.codes);
    const before = supports(still);
    expect(supports(moving)).toEqual(before);
    await advance(moving, { epoch: 0, step: 0 }, 1);
    expect(supports(moving)).toEqual(before);
    await advance(still, { epoch: 0, step: 0 }, 2);
    await advance(moving, { epoch: 0, step: 1 }, 1);
    expect(supports(still)).toEqual(before);
    expect(supports(moving)).not.toEqual(before);
    expect(moving.search.network.description.selection).toEqual(supports(moving));
    // The end of an epoch recovers from the codes themselves: its architecture is no accident.
    await advance(moving, { epoch: 0, step: 2 }, 2);
    expect(supports(moving)).toEqual(before);
  });

  it("takes the held-out batches round and round when there are fewer of them", async () => {
    const config = searchConfig({ method: "ista-two-stage" });
    const sources = await bundledSources(config);
    const asked: [number, number][] = [];
    const codes = {
      ...sources.codes!,
      batchCount: 3,
      batch: (epoch: number, index: number) => {
        asked.push([epoch, index]);
        return sources.codes!.batch(epoch, index);
      },
    };
    const course = await startOn(config, givenSources(sources.training, codes));
    await advance(course, { epoch: 0, step: 0 }, 8);
    expect(course.stepCount).toBe(4);
    expect(asked).toEqual([
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
      [2, 0],
      [2, 1],
    ]);
  });
});

it("the learning rate is half a cosine over the epochs", async () => {
  const course = await start({ epochs: 7, learningRate: 0.2, finalLearningRate: 0.01 });
  expect(course.epochCount).toBe(7);
  for (let epoch = 0; epoch < 7; epoch++)
    expect(course.learningRate(epoch)).toBe(cosine(epoch, 7, 0.2, 0.01));
});

describe("the network", () => {
  it.each(["top-s", "path"] as const)(
    "has the connections that the codes say, epoch for epoch (%s)",
    async (recovery) => {
      const course = await start({ recovery, codeLearningRate: 0.05 });
      const { search, context } = course;
      const place = { epoch: 0, step: 0 };
      const genotypes = new Set<string>();
      for (let epoch = 0; epoch < 4; epoch++) {
        const description = superNetwork(
          darts,
          context.shape,
          darts.norms.twoStageSuperNet,
          supportsOf(search.codes),
        );
        expect([...search.network.trainable.keys()].sort()).toEqual(
          tensorList(description)
            .filter(({ kind }) => isTrainable(kind))
            .map(({ name }) => name)
            .sort(),
        );
        expect(course.size).toMatchObject({
          params: countNetwork(description).params,
          multAdds: countNetwork(description).multAdds,
        });
        genotypes.add(JSON.stringify(genotypeOf(course.architecture)));
        await advance(course, place, 4);
      }
      expect(genotypes.size).toBeGreaterThan(1);
    },
  );

  it("keeps the weights of an operation that leaves the support", async () => {
    const course = await start({ codeLearningRate: 0.05 });
    const { search } = course;
    await course.step(0, 0);
    const before = search.network.stateDict();
    const place = { epoch: 0, step: 1 };
    await advance(course, place, 3);
    const names = new Set(search.network.trainable.keys());
    const left = [...before.keys()].filter((name) => name.endsWith(".weight") && !names.has(name));
    expect(left.length).toBeGreaterThan(0);
    const atLeaving = search.network.stateDict();
    await advance(course, place, 4);
    const returned = new Set(search.network.trainable.keys());
    for (const name of left)
      if (!returned.has(name)) expect(search.network.stateDict().get(name)).toEqual(atLeaving.get(name));
  });
});

describe("the end of an epoch", () => {
  it("evaluates the network as it was trained, then recovers every node from its b", async () => {
    const course = await start({ codeLearningRate: 0.05 });
    const { search } = course;
    const config = searchConfig({ method: "ista-two-stage" }) as SearchConfig & IstaOptions;
    const sources = await bundledSources(config);
    for (let index = 0; index < 4; index++) await course.step(0, index);
    const before = search.codes;
    const expected = (await course.evaluate(sources.validation!))!;
    const outcome = (await course.endEpoch(0, { loss: 0, accuracy: 0, images: 0, seconds: 0 }, () => false))!;
    expect(outcome.score).toBe(expected.top1);
    expect(outcome.record).toMatchObject({
      validationLoss: expected.loss,
      validationAccuracy: expected.top1,
      genotype: genotypeOf(course.architecture),
      parameters: course.size.params,
      multiplyAdds: course.size.multAdds,
    });
    expect(outcome.genotype).toEqual(outcome.record.genotype);
    // Fewer than 1,000 images are held out, so that both are means over all of them.
    expect(outcome.record.lossBeforeRecovery).toBe(expected.loss);
    expect(outcome.record.lossAfterRecovery).toBe((await course.evaluate(sources.validation!))!.loss);
    expect(outcome.record.lossAfterRecovery).not.toBe(expected.loss);
    for (const [index, value] of search.codes.entries()) {
      expect(value.compressed).toEqual(before[index].compressed);
      expect(value.adam).toEqual(before[index].adam);
      const options = { method: config.recovery, sparsity: 2, lambda: config.lambda };
      const found = recover(value.measurement, value.compressed, options);
      expect(value.recovery).toEqual(found);
      expect(value.frozen).toBe(false);
    }
    const records = outcome.record.choices as {
      choice: string;
      group: string;
      distance: number;
      frozen: boolean;
    }[];
    expect(records.map(({ choice, group }) => [choice, group])).toEqual(
      ["normal", "reduction"].flatMap((group) =>
        [2, 3, 4, 5].map((node) => [`${group} node ${node}`, group]),
      ),
    );
    for (const [index, { recovery }] of search.codes.entries()) {
      const difference = recovery.code.map((z, i) => z - before[index].recovery.code[i]);
      expect(records[index].distance).toBeCloseTo(Math.hypot(...difference), 12);
      expect(records[index]).toMatchObject({
        compressedCode: Array.from(search.codes[index].compressed),
        support: recovery.support,
        sparseCode: recovery.support.map((entry) => recovery.code[entry]),
        weights: Array.from(recovery.weights),
        residual: recovery.residual,
        frozen: false,
      });
    }
    expect(outcome.lines).toHaveLength(2);
  });

  it("of a refused update records what stays with the present codes, and what was refused beside it", async () => {
    const course = await start({ codeLearningRate: 0.05 });
    vi.spyOn(course.context, "fits").mockReturnValue(false);
    const before = course.search.codes;
    const [outcome] = await advance(course, { epoch: 0, step: 0 }, 4);
    const { codes } = course.search;
    expect(outcome.record.accepted).toBe(false);
    const records = outcome.record.choices as Record<string, unknown>[];
    for (const [index, record] of records.entries()) {
      const { measurement, compressed: b, recovery } = codes[index];
      const { support, code } = before[index].recovery;
      // b - A_S z_S, and w_S = z_S + A_S^T (b - A_S z_S), with the b that the record has.
      const rest = b.map((value, row) =>
        support.reduce(
          (sum, column) => sum - measurement.data[row * measurement.columns + column] * code[column],
          value,
        ),
      );
      const weights = support.map((column) =>
        rest.reduce(
          (sum, value, row) => sum + measurement.data[row * measurement.columns + column] * value,
          code[column],
        ),
      );
      expect(record).toMatchObject({ compressedCode: Array.from(b), support, distance: 0 });
      for (const [position, weight] of (record.weights as number[]).entries())
        expect(weight).toBeCloseTo(weights[position], 10);
      expect(record.residual).toBeCloseTo(Math.hypot(...rest) / Math.hypot(...b), 10);
      const refused = recover(measurement, b, { method: "top-s", sparsity: 2, lambda: 1e-5 });
      const moved = Math.hypot(...refused.code.map((value, entry) => value - recovery.code[entry]));
      expect(record.proposed).toMatchObject({
        support: refused.support,
        weights: Array.from(refused.weights),
      });
      expect((record.proposed as { distance: number }).distance).toBeCloseTo(moved, 10);
    }
  });

  it("keeps as scored the codes and weights that the held-out figures are of", async () => {
    const course = await start({ codeLearningRate: 0.05 });
    const supports = [supportsOf(course.search.codes)];
    const place = { epoch: 0, step: 0 };
    for (let epoch = 0; epoch < 3; epoch++) {
      const [outcome] = await advance(course, place, 4);
      const { codes } = outcome.scored!.state as { codes: { recovery: { support: number[] } }[] };
      expect(codes.map(({ recovery }) => recovery.support)).toEqual(supports.at(-1));
      supports.push(supportsOf(course.search.codes));
      const again = await start({ codeLearningRate: 0.05 });
      carryOver(
        { ...course, save: () => outcome.scored! } as TwoStageCourse,
        again,
        join(folder, `${epoch}`),
      );
      const found = await again.evaluate(again.context.sources.validation!);
      expect(found!.top1).toBe(outcome.record.validationAccuracy);
      expect(found!.loss).toBe(outcome.record.validationLoss);
    }
    // Otherwise nothing would have been told apart.
    expect(new Set(supports.map((support) => JSON.stringify(support))).size).toBeGreaterThan(1);
  });

  it("changes nothing when it is stopped, and can be repeated", async () => {
    const course = await start();
    const figures = { loss: 0, accuracy: 0, images: 0, seconds: 0 };
    await course.step(0, 0);
    const before = course.search.codes;
    expect(await course.endEpoch(0, figures, () => true)).toBeNull();
    expect(course.search.codes).toBe(before);
    expect(await course.endEpoch(0, figures, () => false)).not.toBeNull();
  });
});

describe("a search", () => {
  it("learns: one batch is overfitted to a small fraction of a guess's loss", async () => {
    const source = await oneBatch();
    const config = searchConfig({
      epochs: 80,
      learningRate: 0.05,
      codeLearningRate: 0.01,
      recovery: "path",
      measurement: "gaussian",
    });
    const course = await startOn(config, givenSources(source, source));
    let loss = Number.POSITIVE_INFINITY;
    // No epoch ends: the connections stay, and what falls is the loss of one network.
    for (let epoch = 0; epoch < 80; epoch++) ({ loss } = await course.step(epoch, 0));
    expect(loss).toBeLessThan(Math.log(10) / 10);
  });

  it("of the same seed is the same bit for bit, of another one is not", async () => {
    const [first, second, other] = [await start(), await start(), await start({ seed: 6 })];
    for (const course of [first, second, other]) await advance(course, { epoch: 0, step: 0 }, 6);
    expect(second.search.network.stateDict()).toEqual(first.search.network.stateDict());
    expect(second.search.codes).toEqual(first.search.codes);
    expect(compressed(other.search.codes)).not.toEqual(compressed(first.search.codes));
  });

  it("with distinct predecessors never takes both connections of a node from one", async () => {
    const course = await start({ distinctPredecessors: true, codeLearningRate: 0.05 });
    const place = { epoch: 0, step: 0 };
    for (let epoch = 0; epoch < 3; epoch++) {
      for (const [index, chosen] of course.search.selection.entries()) {
        const { candidates } = darts.choices[index];
        expect(new Set(chosen.map((candidate) => candidates[candidate].predecessor)).size).toBe(2);
      }
      await advance(course, place, 4);
    }
  });

  it("within a size budget refuses updates that exceed it, and says what it needs at least", async () => {
    const unlimited = await start();
    const course = await start({ maxParams: unlimited.size.params, codeLearningRate: 0.05 });
    const place = { epoch: 0, step: 0 };
    for (let epoch = 0; epoch < 3; epoch++) {
      expect(course.size.params).toBeLessThanOrEqual(unlimited.size.params);
      await advance(course, place, 4);
    }
    await expect(start({ maxParams: 10 })).rejects.toSatisfy(
      (error) => error instanceof IstaError && error.code === "BUDGET_IMPOSSIBLE",
    );
  });
});
