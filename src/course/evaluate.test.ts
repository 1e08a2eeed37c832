// Evaluation against brute force on the logits, and the figures of batches.
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { bundledSources, givenBatches, trainConfig } from "../../test/support/courses.js";
import type { BatchSource } from "../data/index.js";
import { liveTensorCount } from "../engine/tensor.js";
import { Network } from "../nn/network.js";
import { darts } from "../space/darts/space.js";
import { evaluationNetwork } from "../space/space.js";
import { ranksOfLabels } from "./batch-step.js";
import { evaluate, evaluateBatch, mostProbable } from "./evaluate.js";
import { networkShape } from "./shape.js";

let network: Network;
let source: BatchSource;
beforeAll(async () => {
  // 36 images in batches of 8: the last one is smaller.
  const config = trainConfig({ limitTest: 36 });
  const sources = await bundledSources(config);
  source = sources.test!;
  const { selection } = darts.named.ISTA_twostage;
  const description = evaluationNetwork(
    { space: darts, selection },
    networkShape(config, sources),
    darts.norms.plainEvaluation,
  );
  network = new Network(description, { seed: 1 });
});
afterAll(() => network.dispose());

describe("evaluate", () => {
  it("gives the figures that sorting all logits gives", async () => {
    const expected = { loss: 0, top1: 0, top5: 0 };
    const confusion = Array.from({ length: 10 }, () => new Array<number>(10).fill(0));
    for (let index = 0; index < source.batchCount; index++) {
      const batch = await source.batch(0, index);
      const { logits } = evaluateBatch(network, batch);
      for (const [row, label] of batch.labels.entries()) {
        const own = Array.from(logits.subarray(row * 10, row * 10 + 10));
        const order = own.map((_, i) => i).sort((a, b) => own[b] - own[a]);
        expected.loss += (Math.log(own.reduce((sum, z) => sum + Math.exp(z), 0)) - own[label]) / 36;
        if (order[0] === label) expected.top1 += 1 / 36;
        if (order.slice(0, 5).includes(label)) expected.top5 += 1 / 36;
        confusion[label][order[0]] += 1;
      }
    }
    const found = (await evaluate(network, source, { confusion: true }))!;
    expect(found.count).toBe(36);
    expect(found.loss).toBeCloseTo(expected.loss, 5);
    expect(found.top1).toBeCloseTo(expected.top1, 12);
    expect(found.top5).toBeCloseTo(expected.top5, 12);
    expect(found.top5).toBeLessThan(1);
    expect(found.confusion.map((row) => confusion.map((_, said) => row.get(said) ?? 0))).toEqual(confusion);
    const diagonal = confusion.reduce((sum, row, c) => sum + row[c], 0);
    expect(found.top1).toBeCloseTo(diagonal / 36, 12);
    expect(found.seconds).toBeGreaterThan(0);
  });

  it("leaves weights, statistics and the number of tensors as they were, and is repeatable", async () => {
    const [state, live] = [network.stateDict(), liveTensorCount()];
    const { seconds: _, ...first } = (await evaluate(network, source))!;
    expect(await evaluate(network, source)).toMatchObject(first);
    expect(network.stateDict()).toEqual(state);
    expect(liveTensorCount()).toBe(live);
  });

  it("does not depend on how the images are batched", async () => {
    const whole = (await evaluate(network, source, { confusion: true }))!;
    expect((await evaluate(network, source))!.confusion).toEqual([]);
    const batches = await Promise.all(
      Array.from({ length: source.batchCount }, (_, i) => source.batch(0, i)),
    );
    const halves = batches.flatMap(({ images, labels, count }) => {
      const half = count / 2;
      const size = images.length / count;
      return [0, half].map((from) => ({
        images: images.slice(from * size, (from + half) * size),
        labels: labels.slice(from, from + half),
        count: half,
      }));
    });
    const found = (await evaluate(network, givenBatches(halves, source), { confusion: true }))!;
    expect(found.loss).toBeCloseTo(whole.loss, 5);
    expect(found.confusion).toEqual(whole.confusion);
  });

  it("reports progress, gives the event loop a turn after each batch, and can be stopped", async () => {
    const done: number[] = [];
    let turns = 0;
    let running = true;
    const tick = (): void => {
      turns += 1;
      if (running) setImmediate(tick);
    };
    setImmediate(tick);
    await evaluate(network, source, { onBatch: (count) => done.push(count) });
    running = false;
    expect(done).toEqual([1, 2, 3, 4, 5]);
    expect(turns).toBeGreaterThanOrEqual(5);
    const forward = vi.spyOn(network, "forward");
    expect(await evaluate(network, source, { stop: () => forward.mock.calls.length === 2 })).toBeNull();
    expect(forward).toHaveBeenCalledTimes(2);
    vi.restoreAllMocks();
  });

  it("of no images is an error", async () => {
    await expect(evaluate(network, givenBatches([], source))).rejects.toThrow(/expected images/);
  });
});

describe("ranks of labels", () => {
  const rank = (label: number, ...logits: number[]): number =>
    ranksOfLabels(Float32Array.from(logits), Int32Array.of(label))[0];

  it("count the entries ahead", () => {
    expect(rank(0, 3, 2, 1)).toBe(0);
    expect(rank(1, 3, 2, 1)).toBe(1);
    expect(rank(2, 3, 2, 1)).toBe(2);
    expect(ranksOfLabels(Float32Array.of(3, 2, 1, 1, 2, 3), Int32Array.of(0, 1))).toEqual(
      Int32Array.of(0, 1),
    );
  });

  it("take the first of equal entries as ahead, as the most probable class is the first: nothing is won by telling nothing apart", () => {
    const equal = [1, 1, 1, 1];
    expect([0, 1, 2, 3].map((label) => rank(label, ...equal))).toEqual([0, 1, 2, 3]);
    expect(mostProbable(Float32Array.from(equal))).toBe(0);
  });

  it("never take a number that is not one for right", () => {
    expect(rank(0, Number.NaN, 1)).toBeGreaterThan(0);
    expect(rank(0, 1, Number.NaN)).toBe(1);
    expect(rank(0, Number.NaN, Number.NaN)).toBeGreaterThan(0);
  });
});
