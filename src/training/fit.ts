// What a training without a preset takes where nothing is said: length, size and held-out share by the number of its images.
import { dataFolder } from "../config/config.js";
import { splitForRun } from "../course/sources.js";
import { scanDataset, trainAndTest } from "../data/index.js";
import { resolveArchitecture } from "../run/architecture.js";
import { findSpace, usualSpace } from "../space/registry.js";
import { readWeights } from "./run-training.js";

type Values = Readonly<Record<string, unknown>>;

/** From so many images on the paper's recipe (600 epochs of 20 cells, nothing held out) is what is meant. */
const manyImages = 20_000;
/** With fewer, a held-out tenth would be too few to choose the best epoch by. */
const fewestToHoldOut = 100;

/** @param images to train on, before any are held out */
export function fittedTo(images: number): Values {
  if (images >= manyImages) return {};
  return {
    // About 100,000 images in all: minutes on a few cores; and in small batches, so that a few hundred images are enough steps.
    epochs: Math.min(200, Math.max(30, Math.round(100_000 / images))),
    batchSize: images < 1000 ? 32 : 64,
    cells: 8,
    channels: 16,
    validationFraction: images < fewestToHoldOut ? 0 : 0.1,
  };
}

const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** Number of cells, channels and kind of stem of the weights that a training begins with. @throws IstaError as readWeights */
function sizeOfWeights({ arch, initFrom, space }: Values): Values {
  const { description, weights } = readWeights(String(initFrom));
  const named = typeof space === "string" ? findSpace(space) : usualSpace;
  const shape =
    description?.shape ??
    resolveArchitecture(String(arch), named).space.describeWeights(
      new Map([...weights].map(([name, tensor]) => [name, tensor.shape])),
    )?.shape;
  return shape === undefined ? {} : { cells: shape.cells, channels: shape.channels, stem: shape.stem };
}

/**
 * Values for the options of a training that were not given, and a line that says which; weights that are begun with decide the size.
 * @throws IstaError DATA_*, FILE_*, and those of the weights
 */
export async function fitTraining(given: Values): Promise<{ values: Values; line: string | null }> {
  const { data, arch, limitTrain, space, initFrom } = given;
  if (typeof data !== "string" || typeof arch !== "string") return { values: {}, line: null };
  const scanned = await scanDataset(dataFolder(data));
  // How many they are does not depend on the seed.
  const found = { ...trainAndTest(scanned, 0), listing: scanned.listing };
  const images = splitForRun(found, {
    ...{ seed: 0, splitSeed: 0, limitTest: null, validationFraction: 0 },
    limitTrain: numberOf(limitTrain),
  }).trained.length;
  const byImages: Record<string, unknown> = { ...fittedTo(images) };
  const { name } = resolveArchitecture(arch, typeof space === "string" ? findSpace(space) : usualSpace).space;
  // Other spaces have sizes of their own.
  if (name !== usualSpace.name) for (const key of ["cells", "channels"]) delete byImages[key];
  const wanted = { ...byImages, ...(typeof initFrom === "string" ? sizeOfWeights(given) : {}) };
  const values = Object.fromEntries(Object.entries(wanted).filter(([key]) => !(key in given)));
  const flags = Object.entries(values).map(
    ([key, value]) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${value}`,
  );
  const line =
    flags.length === 0
      ? null
      : `fitted to ${images} training image${images === 1 ? "" : "s"}${typeof initFrom === "string" ? " and to the weights" : ""}: ${flags.join(" ")}; a preset or these flags set others`;
  return { values, line };
}
