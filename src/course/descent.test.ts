// Gradients of a batch that goes through the network in parts, beside those of the whole.
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { bundledSources, trainConfig, training } from "../../test/support/courses.js";
import { RandomStream } from "../base/random.js";
import type { Batch } from "../data/index.js";
import { operators } from "../engine/operators.js";
import { liveTensorCount, scope, type Tensor } from "../engine/tensor.js";
import type { ForwardOptions, Network } from "../nn/network.js";
import type { Training } from "../training/training.js";
import { partsOf } from "./batch-step.js";
import { batchGradients } from "./descent.js";

const place = { epoch: 0, index: 0, learningRate: 0.1 };
const values = (tensor: Tensor | null): Float32Array | null => tensor?.toFloat32Array() ?? null;

/** The first `count` images of a real batch. */
let images: (count: number) => Batch;
beforeAll(async () => {
  const { training: source } = await bundledSources(trainConfig({ augmentation: "none", batchSize: 16 }));
  const all = await source.batch(0, 0);
  images = (count) => ({
    count,
    images: all.images.slice(0, (count * all.images.length) / all.count),
    labels: all.labels.slice(0, count),
  });
});

/** Its two halves have the statistics of the whole. */
const twice = ({ count, images, labels }: Batch): Batch => ({
  count: 2 * count,
  images: Float32Array.from([...images, ...images]),
  labels: Int32Array.from([...labels, ...labels]),
});

const opened: Training[] = [];
async function open(flags: Parameters<typeof training>[0] = {}): Promise<Training> {
  opened.push(await training(flags));
  return opened.at(-1)!;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const course of opened.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

/** Figures and gradients of all parameters. */
function found(network: Network, batch: Batch, microBatch: number | null, forward: ForwardOptions) {
  const options = { labelSmoothing: 0.1, auxiliaryWeight: 0.4, microBatch };
  return scope(() => {
    const inputs = [...network.trainable.values()];
    const { figures, gradients } = batchGradients(network, batch, forward, options, inputs, place);
    return { figures, gradients: gradients.map(values) };
  });
}

/** Largest difference of all entries, relative to the largest entry of that gradient. */
function difference(one: readonly (Float32Array | null)[], other: readonly (Float32Array | null)[]): number {
  let largest = 0;
  for (const [index, slope] of one.entries()) {
    expect(slope === null).toBe(other[index] === null);
    if (slope === null) continue;
    const size = slope.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
    for (const [entry, value] of slope.entries())
      largest = Math.max(largest, Math.abs(value - other[index]![entry]) / size);
  }
  return largest;
}

describe("parts of a batch", () => {
  it("are about equal, hold every image once, and more than one where one was not asked for", () => {
    const sizes = (count: number, largest: number | null) =>
      partsOf(images(count), largest).map((part) => part.count);
    expect(sizes(7, null)).toEqual([7]);
    expect(sizes(7, 7)).toEqual([7]);
    expect(sizes(7, 3)).toEqual([2, 2, 3]);
    expect(sizes(16, 5)).toEqual([4, 4, 4, 4]);
    expect(sizes(5, 2)).toEqual([2, 3]);
    expect(sizes(3, 2)).toEqual([3]);
    expect(sizes(3, 1)).toEqual([1, 1, 1]);
    const batch = images(7);
    const parts = partsOf(batch, 3);
    expect(parts.flatMap((part) => [...part.labels])).toEqual([...batch.labels]);
    expect(parts.flatMap((part) => [...part.images])).toEqual([...batch.images]);
  });

  it("have the gradient of the whole where statistics are the same for all", async () => {
    const { network } = await open();
    // Statistics that were gathered before, held: no image depends on another one.
    found(network, images(16), null, { training: true });
    const [batch, held] = [images(11), { training: false }];
    const whole = found(network, batch, null, held);
    for (const microBatch of [1, 2, 4, 10]) {
      const parts = found(network, batch, microBatch, held);
      expect(parts.figures.loss).toBeCloseTo(whole.figures.loss, 5);
      expect(parts.figures).toMatchObject({ count: 11, correct: whole.figures.correct });
      expect(difference(parts.gradients, whole.gradients)).toBeLessThan(1e-4);
    }
    expect(whole.gradients.some((slope) => slope?.some((value) => value !== 0))).toBe(true);
  });

  it("have it in training, auxiliary head and all, where every part is the same", async () => {
    const { network } = await open({ auxiliaryWeight: 0.4 });
    const batch = twice(images(6));
    const whole = found(network, batch, null, { training: true });
    const parts = found(network, batch, 6, { training: true });
    expect(parts.figures.loss).toBeCloseTo(whole.figures.loss, 5);
    expect(difference(parts.gradients, whole.gradients)).toBeLessThan(1e-3);
  });

  it("count together in the running statistics as much as a batch does", async () => {
    const [one, other] = [await open(), await open()];
    const half = images(6);
    found(one.network, twice(half), null, { training: true });
    found(other.network, twice(half), 6, { training: true });
    const statistics = ({ network }: Training) =>
      network.stateDict().get("stem.1.running_mean")!.data as Float32Array;
    for (const [channel, value] of statistics(one).entries())
      expect(statistics(other)[channel]).toBeCloseTo(value, 5);
    expect(statistics(one).some((value) => Math.abs(value) > 1e-3)).toBe(true);
  });

  it("drop the paths that the whole batch drops", async () => {
    const { network } = await open({ dropPath: 0.3 });
    const compute = operators.node;
    let calls: number[][] = [];
    vi.spyOn(operators, "node").mockImplementation((...given) => {
      for (const mask of given[6]) if (mask !== null) calls.push([...mask.toFloat32Array()]);
      return compute(...given);
    });
    /** The masks of all branches, put together from those of the parts. */
    const dropped = (microBatch: number | null, parts: number) => {
      calls = [];
      const random = RandomStream.named(1, "drop-path");
      found(network, images(10), microBatch, { training: true, dropPath: { probability: 0.3, random } });
      const count = calls.length / parts;
      const ofBranch = (branch: number): number[] =>
        calls.filter((_, call) => call % count === branch).flat();
      return { masks: Array.from({ length: count }, (_, branch) => ofBranch(branch)), state: random.state };
    };
    const whole = dropped(null, 1);
    expect(whole.masks.length).toBeGreaterThan(5);
    expect(whole.masks.flat()).toContain(0);
    expect(dropped(4, 3)).toEqual(whole);
  });
});
