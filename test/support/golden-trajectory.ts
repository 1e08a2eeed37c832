// Golden steps of the two-stage search, in any space: the search at their beginning, and what the steps leave.
import { expect, vi } from "vitest";
import { SearchCourse, searchContext } from "../../src/course/search.js";
import type { Batch } from "../../src/data/index.js";
import { Device } from "../../src/engine/device.js";
import { Sgd } from "../../src/engine/sgd.js";
import type { StoredTensor } from "../../src/formats/safetensors.js";
import { TwoStageSearch } from "../../src/methods/ista/two-stage.js";
import type { Checkpoint } from "../../src/run/checkpoint.js";
import { type NetworkShape, type Space, superNetwork } from "../../src/space/space.js";
import { type Codes, supportsOf } from "../../src/sparse/codes.js";
import { codesToJson } from "../../src/sparse/codes-json.js";
import { type CourseOf, givenBatches, givenSources, searchConfig } from "./courses.js";
import { awayFromKinks, expectGolden, type GoldenCase, type Results } from "./golden.js";
import {
  goldenCodes,
  goldenPlace,
  goldenSupports,
  type SearchFields,
  type StepSettings,
  withSparseCodes,
} from "./golden-codes.js";
import { goldenState } from "./golden-networks.js";

export interface TrajectoryFields extends SearchFields, StepSettings {
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
  grown: {},
  warning: null,
});

const stateOf = (codes: Codes) => ({ codes: codesToJson(codes), rejectedUpdates: 0 });

function startSearch(
  golden: GoldenCase<TrajectoryFields>,
  space: Space,
  shape: NetworkShape,
): CourseOf<TwoStageSearch> {
  const { lr, momentum, weight_decay, clip, code_lr, code_weight_decay } = golden.description;
  const config = searchConfig({
    method: "ista-two-stage",
    space: space.name,
    epochs: 1,
    learningRate: lr,
    momentum,
    weightDecay: weight_decay,
    gradientClip: clip,
    codeLearningRate: code_lr,
    codeWeightDecay: code_weight_decay,
  });
  const layout = {
    channels: shape.inputChannels,
    height: shape.imageHeight,
    width: shape.imageWidth,
    classes: Array.from({ length: shape.classes }, String),
  };
  const [training, codes] = (["training", "validation"] as const).map((part) =>
    givenBatches(batchesOf(golden, part), layout),
  );
  const context = searchContext(
    config,
    givenSources(training, codes),
    Device.cpu,
    superNetwork(space, shape, space.norms.twoStageSuperNet),
  );
  const course = new SearchCourse(context, new TwoStageSearch(context)) as CourseOf<TwoStageSearch>;
  course.restore(
    checkpointOf({ model: goldenState(golden) as Map<string, StoredTensor>, optimiser: new Map() }),
    stateOf(goldenCodes(golden, space.choices)),
  );
  return course;
}

/** The search goes on from where it is with the sparse codes that the golden case has recovered. */
function takeRecovered(course: CourseOf<TwoStageSearch>, golden: GoldenCase<TrajectoryFields>): void {
  const { choices } = course.context.space;
  const codes = withSparseCodes(course.search.codes, golden, "input.recovered", choices);
  const { model, optimiser } = course.save().tensors;
  course.restore(
    checkpointOf({ model: new Map(model), optimiser: new Map(optimiser) } as Checkpoint["tensors"]),
    stateOf(codes),
  );
  const next = golden.description.next_supports!;
  expect(supportsOf(course.search.codes)).toEqual(goldenSupports(next, choices));
}

function currentValue({ search, context }: CourseOf<TwoStageSearch>, key: string): ArrayLike<number> {
  const [, group, node] = /^parameter\.(\w+)\.b\.(\d)$/.exec(key) ?? [];
  if (group === undefined)
    return search.network.stateDict().get(key.slice(key.indexOf(".") + 1))!.data as Float32Array;
  const { choices } = context.space;
  const index = [...choices.keys()].find((index) => {
    const place = goldenPlace(choices, index);
    return place.group === group && place.node === Number(node);
  })!;
  return search.codes[index].compressed;
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

/** Takes the steps and compares what they leave: losses, norms of gradients, b, weights and statistics. */
export const checkTrajectory = (
  golden: GoldenCase<TrajectoryFields>,
  space: Space,
  shape: NetworkShape,
): Promise<void> => awayFromKinks(golden, (nudged) => checkSteps(nudged, space, shape));

async function checkSteps(
  golden: GoldenCase<TrajectoryFields>,
  space: Space,
  shape: NetworkShape,
): Promise<void> {
  const { steps, recovery_after } = golden.description;
  const course = startSearch(golden, space, shape);
  const validation = batchesOf(golden, "validation");
  // A step reports neither the loss on the held-out batch nor the gradient's norm: both are overheard.
  const norms = vi.spyOn(Sgd.prototype, "step");
  const logits: Float32Array[] = [];
  const { network } = course.search;
  const forward = network.forward.bind(network);
  vi.spyOn(network, "forward").mockImplementation((images, options) => {
    const outputs = forward(images, options);
    logits.push(outputs.logits.toFloat32Array());
    return outputs;
  });
  const results: Results = new Map();
  for (let step = 0; step < steps; step++) {
    if (step === recovery_after) takeRecovered(course, golden);
    const { loss } = await course.step(0, step);
    results.set(`output.training_loss.${step}`, [loss]);
    results.set(`output.validation_loss.${step}`, [crossEntropy(logits[2 * step], validation[step].labels)]);
    results.set(`output.gradient_norm.${step}`, [norms.mock.results[step].value as number]);
    for (const key of golden.keys(`after.${step}.`))
      results.set(key, currentValue(course, key.slice(`after.${step}.`.length)));
  }
  vi.restoreAllMocks();
  course.dispose();
  expectGolden(golden, results);
}
