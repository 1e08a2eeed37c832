// Searches and trainings small enough for tests, on given batches or on real images of the bundled set.
import { createHash } from "node:crypto";
import { checkConfig } from "../../src/config/config.js";
import type { SearchConfig, SearchInput, TrainConfig, TrainInput } from "../../src/config/schema.js";
import type { Course, EpochOutcome } from "../../src/course/loop.js";
import type { Search, SearchCourse } from "../../src/course/search.js";
import { networkShape } from "../../src/course/shape.js";
import { openSources, type Sources } from "../../src/course/sources.js";
import type { Batch, BatchSource } from "../../src/data/index.js";
import type { OneStageSearch } from "../../src/methods/ista/one-stage.js";
import type { TwoStageSearch } from "../../src/methods/ista/two-stage.js";
import { createSearch } from "../../src/methods/run-search.js";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "../../src/run/checkpoint.js";
import { darts } from "../../src/space/darts/space.js";
import { evaluationNetwork } from "../../src/space/space.js";
import { Training } from "../../src/training/training.js";

type Layout = Pick<BatchSource, "channels" | "height" | "width" | "classes">;

/** A source that gives these batches in every epoch. */
export function givenBatches(batches: readonly Batch[], layout: Layout): Sources["training"] {
  return {
    ...layout,
    batchCount: batches.length,
    exampleCount: batches.reduce((sum, { count }) => sum + count, 0),
    batch: async (_epoch, index) => batches[index],
    close: async () => {},
    waitedSeconds: 0,
  };
}

/** Sources of which only the training images and, where given, those of the codes exist. */
export function givenSources(training: Sources["training"], codes: Sources["codes"] = null): Sources {
  const { channels, height, width, classes } = training;
  return {
    training,
    codes,
    validation: null,
    validationShare: 0,
    test: null,
    normalisation: { mean: Array(channels).fill(0), std: Array(channels).fill(1) },
    picture: { resizeRatio: 1 },
    classes,
    channels,
    height,
    width,
    split: {
      seed: 0,
      listing: "given",
      counts: { trained: 0, heldOut: 0, test: 0 },
      testSetAside: false,
      indices: "given",
    },
    notes: [],
    warnings: [],
    skipped: () => [],
    identity: () => "given",
    contents: () => null,
    close: async () => {},
  };
}

/** One batch of images without augmentation, the same in every epoch. */
export async function oneBatch(): Promise<Sources["training"]> {
  const { training } = await bundledSources(trainConfig({ augmentation: "none" }));
  return givenBatches([await training.batch(0, 0)], training);
}

/** 3 cells of 2 channels, 4 steps an epoch. */
const tiny = {
  data: "bundled",
  cells: 3,
  channels: 2,
  batchSize: 8,
  limitTest: 16,
  prefetch: 0,
  threads: 1,
  seed: 5,
  // Who is in which part decides what so small searches learn.
  splitSeed: 5,
} as const;

/** Options of any method. */
export type SearchFlags = Partial<SearchInput> & Readonly<Record<string, unknown>>;

export const searchConfig = (flags: SearchFlags): SearchConfig =>
  checkConfig("search", { ...tiny, limitTrain: 64, ...flags }, "test");

export const trainConfig = (flags: Partial<TrainInput>): TrainConfig =>
  checkConfig("train", { ...tiny, limitTrain: 32, epochs: 4, ...flags }, "test");

// The same images serve many tests: they are read once.
const opened = new Map<string, Promise<Sources>>();

export function bundledSources(config: SearchConfig | TrainConfig): Promise<Sources> {
  const { seed, batchSize, validationFraction, limitTrain, limitTest, augmentation, cutout } = config;
  const key = JSON.stringify([
    seed,
    batchSize,
    validationFraction,
    limitTrain,
    limitTest,
    augmentation,
    cutout,
    "control" in config ? config.control : "none",
  ]);
  const found = opened.get(key) ?? openSources(config);
  opened.set(key, found);
  return found;
}

/** The course of a search, with what it searches by at hand. */
export type CourseOf<Kind extends Search> = SearchCourse & { readonly search: Kind };

/** A search by any method, at its beginning. */
export async function startSearch(flags: SearchFlags): Promise<SearchCourse> {
  const config = searchConfig(flags);
  return createSearch(config, await bundledSources(config));
}

export async function twoStageSearch(flags: SearchFlags = {}): Promise<CourseOf<TwoStageSearch>> {
  const course = await startSearch({ method: "ista-two-stage", codeLearningRate: 0.01, ...flags });
  return course as CourseOf<TwoStageSearch>;
}

export async function oneStageSearch(flags: SearchFlags = {}): Promise<CourseOf<OneStageSearch>> {
  const course = await startSearch({
    method: "ista-one-stage",
    limitTrain: 40,
    validationFraction: 0.2,
    learningRate: 0.025,
    codeLearningRate: 0.01,
    trainEpochs: 4,
    ...flags,
  });
  return course as CourseOf<OneStageSearch>;
}

export async function training(flags: Partial<TrainInput> = {}): Promise<Training> {
  const config = trainConfig(flags);
  const sources = await bundledSources(config);
  const architecture = { space: darts, selection: darts.named.ISTA_twostage.selection };
  return new Training(config, sources, evaluationNetwork(architecture, networkShape(config, sources)));
}

/** Where a course is: complete epochs, and complete steps of the present one. */
export interface Place {
  epoch: number;
  step: number;
}

const figures = { loss: 0, accuracy: 0, images: 0, seconds: 0 };

/** Takes steps from a place on, which moves along; epochs are ended as the loop does it. */
export async function advance(course: Course, place: Place, steps: number): Promise<EpochOutcome[]> {
  const outcomes: EpochOutcome[] = [];
  for (let taken = 0; taken < steps; taken++) {
    await course.step(place.epoch, place.step);
    place.step += 1;
    if (place.step < course.stepCount) continue;
    outcomes.push((await course.endEpoch(place.epoch, figures, () => false))!);
    place.epoch += 1;
    place.step = 0;
  }
  return outcomes;
}

/** A course that can take a saved state back. */
export interface Restorable extends Course {
  restore(checkpoint: Checkpoint, state: Readonly<Record<string, unknown>>): void;
}

/** Saves a course to a folder and puts what is read from there into another one. */
export function carryOver(from: Course, to: Restorable, folder: string): void {
  writeCheckpoint(folder, from.save(), { recordCount: 0, grown: {} });
  const checkpoint = readCheckpoint(folder);
  to.restore(checkpoint, checkpoint.state as Record<string, unknown>);
}

/** Everything of a course that a checkpoint holds, tensors as checksums; what was measured of memory is left out. */
export function savedState(course: Course): unknown {
  const { tensors, state } = course.save();
  const { peakBytes: _, ...rest } = state as Record<string, unknown>;
  const sums = Object.entries(tensors).flatMap(([group, tensors]) =>
    [...tensors].map(([name, { shape, data }]) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [`${group} ${name} [${shape}]`, createHash("sha256").update(bytes).digest("hex")];
    }),
  );
  return { tensors: Object.fromEntries(sums), state: JSON.parse(JSON.stringify(rest)) };
}
