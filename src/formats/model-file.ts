// A trained network in one file: safetensors with the names of the PyTorch programs, and in the metadata what is needed to use it.
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { isUsableNormalisation } from "../data/image-set.js";
import { type Fit, largestImageSide, type Normalisation, type Preparation } from "../data/types.js";
import { Device } from "../engine/device.js";
import { requireFiniteOutputs } from "../nn/finite-outputs.js";
import { Network } from "../nn/network.js";
import { checkStateDict, type StateDict, withoutAuxiliaryHead } from "../nn/tensor-store.js";
import { architectureOf } from "../space/registry.js";
import {
  type Architecture,
  evaluationNetwork,
  genotypeOf,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
} from "../space/space.js";
import { tensorList } from "../space/tensors.js";
import { writeSafetensors } from "./safetensors.js";
import { stateDictFrom } from "./state-dict.js";
import { readWeightsFile } from "./weights-file.js";

/** Everything about a network but its weights. */
export interface ModelDescription {
  readonly architecture: Architecture;
  readonly shape: NetworkShape;
  readonly norms: NormPlacement;
  /** Of the images that it was trained on. */
  readonly normalisation: Normalisation;
  /** For pictures of other sizes: how much larger than the centre crop the shorter side is made. */
  readonly resizeRatio: number;
  /** How pictures come to the size: the default is "crop". */
  readonly fit?: Fit;
  /** Where images were padded or averaged to the network's size: from which one. */
  readonly preparation?: Preparation;
  readonly classes: readonly string[];
  /** Entries of a newer program's description that this one does not know; they are written again. */
  readonly unknown?: Readonly<Record<string, unknown>>;
}

export interface Model extends ModelDescription {
  /** May hold the auxiliary head's tensors, which only training needs. */
  readonly weights: StateDict;
}

const metadataKey = "ista-nas";
const formatVersion = 1;

const count = z.int().min(1).max(65_536);
/** Pixels. */
const side = z.int().min(1).max(largestImageSide);
const descriptionSchema = z.looseObject({
  formatVersion: z.int(),
  genotype: z.unknown(),
  shape: z.object({
    cells: count,
    channels: count,
    inputChannels: count,
    classes: count,
    imageHeight: side,
    imageWidth: side,
    stem: z.enum(["cifar", "imagenet"]),
    auxiliary: z.boolean(),
  }),
  norms: z.object({ afterPool: z.boolean(), afterSkip: z.boolean(), affine: z.boolean() }),
  normalisation: z.object({ mean: z.array(z.number()), std: z.array(z.number().positive()) }),
  resizeRatio: z.number().min(1).max(4),
  fit: z.enum(["crop", "pad", "stretch"]).optional(),
  preparation: z
    .object({ content: z.object({ height: side, width: side }), averaged: z.int().min(1).max(64) })
    .optional(),
  classes: z.array(z.string()),
});

/** What a model file and a page say of a network, as JSON. */
export function describeModel(model: ModelDescription): Record<string, unknown> {
  const { architecture, shape, norms, normalisation, resizeRatio, fit, preparation, classes } = model;
  // What is not defined is not written.
  return {
    genotype: genotypeOf(architecture),
    shape,
    norms,
    normalisation,
    resizeRatio,
    fit,
    preparation,
    classes,
  };
}

/** The description as metadata of a file. */
export function modelMetadata(model: ModelDescription): Record<string, string> {
  return { [metadataKey]: JSON.stringify({ ...model.unknown, formatVersion, ...describeModel(model) }) };
}

/** The description alone, as the text that `parseModelDescription` reads. */
export const modelDescriptionText = (model: ModelDescription): string => modelMetadata(model)[metadataKey];

/** @throws IstaError FILE_* */
export function writeModel(path: string, { weights, ...description }: Model): void {
  writeSafetensors(path, weights, { format: "pt", ...modelMetadata(description) });
}

/**
 * Reads a model file, or the bare weights of another program, which come with `description` null.
 * @throws IstaError SAFETENSORS_*, FILE_*, GENOTYPE_INVALID, NETWORK_SHAPE, WEIGHTS_MISMATCH, WEIGHTS_NOT_FINITE, MODEL_FILE when the
 *   metadata is not what this program writes
 */
export function readModel(path: string): { description: ModelDescription | null; weights: StateDict } {
  const { tensors, metadata } = readWeightsFile(path);
  const text = metadata.get(metadataKey);
  return {
    description: text === undefined ? null : parseModelDescription(path, text, tensors.size),
    weights: stateDictFrom(tensors),
  };
}

/** In some spaces a cell may be without tensors; a network of so many cells is still made in no time. */
const cellsWithoutTensors = 200;

/** A description that lies must not make a network that is larger than its file. @throws IstaError WEIGHTS_MISMATCH */
function requirePlausible(cells: number, tensorCount: number): void {
  if (cells <= tensorCount + cellsWithoutTensors) return;
  throw new IstaError(
    "WEIGHTS_MISMATCH",
    `weights: expected those of ${cells} cells, got ${tensorCount} tensors`,
  );
}

/** Zeros go around a content so far that sides are divisible by 4 when it is averaged, and not beyond. */
function requirePossible(
  { content, averaged }: Preparation,
  { imageHeight, imageWidth }: NetworkShape,
  refuse: (what: string) => never,
): void {
  const possible = (side: number, own: number): boolean => {
    const zeros = side * averaged - own;
    return side % 4 === 0 && zeros >= 0 && zeros < 4 * averaged;
  };
  if (possible(imageHeight, content.height) && possible(imageWidth, content.width)) return;
  refuse(
    `makes images of ${imageHeight} x ${imageWidth} of ${content.height} x ${content.width} by averages of ${averaged}`,
  );
}

/**
 * @param tensorCount how many tensors come with it
 * @throws IstaError MODEL_FILE, GENOTYPE_INVALID, NETWORK_SHAPE, WEIGHTS_MISMATCH
 */
export function parseModelDescription(path: string, text: string, tensorCount: number): ModelDescription {
  const refuse = (what: string): never => {
    throw new IstaError("MODEL_FILE", `read ${path}: the description of the network ${what}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("is no JSON");
  }
  const result = descriptionSchema.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    return refuse(`is wrong at ${issue.path.join(".")}: ${issue.message}`);
  }
  const {
    formatVersion: version,
    genotype,
    shape,
    norms,
    normalisation,
    resizeRatio,
    fit,
    preparation,
    classes,
    ...unknown
  } = result.data;
  const known = {
    ...{ shape, norms, normalisation, resizeRatio, classes },
    ...(fit === undefined ? {} : { fit }),
    ...(preparation === undefined ? {} : { preparation }),
  };
  const rest = Object.keys(unknown).length === 0 ? known : { ...known, unknown };
  if (version > formatVersion)
    return refuse(`has format ${version}, this program knows up to ${formatVersion}`);
  const channels = rest.shape.inputChannels;
  if (rest.normalisation.mean.length !== channels || rest.normalisation.std.length !== channels) {
    return refuse(`has a normalisation of other than its ${channels} channels`);
  }
  if (!isUsableNormalisation(rest.normalisation))
    return refuse(
      "has a normalisation by means and standard deviations that cannot be those of images: pixels would be infinite or all the same",
    );
  if (rest.classes.length !== rest.shape.classes)
    return refuse(`names ${rest.classes.length} of ${rest.shape.classes} classes`);
  if (preparation !== undefined) requirePossible(preparation, shape, refuse);
  requirePlausible(rest.shape.cells, tensorCount);
  const found = { ...rest, architecture: architectureOf(genotype) };
  // Refuses a shape that no network can have.
  found.architecture.space.graph(usableNetwork(found));
  return found;
}

/** The network of a model for use: without auxiliary head. */
export function usableNetwork({
  architecture,
  shape,
  norms,
}: Pick<ModelDescription, "architecture" | "shape" | "norms">): NetworkDescription {
  return evaluationNetwork(architecture, { ...shape, auxiliary: false }, norms);
}

/**
 * The network with its weights in it; it has given finite outputs.
 * @param place where the model is from, for messages
 * @throws IstaError WEIGHTS_MISMATCH, WEIGHTS_NOT_FINITE
 */
export function networkOf(model: Model, device: Device = Device.cpu, place = "the model"): Network {
  const description = usableNetwork(model);
  requirePlausible(description.shape.cells, model.weights.size);
  checkStateDict(withoutAuxiliaryHead(model.weights), tensorList(description));
  const network = new Network(description, { seed: 0, device });
  try {
    network.loadStateDict(model.weights);
    requireFiniteOutputs(network, model.normalisation, place);
    return network;
  } catch (error) {
    network.dispose();
    throw error;
  }
}
