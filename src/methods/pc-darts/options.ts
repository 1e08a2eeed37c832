// The options of PC-DARTS; defaults are those of Xu et al. 2020 (arXiv 1907.05737), section 4.2.
import { z } from "zod";
import { count, positive } from "../../config/schema.js";
import { denseOptions } from "../darts/options.js";

export const pcDartsOptions = {
  ...denseOptions,
  alphaLearningRate: positive(denseOptions.alphaLearningRate.description!).default(6e-4),
  partialChannels: count(
    "one in this many channels goes through the candidates, the rest past them",
    2,
  ).default(4),
  restEpochs: count("epochs at the beginning in which only the weights of the network learn", 0).default(15),
};

const pcDartsSchema = z.object(pcDartsOptions);
export type PcDartsOptions = z.output<typeof pcDartsSchema>;
