// The golden cases of dense searches (test/golden: darts, pc-darts), each as a search in the state that it begins with.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { packageFolder } from "../../src/base/package.js";
import { crossEntropy } from "../../src/course/batch-step.js";
import { searchContext } from "../../src/course/search.js";
import type { Batch } from "../../src/data/index.js";
import { Device } from "../../src/engine/device.js";
import { Sgd } from "../../src/engine/sgd.js";
import { scope, Tensor } from "../../src/engine/tensor.js";
import { discretise, strengthsOf } from "../../src/methods/darts/discretise.js";
import { type Logits, logitGradients, type Softmax, softmaxesOf } from "../../src/methods/darts/mixture.js";
import type { DenseSearch } from "../../src/methods/darts/search.js";
import { weightTensors } from "../../src/methods/darts/step.js";
import type { SearchContext } from "../../src/methods/method.js";
import type { StateDict } from "../../src/nn/tensor-store.js";
import { findSpace } from "../../src/space/registry.js";
import { type Space, superNetwork } from "../../src/space/space.js";
import { initialAdamState } from "../../src/sparse/adam.js";
import { givenBatches, givenSources, searchConfig } from "./courses.js";
import {
  awayFromKinks,
  expectGolden,
  type GoldenCase,
  goldenCases,
  gradientResults,
  type Results,
} from "./golden.js";
import { goldenPlace, goldenShape, type NetworkFields, type StepSettings } from "./golden-codes.js";

interface DenseFields extends NetworkFields {
  readonly space: string;
  /** Cells a stage, in NAS-Bench-201. */
  readonly n?: number;
}

type TrajectoryFields = DenseFields & StepSettings;

export type Family = "darts" | "pc-darts";
type Begin = (context: SearchContext) => DenseSearch;

const isLogitKey = (key: string): boolean => /^parameter\.(alpha|beta)\./.test(key);

/** Where a softmax's logits stand in golden tensors: `alpha.GROUP.J` row by row, or `beta.GROUP.J`. */
function goldenLogits(
  space: Space,
  { choice, predecessor, hidden, entries }: Softmax,
  softmaxes: readonly Softmax[],
) {
  const { group, node } = goldenPlace(space.choices, choice);
  const rows = softmaxes.filter((one) => one.choice === choice && one.predecessor !== null);
  const row = predecessor === null ? 0 : rows.findIndex((one) => one.predecessor === predecessor);
  const columns = hidden + entries.length;
  return { key: `${predecessor === null ? "beta" : "alpha"}.${group}.${node}`, from: row * columns, columns };
}

const cellsOf = ({ cells, n }: DenseFields): number => (n === undefined ? cells : 3 * n);

function fieldsOfTrajectory(description: Partial<TrajectoryFields>) {
  if (description.lr === undefined) return {};
  return {
    learningRate: description.lr,
    momentum: description.momentum,
    weightDecay: description.weight_decay,
    gradientClip: description.clip,
    alphaLearningRate: description.code_lr,
    alphaWeightDecay: description.code_weight_decay,
  };
}

/** A search in the state of a case; its batches, where the case has some, come in the order of the steps. */
function startGolden(
  golden: GoldenCase<DenseFields & Partial<TrajectoryFields>>,
  family: Family,
  begin: Begin,
  batches: { training: Batch[]; validation: Batch[] } = { training: [], validation: [] },
): DenseSearch {
  const { description } = golden;
  const space = findSpace(description.space);
  const images = golden.tensor(golden.has("input.images") ? "input.images" : "input.training.images.0");
  const [, channels, height, width] = images.shape;
  const config = searchConfig({
    method: family,
    space: description.space,
    epochs: 1,
    channels: description.channels,
    ...(family === "pc-darts" ? { restEpochs: 0 } : {}),
    ...fieldsOfTrajectory(description),
  });
  const classes = Array.from({ length: description.classes }, (_, label) => String(label));
  const layout = { channels, height, width, classes };
  const sources = givenSources(
    givenBatches(batches.training, layout),
    givenBatches(batches.validation, layout),
  );
  const shape = goldenShape({ ...description, cells: cellsOf(description) }, height);
  const network = superNetwork(space, shape, space.norms.twoStageSuperNet);
  const search = begin(searchContext(config as SearchContext["config"], sources, Device.cpu, network));

  const softmaxes = softmaxesOf(space, family === "pc-darts");
  const logits = softmaxes.map((one) => {
    const { key, from, columns } = goldenLogits(space, one, softmaxes);
    const values = Array.from(golden.floats(`parameter.${key}`).subarray(from, from + columns));
    return { values, adam: initialAdamState(columns) };
  });
  search.restore({ ...search.save(), logits });
  const stored = search.network.stateDict();
  const given: StateDict = new Map();
  for (const key of golden.keys("parameter."))
    if (!isLogitKey(key))
      given.set(
        key.slice("parameter.".length),
        golden.tensor(key) as { shape: number[]; data: Float32Array },
      );
  for (const [name, tensor] of stored)
    if (/\.(running_mean|running_var|num_batches_tracked)$/.test(name)) given.set(name, tensor);
  search.network.loadStateDict(given);
  return search;
}

/** Values per softmax, put together as golden tensors have them. */
function gathered(space: Space, softmaxes: readonly Softmax[], values: readonly ArrayLike<number>[]) {
  const found = new Map<string, number[]>();
  for (const [index, one] of softmaxes.entries()) {
    const { key } = goldenLogits(space, one, softmaxes);
    found.set(key, [...(found.get(key) ?? []), ...Array.from(values[index])]);
  }
  return found;
}

const labelsOf = (golden: GoldenCase, key: string): Int32Array =>
  Int32Array.from(golden.tensor(key).data as BigInt64Array, Number);

/** One pass: logits, loss, gradients of images, weights, alpha and beta, running statistics. */
function checkGradient(golden: GoldenCase<DenseFields>, family: Family, begin: Begin): void {
  const search = startGolden(golden, family, begin);
  const { network } = search;
  const { space } = network.description;
  const softmaxes = softmaxesOf(space, family === "pc-darts");
  const results = scope(() => {
    const { data, shape } = golden.tensor("input.images");
    const images = Tensor.from(data as Float32Array, shape).setRequiresGrad(true);
    const weights = weightTensors(softmaxes, search.logits);
    for (const vector of weights.values()) vector.setRequiresGrad(true);
    const { logits } = network.forward(images, { training: true, weights });
    const labels = Tensor.from(golden.tensor("input.labels").data as BigInt64Array);
    const loss = crossEntropy(logits, labels);
    const leaves = new Map([["input.images", images]]);
    for (const [name, tensor] of network.trainable) leaves.set(`parameter.${name}`, tensor);
    for (const [name, tensor] of weights) leaves.set(`vector.${name}`, tensor);
    const all = gradientResults(loss, leaves);
    const results: Results = new Map([...all].filter(([key]) => !key.startsWith("gradient.vector.")));
    const slopes = new Map(
      [...all].flatMap(([key, slope]) =>
        key.startsWith("gradient.vector.") ? [[key.slice("gradient.vector.".length), slope] as const] : [],
      ),
    );
    const back = logitGradients(softmaxes, search.logits, slopes);
    // What no path leads to has no gradient there, and zero here.
    for (const [key, values] of gathered(space, softmaxes, back))
      if (golden.has(`gradient.parameter.${key}`) || values.some((value) => value !== 0))
        results.set(`gradient.parameter.${key}`, values);
    results.set("output.logits", logits.toFloat32Array());
    results.set("output.loss", [loss.item()]);
    const after = network.stateDict();
    for (const key of golden.keys("after.buffer."))
      results.set(key, after.get(key.slice("after.buffer.".length))!.data as Float32Array);
    return results;
  });
  network.dispose();
  expectGolden(golden, results);
}

/** Mean cross-entropy of logits [N, classes]. */
function meanLoss(logits: Float32Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  const losses = Array.from(labels, (label, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    return Math.log(own.reduce((sum, value) => sum + Math.exp(value), 0)) - own[label];
  });
  return losses.reduce((sum, value) => sum + value, 0) / labels.length;
}

function batchesOf(golden: GoldenCase<TrajectoryFields>, part: "training" | "validation"): Batch[] {
  return Array.from({ length: golden.description.steps }, (_, step) => {
    const labels = labelsOf(golden, `input.${part}.labels.${step}`);
    return { images: golden.floats(`input.${part}.images.${step}`), labels, count: labels.length };
  });
}

/** Steps of the search: losses, norms of gradients, and what changes. */
async function checkTrajectory(golden: GoldenCase<TrajectoryFields>, family: Family, begin: Begin) {
  const batches = { training: batchesOf(golden, "training"), validation: batchesOf(golden, "validation") };
  const search = startGolden(golden, family, begin, batches);
  const { space } = search.network.description;
  const softmaxes = softmaxesOf(space, family === "pc-darts");
  // A step reports neither the loss on the held-out batch nor the gradient's norm: both are overheard.
  const norms = vi.spyOn(Sgd.prototype, "step");
  const logits: Float32Array[] = [];
  const forward = search.network.forward.bind(search.network);
  vi.spyOn(search.network, "forward").mockImplementation((images, options) => {
    const outputs = forward(images, options);
    logits.push(outputs.logits.toFloat32Array());
    return outputs;
  });
  const results: Results = new Map();
  for (let step = 0; step < golden.description.steps; step++) {
    const { loss } = await search.step(0, step);
    results.set(`output.training_loss.${step}`, [loss]);
    const { labels } = batches.validation[step];
    results.set(`output.validation_loss.${step}`, [meanLoss(logits[2 * step], labels)]);
    results.set(`output.gradient_norm.${step}`, [norms.mock.results[step].value as number]);
    const present = gathered(
      space,
      softmaxes,
      search.logits.map(({ values }) => values),
    );
    const stored = search.network.stateDict();
    for (const key of golden.keys(`after.${step}.`)) {
      const name = key.replace(/^after\.\d+\.(parameter|buffer)\./, "");
      results.set(key, present.get(name) ?? (stored.get(name)!.data as Float32Array));
    }
  }
  vi.restoreAllMocks();
  search.network.dispose();
  expectGolden(golden, results);
}

/** Parity of a dense search with PyTorch, in both spaces. */
export function itAgreesWithPyTorch(family: Family, begin: Begin): void {
  for (const golden of goldenCases<DenseFields>(family))
    it(golden.name, () =>
      awayFromKinks(golden, (nudged) =>
        nudged.name.endsWith("-gradient")
          ? checkGradient(nudged, family, begin)
          : checkTrajectory(nudged as GoldenCase<TrajectoryFields>, family, begin),
      ),
    );
}

interface Discretisation {
  readonly method: string;
  readonly space: string;
  readonly kind: string;
  readonly alpha: Readonly<Record<string, readonly (readonly (readonly number[])[])[]>>;
  readonly beta: Readonly<Record<string, readonly (readonly number[])[]>> | null;
  readonly genotype: Readonly<
    Record<string, readonly (readonly [operation: string, predecessor: number][])[]>
  >;
}

/** What is kept of given logits, as the table of test/golden has it. */
export function itDiscretisesAsTheTable(family: Family): void {
  const table: Discretisation[] = JSON.parse(
    readFileSync(join(packageFolder, "test/golden/discretisation.json"), "utf8"),
  );
  const own = table.filter(({ method }) => method === family);
  it.each(own.map((one) => [`${one.space} ${one.kind}`, one] as const))(
    "%s",
    (_, { space: name, alpha, beta, genotype }) => {
      const space = findSpace(name);
      const softmaxes = softmaxesOf(space, beta !== null);
      const logits = softmaxes.map(({ choice, predecessor }): Logits => {
        const { group, node } = goldenPlace(space.choices, choice);
        const values = Float64Array.from(
          predecessor === null ? beta![group][node] : alpha[group][node][predecessor],
        );
        return { values, adam: initialAdamState(values.length) };
      });
      const found = discretise(space.choices, strengthsOf(space.choices, softmaxes, logits));
      for (const [index, choice] of space.choices.entries()) {
        const { group, node } = goldenPlace(space.choices, index);
        const kept = found[index].map((candidate) => choice.candidates[candidate]);
        expect(kept.map(({ operation, predecessor }) => [operation, predecessor])).toEqual(
          genotype[group][node],
        );
      }
    },
  );
  it("is tested with ties and with edges on which `none` leads", () => {
    const kinds = new Set(own.map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(["equal", "none-dominated", "random", "tied-edges", "tied-operations"]);
  });
}
