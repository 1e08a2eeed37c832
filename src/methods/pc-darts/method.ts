// PC-DARTS (Xu et al. 2020, arXiv 1907.05737) as a method.
import { superNetwork } from "../../space/space.js";
import { requireHeldOut } from "../checks.js";
import type { Method } from "../method.js";
import { type PcDartsOptions, pcDartsOptions } from "./options.js";

export const pcDarts: Method = {
  name: "pc-darts",
  description: "DARTS on a part of the channels, with weights of predecessors: less memory, larger batches",
  options: pcDartsOptions,
  defaults: { batchSize: 256, learningRate: 0.1 },
  check(config, refuse) {
    requireHeldOut(config, refuse);
    const { partialChannels, restEpochs } = config as unknown as PcDartsOptions;
    if (config.channels % partialChannels !== 0)
      refuse(
        "partialChannels",
        `expected a divisor of the ${config.channels} channels of the first cell, got ${partialChannels}`,
      );
    if (restEpochs >= config.epochs)
      refuse(
        "restEpochs",
        `expected fewer than the ${config.epochs} epochs, in the rest of which the architecture learns, got ${restEpochs}`,
      );
  },
  passesPerStep: 2 + 3,
  plan: (space, shape, config) => ({
    ...superNetwork(space, shape, space.norms.twoStageSuperNet),
    partialChannels: (config as unknown as PcDartsOptions).partialChannels,
  }),
  load: async () => {
    const { PcDartsSearch } = await import("./search.js");
    return (context) => new PcDartsSearch(context);
  },
};
