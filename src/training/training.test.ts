// Training of fixed cells, and every course when numbers stop being finite.
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  bundledSources,
  givenSources,
  oneBatch,
  oneStageSearch,
  trainConfig,
  training,
  twoStageSearch,
} from "../../test/support/courses.js";
import { IstaError } from "../base/errors.js";
import { batchGradients, descend } from "../course/descent.js";
import type { Course } from "../course/loop.js";
import type { SearchCourse } from "../course/search.js";
import { networkShape } from "../course/shape.js";
import { operator, operators } from "../engine/operators.js";
import { Sgd } from "../engine/sgd.js";
import { liveTensorCount, scope, Tensor } from "../engine/tensor.js";
import type { Network } from "../nn/network.js";
import { darts } from "../space/darts/space.js";
import { evaluationNetwork } from "../space/space.js";
import { Training } from "./training.js";

const fill = operator<[Tensor, number], Tensor>("aten::fill_", "Scalar");

type Disposable = Course & { dispose(): void };
const open: Disposable[] = [];
async function opened<T extends Disposable>(course: Promise<T>): Promise<T> {
  open.push(await course);
  return course;
}
afterEach(() => {
  vi.restoreAllMocks();
  for (const course of open.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

const values = (network: Network): Map<string, Float32Array> =>
  new Map(
    [...network.stateDict()].map(([name, { data }]) => [
      name,
      Float32Array.from(data as Float32Array, Number),
    ]),
  );

describe("training", () => {
  it("learns: one batch is overfitted to a small fraction of a guess's loss", async () => {
    const source = await oneBatch();
    const config = trainConfig({ epochs: 60, learningRate: 0.05 });
    const { selection } = darts.named.ISTA_twostage;
    const sources = givenSources(source);
    const description = evaluationNetwork({ space: darts, selection }, networkShape(config, sources));
    const course = await opened(Promise.resolve(new Training(config, sources, description)));
    let loss = Number.POSITIVE_INFINITY;
    for (let epoch = 0; epoch < 60; epoch++) ({ loss } = await course.step(epoch, 0));
    expect(loss).toBeLessThan(Math.log(10) / 20);
  });

  it("of the same seed is the same bit for bit, of another one is not", async () => {
    const [first, second, other] = [
      await opened(training({ dropPath: 0.3 })),
      await opened(training({ dropPath: 0.3 })),
      await opened(training({ dropPath: 0.3, seed: 6 })),
    ];
    for (const course of [first, second, other]) await advance(course, { epoch: 0, step: 0 }, 6);
    expect(second.network.stateDict()).toEqual(first.network.stateDict());
    expect(other.network.stateDict()).not.toEqual(first.network.stateDict());
  });

  it("raises drop-path with the epochs", async () => {
    const course = await opened(training({ epochs: 4, dropPath: 0.2 }));
    const forward = vi.spyOn(course.network, "forward");
    await advance(course, { epoch: 0, step: 0 }, 12);
    const seen = forward.mock.calls.map(([, { dropPath }]) => dropPath!.probability);
    expect(seen).toEqual([0, 0, 0, 0, 0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1]);
  });

  it("weights the auxiliary head's loss as it is told", async () => {
    // The loss that is reported is that of the main head; the gradient is that of the sum.
    const course = await opened(training({ auxiliaryWeight: 0.4 }));
    const { training: source } = await bundledSources(trainConfig({}));
    const batch = await source.batch(0, 0);
    const place = { epoch: 0, index: 0, learningRate: 0.1 };
    const slopes = (auxiliaryWeight: number) =>
      scope(() => {
        const inputs = ["stem.0.weight", "auxiliary_head.classifier.bias"].map(
          (name) => course.network.trainable.get(name)!,
        );
        const options = { labelSmoothing: 0, auxiliaryWeight };
        const { figures, gradients } = batchGradients(
          course.network,
          batch,
          { training: true },
          options,
          inputs,
          place,
        );
        return { loss: figures.loss, values: gradients.map((slope) => slope!.toFloat32Array()) };
      });
    const [none, some, twice] = [0, 0.4, 0.8].map(slopes);
    expect(some.loss).toBe(none.loss);
    expect(none.values[1]).toEqual(new Float32Array(10));
    // Linear in the weight.
    for (const part of [0, 1])
      for (const [i, value] of some.values[part].entries())
        expect(value).toBeCloseTo((none.values[part][i] + twice.values[part][i]) / 2, 5);
    expect(some.values[0]).not.toEqual(none.values[0]);
  });

  it("begins with weights for other classes, but for the heads, which stay as they were drawn", async () => {
    const [course, fresh] = [await opened(training({ seed: 1 })), await opened(training({ seed: 1 }))];
    const given = (await opened(training({ seed: 2 }))).network.stateDict();
    expect(course.start(given)).toBe(null);
    expect(course.network.stateDict()).toEqual(given);
    const seven = new Map(given);
    const { shape, data } = given.get("classifier.weight")!;
    seven.set("classifier.weight", {
      shape: [7, shape[1]],
      data: (data as Float32Array).slice(0, 7 * shape[1]),
    });
    seven.set("classifier.bias", { shape: [7], data: new Float32Array(7) });
    const other = await opened(training({ seed: 1 }));
    expect(other.start(seven)).toBe(7);
    const drawn = fresh.network.stateDict();
    for (const [name, tensor] of other.network.stateDict())
      expect(tensor, name).toEqual((name.startsWith("classifier.") ? drawn : given).get(name));
  });

  it("averages weights and statistics exponentially", async () => {
    const decay = 0.75;
    const course = await opened(training({ weightAveraging: decay }));
    expect(course.result).not.toBe(course.network);
    let expected = values(course.result);
    for (let index = 0; index < 4; index++) {
      await course.step(0, index);
      const present = values(course.network);
      expected = new Map(
        [...expected].map(([name, old]) => [
          name,
          name.endsWith("num_batches_tracked")
            ? present.get(name)!
            : old.map((value, i) => decay * value + (1 - decay) * present.get(name)![i]),
        ]),
      );
    }
    for (const [name, found] of values(course.result)) {
      const wanted = expected.get(name)!;
      const worst = Math.max(...found.map((value, i) => Math.abs(value - wanted[i])));
      expect(worst, name).toBeLessThan(1e-6);
    }
    expect(values(course.result).get("stem.1.num_batches_tracked")).toEqual(Float32Array.of(4));
  });
});

const courses = [
  ["training", async (learningRate: number) => training({ learningRate })],
  ["two-stage search", async (learningRate: number) => twoStageSearch({ learningRate })],
  ["one-stage search", async (learningRate: number) => oneStageSearch({ learningRate })],
] as const;

describe.each(courses)("a %s with an absurd learning rate", (_, make) => {
  // From rates that blow the loss up slowly to those that leave the range of float32 at once.
  it.each([1e6, 1e15, 1e25, 1e35])("%d ends in an error that says where", async (learningRate) => {
    const course = await opened<Training | SearchCourse>(make(learningRate));
    let steps = 0;
    const error = await (async () => {
      const place = { epoch: 0, step: 0 };
      for (; steps < 24; steps++) await advance(course, place, 1);
    })().catch((caught: unknown) => caught);
    if (error === undefined) {
      // Batch norm makes networks indifferent to the scale of weights: then nothing has diverged.
      const { network } = "search" in course ? course.search : course;
      for (const tensor of network.trainable.values())
        expect(scope(() => operators.allFinite(tensor))).toBe(true);
      return;
    }
    expect(error).toBeInstanceOf(IstaError);
    const { code, message } = error as IstaError;
    expect(code, message).toBe("RUN_DIVERGED");
    expect(message).toContain(`at step ${(steps % 4) + 1} of epoch ${Math.floor(steps / 4) + 1}`);
    expect(message).toMatch(/learning rate \d/);
    expect(message).toMatch(
      /it began in (the (weights|output of|gradient of) (the weights of )?(stem|cells|classifier|normal|reduction)|the loss)/,
    );
    expect(message).not.toContain("\n");
  });
});

describe("numbers that are not finite", () => {
  const place = { epoch: 2, index: 6, learningRate: 0.125 };
  const settings = { learningRate: 0.125, momentum: 0.9, weightDecay: 0, gradientClip: 5 };

  it("in a gradient leave weights and momenta as they were, and are named", async () => {
    const { network } = await opened(training());
    const sgd = new Sgd();
    scope(() => {
      const slopes = [...network.trainable.values()].map((tensor) => operators.zerosLike(tensor));
      descend(network, sgd, slopes, settings, place);
      const before = [network.stateDict(), sgd.stateDict()];
      const names = [...network.trainable.keys()];
      const at = names.indexOf("classifier.bias");
      slopes[at] = Tensor.from(new Float32Array(10).fill(Number.NaN));
      let message = "";
      try {
        descend(network, sgd, slopes, settings, place);
      } catch (error) {
        message = (error as IstaError).message;
      }
      expect(message).toContain("step 7 of epoch 3, learning rate 0.125");
      expect(message).toContain("the gradient of classifier.bias");
      expect([network.stateDict(), sgd.stateDict()]).toEqual(before);
    });
    sgd.dispose();
  });

  it.each([
    ["the images", null],
    ["the weights cells.1.preprocess0.op.1.weight", "cells.1.preprocess0.op.1.weight"],
  ])("in %s are found before anything is changed", async (where, name) => {
    const course = await opened(training());
    const { network } = course;
    const { training: source } = await bundledSources(trainConfig({}));
    const given = await source.batch(0, 0);
    const batch = { ...given, images: given.images.slice() };
    if (name === null) batch.images[5] = Number.NaN;
    else scope(() => void fill(operators.detach(network.trainable.get(name)!), Number.NaN));
    const weights = [...network.trainable].map(([, tensor]) => tensor.toFloat32Array());
    const action = () =>
      scope(() =>
        batchGradients(
          network,
          batch,
          { training: true },
          { labelSmoothing: 0, auxiliaryWeight: 0 },
          [...network.trainable.values()],
          place,
        ),
      );
    expect(action).toThrow(`it began in ${where}`);
    expect([...network.trainable].map(([, tensor]) => tensor.toFloat32Array())).toEqual(weights);
  });

  it("in a layer's output are traced to that layer", async () => {
    const { network } = await opened(training());
    const { training: source } = await bundledSources(trainConfig({}));
    const batch = await source.batch(0, 0);
    // Finite weights whose product is not.
    scope(() => {
      fill(operators.detach(network.trainable.get("classifier.weight")!), 3e38);
      fill(operators.detach(network.trainable.get("classifier.bias")!), 3e38);
    });
    expect(() =>
      scope(() =>
        batchGradients(
          network,
          batch,
          { training: true },
          { labelSmoothing: 0, auxiliaryWeight: 0 },
          [...network.trainable.values()],
          place,
        ),
      ),
    ).toThrow("it began in the output of classifier");
  });
});
