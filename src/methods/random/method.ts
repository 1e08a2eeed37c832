// Random search (Li and Talwalkar 2019, arXiv 1902.07638) as a method: what every other one has to beat at the same cost.
import { requireHeldOut } from "../checks.js";
import type { Method } from "../method.js";
import { largestNetwork } from "../selections.js";
import { type RandomOptions, randomOptions } from "./options.js";

export const random: Method = {
  name: "random",
  description:
    "architectures drawn evenly, each trained from scratch for a part of the epochs; the best by held-out accuracy",
  options: randomOptions,
  check(config, refuse) {
    requireHeldOut(config, refuse);
    const { candidates } = config as unknown as RandomOptions;
    if (config.epochs < candidates)
      refuse(
        "epochs",
        `expected at least one for each of the ${candidates} candidates, got ${config.epochs}`,
      );
  },
  passesPerStep: 3,
  plan: (space, shape) => largestNetwork(space, shape, space.norms.plainEvaluation),
  load: async () => {
    const { RandomSearch } = await import("./search.js");
    return (context) => new RandomSearch(context);
  },
};
