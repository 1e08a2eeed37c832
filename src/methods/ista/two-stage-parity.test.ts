// Steps of the two-stage search against the same steps in PyTorch, and Adam on b.
import { describe, expect, it, vi } from "vitest";
import { givenBatches, givenSources, searchConfig } from "../../../test/support/courses.js";
import { expectGolden, type GoldenCase, goldenCases, type Results } from "../../../test/support/golden.js";
import {
  goldenCodes,
  goldenShape,
  isCodeKey,
  type SearchFields,
  withSparseCodes,
} from "../../../test/support/golden-codes.js";
import type { Batch } from "../../data/index.js";
import { Sgd } from "../../engine/sgd.js";
import type { StoredTensor } from "../../formats/safetensors.js";
import type { Checkpoint } from "../../run/checkpoint.js";
import { adamStep, initialAdamState } from "../../sparse/adam.js";
import { type CodeGroup, type Codes, supportsOf } from "../../sparse/codes.js";
import { codesToJson } from "../../sparse/codes-json.js";
import { TwoStageSearch } from "./two-stage.js";

interface TrajectoryFields extends SearchFields {
  readonly steps: number;
  readonly lr: number;
  readonly momentum: number;
  readonly weight_decay: number;
  readonly clip: number;
  readonly code_lr: number;
  readonly code_weight_decay: number;
  readonly recovery_after?: number;
  readonly next_supports?: SearchFields["supports"];
}

function batchesOf(golden: GoldenCase<TrajectoryFields>, part: "training" | "validation"): Batch[] {
  return Array.from({ length: golden.description.steps }, (_, step) => {
    const labels = Int32Array.from(
      golden.tensor(`input.${part}.labels.${step}`).data as BigInt64Array,
      Number,
    );
    return { images: golden.floats(`input.${part}.images.${step}`), labels, count: labels.length };
  });
}

const checkpointOf = (tensors: Checkpoint["tensors"]): Checkpoint => ({
  tensors,
  state: null,
  recordCount: 0,
  warning: null,
});

function startSearch(golden: GoldenCase<TrajectoryFields>): TwoStageSearch {
  const { description } = golden;
  const { lr, momentum, weight_decay, clip, code_lr, code_weight_decay, classes } = description;
  const config = searchConfig({
    epochs: 1,
    learningRate: lr,
    momentum,
    weightDecay: weight_decay,
    gradientClip: clip,
    codeLearningRate: code_lr,
    codeWeightDecay: code_weight_decay,
  });
  const [, channels, height, width] = golden.tensor("input.training.images.0").shape;
  const layout = { channels, height, width, classes: Array.from({ length: classes }, String) };
  const [training, codes] = (["training", "validation"] as const).map((part) =>
    givenBatches(batchesOf(golden, part), layout),
  );
  const search = new TwoStageSearch(config, givenSources(training, codes), goldenShape(description, height));
  const model = new Map<string, StoredTensor>();
  for (const prefix of ["parameter.", "buffer."])
    for (const key of golden.keys(prefix))
      if (!isCodeKey(key)) model.set(key.slice(prefix.length), golden.tensor(key));
  search.restore(checkpointOf({ model, optimiser: new Map() }), {
    codes: codesToJson(goldenCodes(golden)),
    rejectedUpdates: 0,
  });
  return search;
}

/** The search goes on from where it is with the sparse codes that the golden case has recovered. */
function takeRecovered(search: TwoStageSearch, golden: GoldenCase<TrajectoryFields>): void {
  const codes = withSparseCodes(search.codes, golden, "input.recovered");
  const { model, optimiser } = search.save().tensors;
  search.restore(checkpointOf({ model: new Map(model), optimiser: new Map(optimiser) }), {
    codes: codesToJson(codes),
    rejectedUpdates: 0,
  });
  expect(supportsOf(search.codes)).toEqual(golden.description.next_supports);
}

function currentValue(search: TwoStageSearch, key: string): ArrayLike<number> {
  const code = /^parameter\.(normal|reduction)\.b\.(\d)$/.exec(key);
  if (code !== null) {
    const codes: Codes = search.codes;
    return codes[code[1] as CodeGroup][Number(code[2])].compressed;
  }
  return search.network.stateDict().get(key.slice(key.indexOf(".") + 1))!.data as Float32Array;
}

/** Mean cross-entropy of logits [N, classes]. */
function crossEntropy(logits: Float32Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  const losses = Array.from(labels, (label, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    return Math.log(own.reduce((sum, value) => sum + Math.exp(value), 0)) - own[label];
  });
  return losses.reduce((sum, value) => sum + value, 0) / labels.length;
}

describe("steps of the two-stage search", () => {
  const cases = goldenCases<TrajectoryFields>("trajectory").map((golden) => [golden.name, golden] as const);
  it.each(cases)("%s", async (_, golden) => {
    const { steps, recovery_after } = golden.description;
    const search = startSearch(golden);
    const validation = batchesOf(golden, "validation");
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
    for (let step = 0; step < steps; step++) {
      if (step === recovery_after) takeRecovered(search, golden);
      const { loss } = await search.step(0, step);
      results.set(`output.training_loss.${step}`, [loss]);
      results.set(`output.validation_loss.${step}`, [
        crossEntropy(logits[2 * step], validation[step].labels),
      ]);
      results.set(`output.gradient_norm.${step}`, [norms.mock.results[step].value as number]);
      for (const key of golden.keys(`after.${step}.`))
        results.set(key, currentValue(search, key.slice(`after.${step}.`.length)));
    }
    vi.restoreAllMocks();
    search.dispose();
    expectGolden(golden, results);
  });
});

interface AdamFields {
  readonly optimiser: string;
  readonly learning_rates: readonly number[];
  readonly betas: readonly [number, number];
  readonly weight_decay: number;
  readonly eps: number;
}

describe("Adam on b", () => {
  const cases = goldenCases<AdamFields>("optimisers")
    .filter(({ description }) => description.optimiser === "Adam")
    .map((golden) => [golden.name, golden] as const);
  it.each(cases)("%s", (_, golden) => {
    const { learning_rates, betas, weight_decay: weightDecay, eps: epsilon } = golden.description;
    const results: Results = new Map();
    const squares = learning_rates.map(() => 0);
    for (const key of golden.keys("parameter.")) {
      let parameters: Float64Array = Float64Array.from(golden.floats(key));
      let state = initialAdamState(parameters.length);
      for (const [step, learningRate] of learning_rates.entries()) {
        const gradient = Float64Array.from(
          golden.floats(`input.gradient.${step}.${key.slice("parameter.".length)}`),
        );
        squares[step] += gradient.reduce((sum, value) => sum + value ** 2, 0);
        ({ parameters, state } = adamStep(parameters, gradient, state, {
          learningRate,
          betas,
          weightDecay,
          epsilon,
        }));
        results.set(`after.${step}.${key}`, parameters);
      }
    }
    for (const [step, square] of squares.entries()) results.set(`output.norm.${step}`, [Math.sqrt(square)]);
    expectGolden(golden, results, 1e-6);
  });
});
