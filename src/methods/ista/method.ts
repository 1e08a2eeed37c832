// The two searches of ISTA-NAS (Yang et al. 2020, arXiv 2010.06176) as methods.
import { requireHeldOut } from "../checks.js";
import type { Method } from "../method.js";
import { largestNetwork } from "../selections.js";
import { settleCodeLearningRate } from "./code-rate.js";
import { istaOptions, oneStageOptions, type TrialOptions, trialOptions } from "./options.js";

/** Without a penalty the LASSO is no LASSO: infinitely many codes fit as well. The path follows it down to there and takes none of it. */
const requirePenalty: NonNullable<Method["check"]> = ({ recovery, lambda }, refuse) => {
  if (recovery === "top-s" && lambda === 0)
    refuse("lambda", "expected a number above 0 with the recovery top-s, got 0; or use the recovery path");
};

export const twoStage: Method = {
  name: "ista-two-stage",
  description:
    "sparse codes learn on held-out images, weights on the others; the found architecture is trained later",
  options: istaOptions,
  check(config, refuse) {
    requireHeldOut(config, refuse);
    requirePenalty(config, refuse);
  },
  settle: settleCodeLearningRate,
  // Forward and gradients to the inputs for the codes, and these and the weights' for the weights.
  passesPerStep: 2 + 3,
  plan: (space, shape) => largestNetwork(space, shape, space.norms.twoStageSuperNet),
  load: async () => {
    const { TwoStageSearch } = await import("./two-stage.js");
    return (context) => new TwoStageSearch(context);
  },
};

export const oneStage: Method = {
  name: "ista-one-stage",
  description:
    "search and training in one run at the target size; the architecture is absorbed into the weights",
  options: { ...istaOptions, ...oneStageOptions },
  // The paper's (section 4). Its auxiliary head, cutout and drop-path are for images of 32 pixels, and a limit of size for its space.
  defaults: {
    epochs: 200,
    batchSize: 96,
    cells: 20,
    channels: 36,
    validationFraction: 0,
    learningRate: 0.025,
  },
  trainsNetwork: true,
  check(config, refuse) {
    requirePenalty(config, refuse);
    if (config.thenTrain)
      refuse("thenTrain", "expected false, since a one-stage search trains the network itself, got true");
  },
  settle: settleCodeLearningRate,
  passesPerStep: 3,
  plan: (space, shape) => largestNetwork(space, shape, space.norms.oneStageSuperNet),
  load: async () => {
    const { OneStageSearch } = await import("./one-stage.js");
    return (context) => new OneStageSearch(context);
  },
};

export const trials: Method = {
  name: "ista-trials",
  description:
    "sparse codes learn from the held-out losses of many short trainings, each of a network recovered from them",
  options: trialOptions,
  defaults: { epochs: 100, learningRate: 0.1, finalLearningRate: 0, batchSize: 64 },
  check: requireHeldOut,
  passesPerStep: 3,
  plan: (space, shape) => largestNetwork(space, shape, space.norms.twoStageSuperNet),
  otherNetworks(space, shape, config) {
    const { deepCells, deepPooling } = config as unknown as TrialOptions;
    if (deepCells === 0) return [];
    const [imageHeight, imageWidth] = [shape.imageHeight, shape.imageWidth].map((side) => side / deepPooling);
    // What cannot be divided is refused where the images are averaged.
    if (!Number.isInteger(imageHeight) || !Number.isInteger(imageWidth)) return [];
    const deep = { ...shape, cells: deepCells, imageHeight, imageWidth };
    return [largestNetwork(space, deep, space.norms.twoStageSuperNet)];
  },
  load: async () => {
    const { TrialSearch } = await import("./trials.js");
    return (context) => new TrialSearch(context);
  },
};
