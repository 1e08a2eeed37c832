// The options of a search and of a training: one zod schema each gives types, flags, help text and file validation.
import { z } from "zod";

const count = (description: string, minimum = 1) => z.int().min(minimum).describe(description);
const positive = (description: string) => z.number().positive().describe(description);
const notNegative = (description: string) => z.number().nonnegative().describe(description);
const fraction = (description: string) => z.number().min(0).lt(1).describe(description);

/** What both kinds of run know; the defaults that differ are set below. */
const shared = {
  preset: z.string().nullable().default(null).describe("name of the preset that the values start from"),
  data: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "folder with the images: CIFAR binary, IDX or image folder; `bundled` is the Fashion-MNIST subset that ships with the program",
    ),
  imageSize: z
    .int()
    .min(8)
    .multipleOf(4)
    .nullable()
    .default(null)
    .describe("height and width of the network's input in pixels; none = the size of the data"),
  limitTrain: count("use only this many training images; none = all").nullable().default(null),
  limitTest: count("use only this many test images; none = all").nullable().default(null),
  augmentation: z
    .enum(["crop-flip", "random-resized-crop", "none"])
    .default("crop-flip")
    .describe("how training images are varied: pad by 4 pixels, crop and flip; random resized crop and flip"),
  cutout: count("side in pixels of the square that is blanked in every training image; 0 = none", 0).default(
    0,
  ),
  colorJitter: z
    .tuple([z.number().min(0), z.number().min(0), z.number().min(0), z.number().min(0).max(0.5)])
    .default([0, 0, 0, 0])
    .describe("strength of random brightness, contrast, saturation and hue"),
  normalisation: z
    .string()
    .regex(/^(cifar10|data|-?[\d.]+(,-?[\d.]+)*\/[\d.]+(,[\d.]+)*)$/)
    .default("data")
    .describe(
      "mean and standard deviation of the channels: `data` = measured on the training images, `cifar10`, or MEAN,.../STD,... with pixels in 0..1",
    ),
  skipBroken: z.boolean().default(false).describe("skip pictures that cannot be read instead of stopping"),
  prefetch: count("batches prepared ahead of the training step; 0 = none", 0).default(2),
  stem: z
    .enum(["cifar", "imagenet"])
    .default("cifar")
    .describe("first layers: one convolution, or three of stride 2 for large images"),
  auxiliaryWeight: notNegative("weight of the auxiliary head's loss; 0 = no auxiliary head").default(0),
  labelSmoothing: fraction("share of the target that is spread over all classes").default(0),
  dropPath: fraction("probability at the end of training with which a sample's branch is dropped").default(0),
  momentum: fraction("momentum of SGD").default(0.9),
  gradientClip: notNegative("largest global norm of the gradient; 0 = not clipped").default(5),
  seed: z.int().min(0).max(4294967295).default(0).describe("seed of every random number of the run"),
  threads: count("threads of the tensor engine; 0 = one per core", 0).default(0),
  recompute: z
    .boolean()
    .default(false)
    .describe(
      "keep less for the backward pass and compute it again: less memory, more time, the same numbers (on a CPU)",
    ),
  device: z
    .string()
    .regex(/^(cpu|cuda(:\d+)?)$/)
    .default("cpu")
    .describe("where tensors live: cpu, cuda or cuda:N"),
  saveEvery: notNegative("minutes between checkpoints inside an epoch; 0 = only after each epoch").default(
    10,
  ),
  keepCheckpoints: count(
    "checkpoints of the latest epochs that are kept besides `last` and `best`",
    0,
  ).default(0),
};

/** Options of `search`. The defaults are the paper's two-stage search on CIFAR-10 (arXiv 2010.06176, section 4). */
export const searchSchema = z
  .strictObject({
    mode: z
      .enum(["two-stage", "one-stage"])
      .default("two-stage")
      .describe("search a cell and train it later, or search and train at the target size in one run"),
    ...shared,
    epochs: count("epochs of the search; in one-stage mode the limit of the search phase").default(50),
    trainEpochs: count("one-stage: epochs for which the frozen network trains on", 0).default(600),
    batchSize: count("images per step").default(256),
    cells: count("cells of the super-net", 3).default(8),
    channels: z
      .int()
      .min(2)
      .multipleOf(2)
      .default(16)
      .describe("channels of the first cell; doubled at each reduction"),
    validationFraction: fraction(
      "share of the training images held out: the codes learn from it in two-stage mode, both modes report figures on it",
    ).default(0.5),
    learningRate: positive("learning rate of the weights at the start").default(0.1),
    finalLearningRate: notNegative("learning rate of the weights at the end of the cosine").default(0.001),
    weightDecay: notNegative("weight decay of the weights, added to the gradient").default(3e-4),
    recovery: z
      .enum(["top-s", "path"])
      .default("top-s")
      .describe(
        "how a sparse code is recovered: solve the LASSO and keep the largest entries, or follow its path until the support has the size",
      ),
    measurement: z
      .enum(["uniform", "gaussian"])
      .default("uniform")
      .describe("distribution of the measurement matrices: uniform in [0, 1) or normal with variance 1/m"),
    compressedLength: count("length m of the compressed code of a node").default(7),
    lambda: notNegative("weight of the L1 norm in the LASSO").default(1e-5),
    distinctPredecessors: z
      .boolean()
      .default(false)
      .describe("forbid that both connections of a node come from the same predecessor"),
    codeLearningRate: positive("learning rate of the codes (Adam)").default(6e-4),
    codeWeightDecay: notNegative("weight decay of the codes, added to the gradient").default(1e-3),
    codeBetas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.5, 0.999])
      .describe("decay of Adam's two moments for the codes"),
    freezeTolerance: notNegative(
      "one-stage: a node freezes when its sparse code moved by no more than this (L2 norm)",
    ).default(1e-3),
    maxParams: positive(
      "largest number of parameters of the network with the chosen cells, at its size in the search; none = no limit",
    )
      .nullable()
      .default(null),
    maxMultAdds: positive("largest number of mult-adds of that network for one image; none = no limit")
      .nullable()
      .default(null),
    thenTrain: z.boolean().default(false).describe("go on to train the found cell from scratch (two-stage)"),
    trainPreset: z.string().default("cifar10-train").describe("preset of that training"),
  })
  .superRefine((config, context) => {
    const refuse = (key: string, message: string): void =>
      context.addIssue({ code: "custom", path: [key], message });
    if (config.mode === "two-stage" && config.validationFraction === 0) {
      refuse("validationFraction", "must be above 0 in two-stage mode: the codes learn from that part");
    }
    if (config.mode === "one-stage" && config.thenTrain) {
      refuse("thenTrain", "belongs to two-stage mode: a one-stage search trains the network itself");
    }
  });

/** Options of `train`. The defaults are the CIFAR-10 recipe of the paper (arXiv 2010.06176, section 4). */
export const trainSchema = z.strictObject({
  ...shared,
  arch: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("the cells: a genotype file, a run directory, a name such as ISTA_twostage, or random:SEED"),
  poolBatchNorm: z
    .boolean()
    .nullable()
    .default(null)
    .describe("batch norm after pooling and skip; none = as the architecture was searched"),
  epochs: count("epochs of the training").default(600),
  batchSize: count("images per step").default(96),
  cells: count("cells of the network", 3).default(20),
  channels: z
    .int()
    .min(2)
    .multipleOf(2)
    .default(36)
    .describe("channels of the first cell; doubled at each reduction"),
  validationFraction: fraction(
    "share of the training images held out to choose the best epoch; 0 = train on all of them",
  ).default(0),
  learningRate: positive("learning rate at the start").default(0.025),
  finalLearningRate: notNegative("learning rate at the end").default(0),
  schedule: z
    .enum(["cosine", "linear"])
    .default("cosine")
    .describe("how the learning rate falls: along a cosine, or linearly with a slow end of 5 epochs"),
  warmupEpochs: count("epochs in which the learning rate rises to its start value", 0).default(0),
  weightDecay: notNegative("weight decay, added to the gradient").default(3e-4),
  weightAveraging: fraction("decay per step of the moving average of the weights; 0 = no average").default(0),
  initFrom: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("safetensors file or run directory with the weights to start from"),
});

export const schemas = { search: searchSchema, train: trainSchema };
export type RunKind = keyof typeof schemas;

export type SearchConfig = z.output<typeof searchSchema>;
export type TrainConfig = z.output<typeof trainSchema>;
export interface ConfigOf {
  search: SearchConfig;
  train: TrainConfig;
}
export type SearchInput = z.input<typeof searchSchema>;
export type TrainInput = z.input<typeof trainSchema>;
