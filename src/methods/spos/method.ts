// Single path one-shot search (Guo et al. 2020, arXiv 1904.00420) as a method.
import { requireHeldOut } from "../checks.js";
import type { Method } from "../method.js";
import { largestNetwork } from "../selections.js";
import { sposOptions } from "./options.js";

export const spos: Method = {
  name: "spos",
  description:
    "each step trains the shared weights of one architecture drawn evenly; evolution then chooses by held-out accuracy",
  options: sposOptions,
  check: requireHeldOut,
  passesPerStep: 3,
  plan: (space, shape) => largestNetwork(space, shape, space.norms.twoStageSuperNet),
  load: async () => {
    const { SposSearch } = await import("./search.js");
    return (context) => new SposSearch(context);
  },
};
