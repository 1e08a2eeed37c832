// The images that a trained network is measured on: which of a data set they are, and its classes as the network numbers them.
import { resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { dataFolder } from "../config/config.js";
import { type SplitConfig, splitForRun, splitSeedOf } from "../course/sources.js";
import {
  averagedTo,
  type BatchSource,
  canAverageTo,
  type ImageSet,
  isInMemory,
  limited,
  openBatchSource,
  type Part,
  PictureCache,
  type PixelSize,
  prefetch,
  type ScannedDataset,
  scanDataset,
  trainAndTest,
  wholeDataset,
} from "../data/index.js";
import { pictureRecipe, type UsableModel } from "./open-model.js";

/**
 * Test or training images, those that the model's run held out, a folder's own validation images, or all that there are. Of test
 * images, other data than the run's give those that they have themselves.
 */
export const splitNames = ["test", "train", "validation", "val", "all"] as const;
export type SplitName = (typeof splitNames)[number];

export interface ImagesRequest {
  /** Folder with the images; the one that the model's run was trained on where not given. */
  readonly data?: string;
  /** Where not given: the test images, or all of other data that have none. */
  readonly split?: SplitName;
  readonly batchSize: number;
  readonly limit: number | null;
  readonly skipBroken: boolean;
}

export interface EvaluationImages {
  readonly source: BatchSource;
  /** Which images of the data they are. */
  readonly split: SplitName;
  /** What people should know of them. */
  readonly notes: readonly string[];
}

/** What a run says of its data; files come without. */
const defaults = {
  ...{ data: null, seed: 0, splitSeed: 0, limitTrain: null, limitTest: null },
  validationFraction: 0,
} satisfies SplitConfig & { data: null };

interface Chosen {
  readonly split: SplitName;
  readonly part: Part;
  /** Of the part; all where not given. */
  readonly indices?: Int32Array;
}

/**
 * The images to evaluate on, prepared as the model expects them, with its numbers for the classes.
 * @throws IstaError DATA_*, FILE_*, CONFIG_VALUE, USAGE
 */
export async function openEvaluationImages(
  model: UsableModel,
  request: ImagesRequest,
): Promise<EvaluationImages> {
  const { run } = model;
  const config = run === null ? defaults : run.config(run.meta.kind);
  const folder = dataFolder(request.data ?? config.data);
  const scanned = await scanDataset(folder);
  const { split, part, indices } = chooseImages(model, config, request, scanned, folder);
  const matched = labelsOfModel(model, scanned, part.labels);
  const seed = splitSeedOf(config);
  const options = {
    batchSize: request.batchSize,
    seed,
    shuffle: false,
    name: "evaluation",
    indices: limitedTo(matched.labels, indices, request.limit, seed),
    normalisation: model.normalisation,
    skipBroken: request.skipBroken,
    relabelled: { labels: matched.labels, classes: model.classes },
  };
  const notes = [...scanned.notes, ...matched.notes];
  if (!isInMemory(part)) {
    // Every picture is needed once.
    const cache = new PictureCache(0);
    const source = openBatchSource(part, { ...options, shape: pictureRecipe(model), cache });
    return { source: prefetch(source, 2), split, notes };
  }
  const images = asTrained(part, model, scanned.directory);
  return { source: prefetch(openBatchSource(images, { ...options, shape: unused }), 2), split, notes };
}

/** Images in memory as the model takes them: they may have to be averaged. @throws IstaError DATA_SIZE */
function asTrained(set: ImageSet, { shape, preparation }: UsableModel, directory: string): ImageSet {
  const { inputChannels, imageHeight, imageWidth } = shape;
  const fits = ({ height, width }: PixelSize): boolean => height === imageHeight && width === imageWidth;
  const side = preparation === undefined ? imageHeight : preparation.content.height / preparation.averaged;
  const canBe = imageHeight === imageWidth && canAverageTo(set, side);
  const images = fits(set) || !canBe ? set : averagedTo(set, side, directory);
  if (set.channels === inputChannels && fits(images)) return images;
  throw new IstaError(
    "DATA_SIZE",
    `eval: expected images of ${inputChannels} x ${imageHeight} x ${imageWidth}, got ${set.channels} x ${set.height} x ${set.width} from ${directory}`,
  );
}

/** Images in memory are what they are. */
const unused = { channels: 3, height: 4, width: 4, resizeRatio: 1 } as const;

function chooseImages(
  { run, path }: UsableModel,
  config: SplitConfig & { readonly data: string | null },
  request: ImagesRequest,
  scanned: ScannedDataset,
  folder: string,
): Chosen {
  const { parts, directory } = scanned;
  const record = run?.meta.split ?? null;
  const samePlace = config.data !== null && resolve(dataFolder(config.data)) === resolve(folder);
  const own = run !== null && (samePlace || record?.listing === scanned.listing);
  const ownTest = ["test", "val"].find((name) => parts.has(name));
  const split = request.split ?? (own || ownTest !== undefined ? "test" : "all");
  if (split === "all") return { split, part: wholeDataset(scanned) };
  if (split === "val" || (split === "test" && !own && ownTest !== undefined)) {
    const part = parts.get(split === "val" ? "val" : ownTest!);
    if (part !== undefined) return { split, part };
    throw new IstaError(
      "DATA_EMPTY",
      `--split val: expected a folder val/ in ${directory}, it has ${[...parts.keys()].join(" and ")}; try --split all`,
    );
  }
  // Of other data nothing was learnt, so nothing has to be set aside.
  const theirs = parts.get("train");
  if (split === "train" && !own && theirs !== undefined) return { split, part: theirs };
  const found = trainAndTest(scanned, splitSeedOf(config));
  const again = splitForRun({ ...found, listing: scanned.listing }, config);
  const { heldOut } = again;
  if (split === "validation" && (run === null || heldOut.length === 0)) {
    throw new IstaError("USAGE", `--split validation: expected a run that held images out, ${path} did not`);
  }
  // What was chosen among images is another choice among others: images of the training would be counted as unseen.
  const chosenAmong = split === "validation" || (split === "test" && found.setAside.length > 0);
  if (chosenAmong && own && record !== null && record.indices !== again.record.indices) {
    throw new IstaError(
      "DATA_SPLIT",
      `eval: expected the data of ${path} as they were, ${directory} has changed since, and images that it was trained on would be among the ${split} images; take --split all, or images in a folder of their own (--data)`,
    );
  }
  if (chosenAmong && !own && split === "validation") {
    throw new IstaError(
      "USAGE",
      `--split validation: expected the data that ${path} was trained on, ${directory} holds others; try --split all`,
    );
  }
  if (split === "validation") return { split, part: found.train, indices: heldOut };
  if (split === "train") return { split, part: found.train };
  if (found.test !== undefined) return { split, part: found.test };
  throw new IstaError(
    "DATA_EMPTY",
    `eval: expected test images in ${directory}, it has none; evaluate with --split all, or add test/`,
  );
}

function limitedTo(
  labels: Int32Array,
  indices: Int32Array | undefined,
  limit: number | null,
  seed: number,
): Int32Array {
  if (indices === undefined) return limited(labels, limit, seed, "limit-test");
  const own = Int32Array.from(indices, (image) => labels[image]);
  return Int32Array.from(limited(own, limit, seed, "limit-test"), (position) => indices[position]);
}

/**
 * The data set's labels as the model numbers its classes: by name, or, where one of them has no names, by count and order.
 * @throws IstaError DATA_CLASSES
 */
function labelsOfModel(
  model: UsableModel,
  { classes: names, classesAreNamed, directory }: ScannedDataset,
  labels: Int32Array,
): { labels: Int32Array; notes: string[] } {
  const refuse = (what: string): never => {
    throw new IstaError(
      "DATA_CLASSES",
      `eval: expected the classes of the network in ${directory}, ${what}; it knows ${model.classes.length}: ${model.classes.slice(0, 20).join(", ")}`,
    );
  };
  const own = model.classes.map((name) => name.normalize("NFC"));
  const numbers = names.map((name) => own.indexOf(name.normalize("NFC")));
  const unknown = names.filter((_, index) => numbers[index] < 0);
  if (unknown.length === 0) return { labels: labels.map((label) => numbers[label]), notes: [] };
  if (model.classesAreNamed && classesAreNamed)
    return refuse(`it does not know ${unknown.slice(0, 20).join(", ")}`);
  if (names.length !== model.classes.length) return refuse(`there are ${names.length}`);
  const nameless = classesAreNamed ? "the network" : directory;
  const notes = [`${nameless} has no names of classes: the ${names.length} classes are taken in their order`];
  return { labels, notes };
}
