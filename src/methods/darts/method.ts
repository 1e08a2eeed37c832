// DARTS, first order (Liu et al. 2019, arXiv 1806.09055), as a method.
import { superNetwork } from "../../space/space.js";
import { requireHeldOut } from "../checks.js";
import type { Method } from "../method.js";
import { denseOptions } from "./options.js";

export const darts: Method = {
  name: "darts",
  description: "all candidates run, mixed by softmax(alpha), which learns on held-out images (first order)",
  options: denseOptions,
  defaults: { batchSize: 64, learningRate: 0.025 },
  check: requireHeldOut,
  // As in a two-stage search: forward and gradients to the inputs for alpha, and these and the weights' for the weights.
  passesPerStep: 2 + 3,
  plan: (space, shape) => superNetwork(space, shape, space.norms.twoStageSuperNet),
  load: async () => {
    const { DenseSearch } = await import("./search.js");
    return (context) => new DenseSearch(context);
  },
};
