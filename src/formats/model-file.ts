// A trained network in one file: safetensors with the names of the PyTorch programs, and in the metadata what is needed to use it.
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import type { Normalisation } from "../data/types.js";
import { Network } from "../nn/network.js";
import { checkStateDict, type StateDict, withoutAuxiliaryHead } from "../nn/parameters.js";
import { type Genotype, validateGenotype } from "../space/genotype.js";
import {
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  validateShape,
} from "../space/layout.js";
import { parameterList } from "../space/parameters.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import { stateDictFrom } from "./state-dict.js";

/** Everything about a network but its weights. */
export interface ModelDescription {
  readonly genotype: Genotype;
  readonly shape: NetworkShape;
  readonly norms: NormPlacement;
  /** Of the images that it was trained on. */
  readonly normalisation: Normalisation;
  /** For pictures of other sizes: how much larger than the centre crop the shorter side is made. */
  readonly resizeRatio: number;
  readonly classes: readonly string[];
}

export interface Model extends ModelDescription {
  /** May hold the auxiliary head's tensors, which only training needs. */
  readonly weights: StateDict;
}

const metadataKey = "ista-nas";
const formatVersion = 1;

const count = z.int().min(1).max(65_536);
const descriptionSchema = z.object({
  formatVersion: z.int(),
  genotype: z.unknown(),
  shape: z.object({
    cells: count,
    channels: count,
    inputChannels: count,
    classes: count,
    imageHeight: count,
    imageWidth: count,
    stem: z.enum(["cifar", "imagenet"]),
    auxiliary: z.boolean(),
  }),
  norms: z.object({ afterPool: z.boolean(), afterSkip: z.boolean(), affine: z.boolean() }),
  normalisation: z.object({ mean: z.array(z.number()), std: z.array(z.number().positive()) }),
  resizeRatio: z.number().min(1).max(4),
  classes: z.array(z.string()),
});

/** The description as metadata of a file. */
export function modelMetadata(model: ModelDescription): Record<string, string> {
  const { genotype, shape, norms, normalisation, resizeRatio, classes } = model;
  const description = { formatVersion, genotype, shape, norms, normalisation, resizeRatio, classes };
  return { [metadataKey]: JSON.stringify(description) };
}

/** @throws IstaError FILE_* */
export function writeModel(path: string, { weights, ...description }: Model): void {
  writeSafetensors(path, weights, { format: "pt", ...modelMetadata(description) });
}

/**
 * Reads a model file, or the bare weights of another program, which come with `description` null.
 * @throws IstaError SAFETENSORS_*, FILE_*, MODEL_FILE when the metadata is not what this program writes
 */
export function readModel(path: string): { description: ModelDescription | null; weights: StateDict } {
  const { tensors, metadata } = readSafetensors(path);
  const text = metadata.get(metadataKey);
  return {
    description: text === undefined ? null : parseDescription(path, text),
    weights: stateDictFrom(tensors),
  };
}

function parseDescription(path: string, text: string): ModelDescription {
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
  const { formatVersion: version, genotype, ...rest } = result.data;
  if (version > formatVersion)
    return refuse(`has format ${version}, this program knows up to ${formatVersion}`);
  const channels = rest.shape.inputChannels;
  if (rest.normalisation.mean.length !== channels || rest.normalisation.std.length !== channels) {
    return refuse(`has a normalisation of other than its ${channels} channels`);
  }
  if (rest.classes.length !== rest.shape.classes)
    return refuse(`names ${rest.classes.length} of ${rest.shape.classes} classes`);
  validateShape(rest.shape);
  return { ...rest, genotype: validateGenotype(genotype) };
}

/** The network of a model for use: without auxiliary head. */
export function usableNetwork({ genotype, shape, norms }: ModelDescription): NetworkDescription {
  return evaluationNetwork(genotype, { ...shape, auxiliary: false }, norms);
}

/** @throws IstaError WEIGHTS_MISMATCH */
export function networkOf(model: Model, device = "cpu"): Network {
  const description = usableNetwork(model);
  const { cells } = description.shape;
  // A description that lies must not make a network that is larger than its file.
  if (cells > model.weights.size) {
    throw new IstaError(
      "WEIGHTS_MISMATCH",
      `weights: expected those of ${cells} cells, came ${model.weights.size} tensors`,
    );
  }
  checkStateDict(withoutAuxiliaryHead(model.weights), parameterList(description));
  const network = new Network(description, { seed: 0, device });
  network.loadStateDict(model.weights);
  return network;
}
