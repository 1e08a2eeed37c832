// The options of searches and of trainings as zod schemas, which give types, flags, help text and file validation.
import { z } from "zod";
import { usualSpace } from "../space/registry.js";

export const count = (description: string, minimum = 1) => z.int().min(minimum).describe(description);
export const positive = (description: string) => z.number().positive().describe(description);
export const notNegative = (description: string) => z.number().nonnegative().describe(description);
export const fraction = (description: string) => z.number().min(0).lt(1).describe(description);

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
    .max(4096)
    .nullable()
    .default(null)
    .describe(
      "height and width of the images in pixels; none = the size of the data. Pictures of folders are scaled to it, other images averaged, where it divides their size. A size that is not divisible by 4 has zeros around it",
    ),
  fit: z
    .enum(["crop", "pad", "stretch"])
    .default("crop")
    .describe(
      "how pictures of folders come to that size: the middle of them, all of them with black beside, or all of them out of proportion",
    ),
  splitSeed: z
    .int()
    .min(0)
    .max(4294967295)
    .nullable()
    .default(0)
    .describe(
      "seed of which images are for testing (of data without test images), held out, or used under a limit, whatever the run's own seed; none = the run's seed",
    ),
  pictureCache: notNegative(
    "GiB of memory for photographs of streamed folders, which are decoded once and kept smaller; none = a quarter of the machine's",
  )
    .nullable()
    .default(null),
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
  nesterov: z
    .boolean()
    .default(false)
    .describe("Nesterov's momentum: the gradient counts once more on top of it"),
  gradientClip: notNegative("largest global norm of the gradient; 0 = not clipped").default(5),
  seed: z
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe(
      "seed of every random number of the run; from 4294967296 on its streams are drawn from 128 bits instead of 32",
    ),
  threads: count("threads of the tensor engine; 0 = one per core", 0).default(0),
  recompute: z
    .boolean()
    .default(false)
    .describe(
      "keep less for the backward pass and compute it again: less memory, more time, the same numbers (on a CPU)",
    ),
  microBatch: count(
    "images that go through the network at once: gradients of such parts of a batch are added up, which takes less memory; batch norms see the statistics of a part. none = the whole batch, or parts where a new run would not fit into the machine's memory",
  )
    .nullable()
    .default(null),
  syncBatchNorm: z
    .boolean()
    .default(false)
    .describe(
      "where several processes compute the run: batch norms take the statistics of the whole batch, as one process would, and not those of each process's part of it",
    ),
  device: z
    .string()
    .regex(/^(cpu|cuda(:\d+)?)$/)
    .default("cpu")
    .describe("where tensors live: cpu, cuda or cuda:N"),
  saveEvery: notNegative("minutes between checkpoints inside an epoch; 0 = only after each epoch").default(
    10,
  ),
  logEvery: count("steps between rows of steps.jsonl and points in TensorBoard; 0 = none", 0).default(50),
  keepCheckpoints: count(
    "checkpoints of the latest epochs that are kept besides `last` and `best`",
    0,
  ).default(0),
};

/** Options that every search has, whatever its method; see methods.ts for the schema of one. */
export const searchOptions = {
  space: z
    .string()
    .min(1)
    .default(usualSpace.name)
    .describe("the search space: `ista-nas arch spaces` lists them; plug-ins add others"),
  ...shared,
  epochs: count("epochs of the search; of a one-stage search the limit of its search phase").default(50),
  batchSize: count("images per step").default(256),
  cells: count("cells of the super-net", 1).default(8),
  channels: z
    .int()
    .min(2)
    .multipleOf(2)
    .default(16)
    .describe("channels of the first cell; doubled where a network halves the size"),
  validationFraction: fraction(
    "share of the training images held out: what chooses the architecture learns from it (not in a one-stage search), and figures are reported on it",
  ).default(0.5),
  learningRate: positive("learning rate of the weights at the start").default(0.1),
  finalLearningRate: notNegative("learning rate of the weights at the end of the cosine").default(0.001),
  weightDecay: notNegative("weight decay of the weights, added to the gradient").default(3e-4),
  maxParams: positive(
    "largest number of parameters of the network with the chosen cells, at its size in the search; none = no limit",
  )
    .nullable()
    .default(null),
  maxMultAdds: positive("largest number of mult-adds of that network for one image; none = no limit")
    .nullable()
    .default(null),
  table: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "file with known accuracies (CSV, may be gzipped): they are recorded beside the search, which never looks at them",
    ),
  rankedArchitectures: count(
    "with a table: random architectures whose accuracies, with the shared weights or after trials, are compared with it at the end (Kendall's tau); 0 = none",
    0,
  ).default(0),
  control: z
    .enum(["none", "shuffled-labels", "random-gradients"])
    .default("none")
    .describe(
      "a search that can learn nothing, to compare with: labels exchanged among the training images, or noise in place of all that the architecture learns from",
    ),
  thenTrain: z.boolean().default(false).describe("go on to train the found architecture from scratch"),
  trainPreset: z
    .string()
    .nullable()
    .default(null)
    .describe("preset of that training; none = it fits itself to the data, as `train` does"),
};

/** Options of `train`. The defaults are the CIFAR-10 recipe of the paper (arXiv 2010.06176, section 4). */
export const trainSchema = z.strictObject({
  space: z
    .string()
    .min(1)
    .default(usualSpace.name)
    .describe("the space of random:SEED; every other architecture says itself which it is of"),
  ...shared,
  splitSeed: shared.splitSeed
    .unwrap()
    .default(null)
    .describe(
      "seed of which images are for testing (of data without test images), held out, or used under a limit; none = that of the run whose cells or weights are trained on, or 0",
    ),
  arch: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "the architecture: a genotype file, a run directory, a name such as ISTA_twostage, or random:SEED",
    ),
  poolBatchNorm: z
    .boolean()
    .nullable()
    .default(null)
    .describe("batch norm after pooling and skip; none = as the architecture was searched"),
  epochs: count(
    "epochs of the training. Without a preset the command `train` fits them, batch size, cells, channels and held-out share to the data; of 20,000 images or more they are",
  ).default(600),
  batchSize: count("images per step").default(96),
  cells: count("cells of the network").default(20),
  channels: z
    .int()
    .min(2)
    .multipleOf(2)
    .default(36)
    .describe("channels of the first cell; doubled where a network halves the size"),
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

const commonSearchSchema = z.object(searchOptions);

export type RunKind = "search" | "train";

/** The options of any search; a method's own come on top. */
export type SearchConfig = z.output<typeof commonSearchSchema> & { method: string };
export type TrainConfig = z.output<typeof trainSchema>;
export interface ConfigOf {
  search: SearchConfig;
  train: TrainConfig;
}
export type SearchInput = z.input<typeof commonSearchSchema> & { method?: string };
export type TrainInput = z.input<typeof trainSchema>;
