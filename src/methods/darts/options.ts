// The options of searches that learn the weights of all candidates by gradients.
import { z } from "zod";
import { notNegative, positive } from "../../config/schema.js";

/** Defaults: Liu et al. 2019 (arXiv 1806.09055), appendix A.1. */
export const denseOptions = {
  alphaLearningRate: positive(
    "learning rate of the weights of candidates (Adam); with pc-darts 6e-4 where not given",
  ).default(3e-4),
  alphaWeightDecay: notNegative("weight decay of the weights of candidates, added to the gradient").default(
    1e-3,
  ),
  alphaBetas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.5, 0.999])
    .describe("decay of Adam's two moments for the weights of candidates"),
};

const denseSchema = z.object(denseOptions);
export type DenseOptions = z.output<typeof denseSchema>;
