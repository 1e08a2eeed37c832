// A trained network for use: of a run, of a model file, or of the bare weights of a PyTorch program.
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { IstaError } from "../base/errors.js";
import { modelFileName } from "../course/results.js";
import { parseNormalisation, pictureResizeRatio } from "../course/sources.js";
import { cifar10Normalisation, imagenetNormalisation, type PictureRecipe } from "../data/index.js";
import { type Model, type ModelDescription, readModel } from "../formats/model-file.js";
import type { StateDict } from "../nn/parameters.js";
import { resolveArchitecture } from "../run/architecture.js";
import { RunDirectory } from "../run/directory.js";
import { type NetworkShape, type NormPlacement, normPlacements } from "../space/layout.js";

/** What a file of bare weights does not say; `imageSize` may be given for any network. */
export interface ModelHints {
  /** The cells: a name, a genotype file, a run, random:SEED. */
  readonly arch?: string;
  /** Side in pixels of the images that the network is used on. */
  readonly imageSize?: number;
  /** MEAN,.../STD,... of pixels in 0..1. */
  readonly normalisation?: string;
}

export interface UsableModel extends Model {
  /** The file that it came from. */
  readonly path: string;
  /** The run that trained it; null for a file. */
  readonly run: RunDirectory | null;
  /** Whether `classes` are names; bare weights only have numbers. */
  readonly classesAreNamed: boolean;
}

/**
 * Reads the network of a run directory or of a safetensors file. Of bare weights (a converted state dict) the cells must
 * be given; number of cells, channels, classes, stem and batch norms are read off the tensors, the normalisation is the
 * usual one of the stem's programs where none is given.
 * @throws IstaError FILE_*, SAFETENSORS_*, RUN_*, MODEL_FILE, NETWORK_SHAPE, GENOTYPE_INVALID, CONFIG_VALUE
 */
export function openModel(place: string, hints: ModelHints = {}): UsableModel {
  const isRun = existsSync(place) && statSync(place).isDirectory();
  const run = isRun ? RunDirectory.open(place, "read") : null;
  const path = run === null ? place : join(run.path, modelFileName);
  if (run !== null && !existsSync(path)) {
    throw new IstaError(
      "MODEL_FILE",
      `${place}: expected a run with a trained network, it has no ${modelFileName}; a two-stage search leaves cells only (ista-nas train --arch ${place}), any other run writes it when it is finished (--resume ${place})`,
    );
  }
  const { description, weights } = readModel(path);
  if (description === null) {
    return { ...describeWeights(path, weights, hints), weights, path, run, classesAreNamed: false };
  }
  const known = (["arch", "normalisation"] as const).filter((name) => hints[name] !== undefined);
  if (known.length > 0) {
    throw new IstaError(
      "USAGE",
      `${path}: the file describes its network itself; leave out --${known.join(" and --")}, which are for bare weights`,
    );
  }
  const { imageSize } = hints;
  const shape =
    imageSize === undefined
      ? description.shape
      : { ...description.shape, imageHeight: imageSize, imageWidth: imageSize };
  return { ...description, shape, weights, path, run, classesAreNamed: true };
}

/** What pictures must become for the network. @throws IstaError MODEL_FILE for images of neither 1 nor 3 channels */
export function pictureRecipe({ shape, resizeRatio, normalisation }: ModelDescription): PictureRecipe {
  const { inputChannels: channels, imageHeight: height, imageWidth: width } = shape;
  if (channels !== 1 && channels !== 3) {
    throw new IstaError(
      "MODEL_FILE",
      `pictures: expected a network for grey or colour images, this one is for ${channels} channels`,
    );
  }
  return { channels, height, width, resizeRatio, normalisation };
}

const usualImageSize = { cifar: 32, imagenet: 224 } as const satisfies Record<NetworkShape["stem"], number>;

/** The last part of the names of tensors that only a batch norm after pooling or identity has. */
const normOfPlainOperation = /^cells\.\d+\._ops\.\d+\.1\.running_mean$/;

function normsOf(weights: StateDict): NormPlacement {
  const normalised = [...weights.keys()].some((name) => normOfPlainOperation.test(name));
  return normalised ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation;
}

/** Reads the shape of a network off its tensors. What a damaged state dict lacks is reported where it is loaded. */
function describeWeights(path: string, weights: StateDict, hints: ModelHints): ModelDescription {
  if (hints.arch === undefined) {
    throw new IstaError(
      "MODEL_FILE",
      `${path}: expected a model file of this program, came bare weights; say with --arch which cells they are of (a name such as ISTA_twostage, a genotype file, a run)`,
    );
  }
  const cells = new Set([...weights.keys()].flatMap((name) => /^cells\.(\d+)\./.exec(name)?.[1] ?? []));
  if (cells.size === 0) {
    throw new IstaError(
      "MODEL_FILE",
      `${path}: expected tensors such as cells.0.preprocess0.op.1.weight, came ${[...weights.keys()].slice(0, 3).join(", ") || "none"}; save the state dict of the network itself, without a prefix such as module.`,
    );
  }
  const { genotype } = resolveArchitecture(hints.arch);
  const size = (name: string, axis: number, fallback: number): number =>
    weights.get(name)?.shape[axis] ?? fallback;
  const stem = weights.has("stem0.0.weight") ? "imagenet" : "cifar";
  const imageSize = hints.imageSize ?? usualImageSize[stem];
  const classes = size("classifier.weight", 0, size("classifier.bias", 0, 10));
  const inputChannels = size(stem === "cifar" ? "stem.0.weight" : "stem0.0.weight", 1, 3);
  const usual = stem === "cifar" ? cifar10Normalisation : imagenetNormalisation;
  if (hints.normalisation === undefined && inputChannels !== 3) {
    throw new IstaError(
      "CONFIG_VALUE",
      `--normalisation: expected MEAN/STD for the ${inputChannels} channels of the images that ${path} was trained on`,
    );
  }
  return {
    genotype,
    shape: {
      cells: cells.size,
      channels: stem === "cifar" ? size("stem.0.weight", 0, 3) / 3 : size("stem1.1.weight", 0, 2),
      inputChannels,
      classes,
      imageHeight: imageSize,
      imageWidth: imageSize,
      stem,
      auxiliary: weights.has("auxiliary_head.classifier.weight"),
    },
    norms: normsOf(weights),
    normalisation:
      hints.normalisation === undefined ? usual : parseNormalisation(hints.normalisation, inputChannels),
    resizeRatio: stem === "imagenet" ? pictureResizeRatio : 1,
    classes: Array.from({ length: classes }, (_, index) => String(index)),
  };
}

/** The name for titles: of the run, or of the file without its ending. */
export const modelName = ({ run, path }: UsableModel): string =>
  run === null ? basename(path).replace(/\.safetensors$/, "") : run.name;
