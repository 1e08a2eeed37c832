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
    .describe(
      "measurement matrices: entries uniform in [0, 1), normal with variance 1/m, or a frame of unit columns far apart",
    ),
  // More rows than candidates hold no more than as many as candidates; far more only take time.
  compressedLength: z
    .int()
    .min(1)
    .max(256)
    .default(7)
    .describe("length m of the compressed code of a choice"),
  lambda: notNegative("weight of the L1 norm in the LASSO").default(1e-5),
  distinctPredecessors: z
    .boolean()
    .default(false)
    .describe("forbid that two connections of a node come from the same predecessor"),
  recoverEvery: count(
    "steps after which codes are recovered inside of an epoch, besides at its end; 0 = at its end alone",
    0,
  ).default(0),
  recoveryNoise: notNegative(
    "normal noise on the codes that are recovered inside of an epoch, as a share of their length; falls to 0 over the epochs",
  ).default(0),
  codeLearningRate: positive(
    "learning rate of the codes (Adam); none = 2.94 over the steps of the search, from 0.0006 (the paper's) to 0.03",
  )
    .nullable()
    .default(null),
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
  freezeBy: z
    .enum(["sparse-codes", "lasso-solutions"])
    .default("sparse-codes")
    .describe(
      "what must not have moved for a choice to freeze: its sparse code, or the whole LASSO solution that it was cut from, as in the authors' program",
    ),
  heldNorms: z
    .enum(["last", "all"])
    .default("last")
    .describe(
      "batch norms of a candidate whose gamma and beta stay at (1, 0) until its choice is frozen: the one that it ends in, or all of them, as in the authors' program",
    ),
  dropIdentities: z
    .boolean()
    .default(false)
    .describe("drop-path drops branches that are a mere skip, too, as in the authors' program"),
};

/** The same option with another default. */
const withDefault = <Type extends z.ZodType>(
  option: z.ZodDefault<Type>,
  value: z.util.NoUndefined<z.output<Type>>,
) => option.unwrap().default(value).describe(option.description!);

/** Of the search by trials alone; the epochs of such a search are its trials. */
export const trialOptions = {
  measurement: withDefault(istaOptions.measurement, "frame"),
  compressedLength: withDefault(istaOptions.compressedLength, 12),
  distinctPredecessors: withDefault(istaOptions.distinctPredecessors, true),
  trialSteps: count("training steps of a trial").default(100),
  deepCells: count(
    "cells of a second, deeper network of the same architecture, by which each trial is judged besides; 0 = none",
    0,
  ).default(0),
  deepSteps: count("training steps of the deeper network").default(150),
  deepPooling: count("side of the squares of pixels that are averaged for the deeper network").default(1),
  sharedOperations: z
    .number()
    .min(0)
    .max(0.99)
    .default(0)
    .describe(
      "how much of a candidate's measurement is its operation, in common with all nodes of its cell: what is learnt of an operation in one node is known in the others; 0 = nothing, up to 0.99",
    ),
  capacityWeight: notNegative(
    "what the rank of a network's multiply-adds counts beside that of its loss: short trainings favour small networks; 0 = nothing",
  ).default(0),
  warmupTrials: count("trials at the start whose codes are drawn evenly from all directions", 2).default(24),
  perturbation: notNegative(
    "how far codes are perturbed before a trial is recovered from them: 1 = by what is not known of them yet, 0 = not at all",
  ).default(1),
  heldOutImages: count("held-out images by which a trial is judged; all, where there are fewer").default(
    2048,
  ),
  statisticsBatches: count(
    "training batches from which batch-norm statistics of a trial are computed before it is judged; 0 = those gathered while it was trained",
    0,
  ).default(4),
  finalists: count(
    "networks that are trained longer after the last trial, to choose among them; 0 = the recovered one is taken",
    0,
  ).default(0),
  finalRounds: count(
    "rounds of that choice: half as many networks in each, trained twice as long",
    1,
  ).default(3),
};

const istaSchema = z.object(istaOptions);
const oneStageSchema = z.object(oneStageOptions);
const trialSchema = z.object(trialOptions);
export type TrialOptions = z.output<typeof trialSchema>;
export type IstaOptions = z.output<typeof istaSchema>;
export type OneStageOptions = z.output<typeof oneStageSchema>;
