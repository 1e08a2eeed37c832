// A trained network for use: of a run, of a model file, or of the bare weights of a PyTorch program.
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { IstaError } from "../base/errors.js";
import { findMethodOptions } from "../config/methods.js";
import { modelFileName, readRunModel } from "../course/results.js";
import { parseNormalisation, pictureResizeRatio } from "../course/sources.js";
import {
  cifar10Normalisation,
  type Fit,
  imagenetNormalisation,
  type PictureRecipe,
  preparedSquare,
} from "../data/index.js";
import { type Model, type ModelDescription, readModel } from "../formats/model-file.js";
import type { StateDict } from "../nn/tensor-store.js";
import { resolveArchitecture } from "../run/architecture.js";
import { RunDirectory } from "../run/directory.js";
import type { NetworkShape } from "../space/space.js";

/** What a file of bare weights does not say; `imageSize` may be given for any network. */
export interface ModelHints {
  /** The cells: a name, a genotype file, a run, random:SEED. */
  readonly arch?: string;
  /** Side in pixels of the images that the network is used on. */
  readonly imageSize?: number;
  /** MEAN,.../STD,... of pixels in 0..1. */
  readonly normalisation?: string;
  /** How pictures come to the size. */
  readonly fit?: Fit;
}

export interface UsableModel extends Model {
  /** The file that it came from. */
  readonly path: string;
  /** The run that trained it; null for a file. */
  readonly run: RunDirectory | null;
  /** Whether `classes` are names; bare weights, and networks trained on data without names, only have numbers. */
  readonly classesAreNamed: boolean;
  /** What people should know of it: that its training is not finished. */
  readonly note?: string;
}

/**
 * Reads the network of a run directory (of an unfinished training that of its best or last checkpoint) or of a safetensors file. Of bare weights (a converted state dict) the cells must
 * be given; number of cells, channels, classes, stem and batch norms are read off the tensors, the normalisation is the
 * usual one of the stem's programs where none is given.
 * @throws IstaError FILE_*, SAFETENSORS_*, RUN_*, MODEL_FILE, NETWORK_SHAPE, GENOTYPE_INVALID, CONFIG_VALUE
 */
export function openModel(place: string, hints: ModelHints = {}): UsableModel {
  const isRun = existsSync(place) && statSync(place).isDirectory();
  const run = isRun ? RunDirectory.open(place, "read") : null;
  const found = run === null ? { ...readModel(place), path: place, unfinished: null } : readRunModel(run);
  if (found === null) {
    throw new IstaError(
      "MODEL_FILE",
      `${place}: expected a run with a trained network, got one without ${modelFileName}; ${wayToNetwork(run!)}`,
    );
  }
  const { description, weights, path, unfinished } = found;
  const note =
    unfinished === null
      ? {}
      : {
          note: `${place} is not finished: this is the network of its checkpoint \`${unfinished.checkpoint}\`, after ${epochsDone(run!, unfinished.epochs)}`,
        };
  if (description === null) {
    return { ...describeWeights(path, weights, hints), weights, path, run, classesAreNamed: false };
  }
  const known = (["arch", "normalisation", "fit"] as const).filter((name) => hints[name] !== undefined);
  if (known.length > 0) {
    throw new IstaError(
      "USAGE",
      `${path}: the file describes its network itself; leave out --${known.join(" and --")}, which are for bare weights`,
    );
  }
  const { imageSize } = hints;
  const classesAreNamed = description.classes.some((name, label) => name !== String(label));
  const use = { weights, path, run, classesAreNamed, ...note };
  if (imageSize === undefined) return { ...description, ...use };
  // Pictures come to the other size directly.
  const { preparation: _, ...rest } = description;
  return { ...rest, ...ofSize(description.shape, imageSize), ...use };
}

/** A network for images of another size. */
function ofSize(shape: NetworkShape, imageSize: number): Pick<ModelDescription, "shape" | "preparation"> {
  const { side, preparation } = preparedSquare(imageSize);
  const sized = { ...shape, imageHeight: side, imageWidth: side };
  return preparation === undefined ? { shape: sized } : { shape: sized, preparation };
}

/** How long a search goes on, training included, shows only when its architecture is decided. */
const epochsDone = (run: RunDirectory, epochs: number): string =>
  run.meta.kind === "train"
    ? `${epochs} of ${run.config("train").epochs} epochs`
    : `${epochs} epochs of the search and of the training in it`;

/** How the network of a run comes about that has none yet. */
function wayToNetwork(run: RunDirectory): string {
  const { kind, path } = { ...run.meta, path: run.path };
  if (kind === "train")
    return `it has no checkpoint to take instead; it is written when the run is finished (ista-nas train --resume ${path})`;
  return findMethodOptions(run.config("search").method).trainsNetwork === true
    ? `it has no checkpoint of after the search to take instead, when the architecture is decided; go on with it (ista-nas search --resume ${path})`
    : `the search has found an architecture only: train it (ista-nas train --arch ${path})`;
}

/** What pictures must become for the network. @throws IstaError MODEL_FILE for images of neither 1 nor 3 channels */
export function pictureRecipe({
  shape,
  resizeRatio,
  fit,
  preparation,
  normalisation,
}: ModelDescription): PictureRecipe {
  const { inputChannels: channels, imageHeight: height, imageWidth: width } = shape;
  if (channels !== 1 && channels !== 3) {
    throw new IstaError(
      "MODEL_FILE",
      `pictures: expected a network for grey or colour images, this one is for ${channels} channels`,
    );
  }
  return { channels, height, width, resizeRatio, fit, preparation, normalisation };
}

/** Reads the shape of a network off its tensors. What a damaged state dict lacks is reported where it is loaded. */
function describeWeights(path: string, weights: StateDict, hints: ModelHints): ModelDescription {
  if (hints.arch === undefined) {
    throw new IstaError(
      "MODEL_FILE",
      `${path}: expected a model file of this program, got bare weights; say with --arch which cells they are of (a name such as ISTA_twostage, a genotype file, a run)`,
    );
  }
  const found = resolveArchitecture(hints.arch);
  const described = found.space.describeWeights(
    new Map([...weights].map(([name, { shape }]) => [name, shape])),
  );
  if (described === null) {
    const first = [...weights.keys()].slice(0, 3).join(", ") || "none";
    throw new IstaError(
      "MODEL_FILE",
      `${path}: expected the tensors of a network of ${found.space.name}, such as classifier.weight and cells.0..., got ${first}; save the state dict of the network itself, without a prefix such as module.`,
    );
  }
  const { shape, norms, usualImageSize } = described;
  const { stem, classes, inputChannels } = shape;
  const imageSize = hints.imageSize ?? usualImageSize;
  const usual = stem === "cifar" ? cifar10Normalisation : imagenetNormalisation;
  if (hints.normalisation === undefined && inputChannels !== 3) {
    throw new IstaError(
      "CONFIG_VALUE",
      `--normalisation: expected MEAN/STD for the ${inputChannels} channels of the images that ${path} was trained on`,
    );
  }
  return {
    architecture: { space: found.space, selection: found.selection },
    ...ofSize({ ...shape, imageHeight: imageSize, imageWidth: imageSize }, imageSize),
    norms,
    normalisation:
      hints.normalisation === undefined ? usual : parseNormalisation(hints.normalisation, inputChannels),
    resizeRatio: stem === "imagenet" ? pictureResizeRatio : 1,
    ...(hints.fit === undefined ? {} : { fit: hints.fit }),
    classes: Array.from({ length: classes }, (_, index) => String(index)),
  };
}

/** The name for titles: of the run, or of the file without its ending. */
export const modelName = ({ run, path }: UsableModel): string =>
  run === null ? basename(path).replace(/\.safetensors$/, "") : run.name;
