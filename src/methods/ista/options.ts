// The options of ISTA-NAS; defaults are the paper's two-stage search on CIFAR-10 (arXiv 2010.06176, section 4).
import { z } from "zod";
import { count, notNegative, positive } from "../../config/schema.js";
import { measurementKinds } from "../../sparse/measurement.js";
import { recoveryMethods } from "../../sparse/recovery.js";

/** Of both searches. */
export const istaOptions = {
  recovery: z
    .enum(recoveryMethods)
    .default("top-s")
    .describe(
      "how a sparse code is recovered: solve the LASSO and keep the largest entries, or follow its path until the support has the size",
    ),
  measurement: z
    .enum(measurementKinds)
    .default("uniform")
    .describe("distribution of the measurement matrices: uniform in [0, 1) or normal with variance 1/m"),
  compressedLength: count("length m of the compressed code of a choice").default(7),
  lambda: notNegative("weight of the L1 norm in the LASSO").default(1e-5),
  distinctPredecessors: z
    .boolean()
    .default(false)
    .describe("forbid that two connections of a node come from the same predecessor"),
  codeLearningRate: positive("learning rate of the codes (Adam)").default(6e-4),
  codeWeightDecay: notNegative("weight decay of the codes, added to the gradient").default(1e-3),
  codeBetas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.5, 0.999])
    .describe("decay of Adam's two moments for the codes"),
};

/** Of the one-stage search alone. */
export const oneStageOptions = {
  trainEpochs: count("epochs for which the frozen network trains on", 0).default(600),
  freezeTolerance: notNegative(
    "a choice freezes when its sparse code moved by no more than this (L2 norm)",
  ).default(1e-3),
};

const istaSchema = z.object(istaOptions);
const oneStageSchema = z.object(oneStageOptions);
export type IstaOptions = z.output<typeof istaSchema>;
export type OneStageOptions = z.output<typeof oneStageSchema>;
