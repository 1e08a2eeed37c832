// What a training without a preset takes where nothing is said: length, size and held-out share by the number of its images, and the
// first layers by how large they are.
import { dataFolder } from "../config/config.js";
import { splitForRun } from "../course/sources.js";
import {
  commonSmallSize,
  isInMemory,
  type Part,
  paddedSide,
  scanDataset,
  trainAndTest,
  usualSide,
} from "../data/index.js";
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

/** From so many pixels a side on, cells at the full size cost 16 times as much as at 32, and more. */
const largeSide = 128;
/** What the first layers for large images divide sides by: by 8, and the two reductions by 4. */
const stemDivisor = 32;
/** The side of the ImageNet recipes, and that of CIFAR. */
const [imagenetSide, smallSide] = [224, 32];

/** Sizes of images for pictures of which the shorter side is usually this long. */
export function sizeFor(side: number): Values {
  if (side >= largeSide) {
    const imageSize = Math.min(imagenetSide, Math.floor(side / stemDivisor) * stemDivisor);
    return { imageSize, stem: "imagenet" };
  }
  return { imageSize: side < 2 * smallSide ? smallSide : 2 * smallSide };
}

interface FittedSize {
  readonly values: Values;
  /** What the user should know of it. */
  readonly words?: string;
}

/** The first layers for images of this size: those that divide it by 8 where it is large and can be divided. */
function stemFor(...sides: number[]): FittedSize {
  const side = Math.min(...sides);
  if (side < largeSide) return { values: {} };
  if (sides.every((one) => paddedSide(one) % stemDivisor === 0)) return { values: { stem: "imagenet" } };
  const below = Math.floor(side / stemDivisor) * stemDivisor;
  return {
    values: {},
    words: `${side} pixels are slow with --stem cifar, --image-size ${below} or ${below + stemDivisor} can have --stem imagenet`,
  };
}

/** Size of the images, where nobody said one and they need one, and the first layers that go with the size. */
async function fittedSize(imageSize: unknown, train: Part, test: Part | undefined): Promise<FittedSize> {
  if (typeof imageSize === "number") return stemFor(imageSize);
  if (isInMemory(train)) return stemFor(train.height, train.width);
  const lists = [train, test].filter((part) => part !== undefined && !isInMemory(part)) as (typeof train)[];
  // Small pictures of one size are taken at it.
  if ((await commonSmallSize(lists)) !== undefined) return { values: {} };
  const side = await usualSide(train);
  return { values: side === null ? {} : sizeFor(side) };
}

const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** Size of the network and of the images of the weights that a training begins with. @throws IstaError as readWeights */
function sizeOfWeights({ arch, initFrom, space }: Values): Values {
  const { description, weights } = readWeights(String(initFrom));
  const named = typeof space === "string" ? findSpace(space) : usualSpace;
  if (description !== null) {
    const { shape, preparation } = description;
    const imageSize =
      preparation === undefined ? shape.imageHeight : preparation.content.height / preparation.averaged;
    return { cells: shape.cells, channels: shape.channels, stem: shape.stem, imageSize };
  }
  const read = resolveArchitecture(String(arch), named).space.describeWeights(
    new Map([...weights].map(([name, tensor]) => [name, tensor.shape])),
  );
  if (read === null) return {};
  const { cells, channels, stem } = read.shape;
  return { cells, channels, stem, imageSize: read.usualImageSize };
}

/**
 * Values for the options of a training that were not given, and a line that says which; weights that are begun with decide the size.
 * @throws IstaError DATA_*, FILE_*, and those of the weights
 */
export async function fitTraining(given: Values): Promise<{ values: Values; line: string | null }> {
  const { data, arch, limitTrain, space, initFrom, imageSize } = given;
  if (typeof data !== "string" || typeof arch !== "string") return { values: {}, line: null };
  const scanned = await scanDataset(dataFolder(data));
  // How many they are does not depend on the seed.
  const found = { ...trainAndTest(scanned, 0), listing: scanned.listing };
  const images = splitForRun(found, {
    ...{ seed: 0, splitSeed: 0, limitTest: null, validationFraction: 0 },
    limitTrain: numberOf(limitTrain),
  }).trained.length;
  const size = await fittedSize(imageSize, found.train, found.test);
  const needsSize = "imageSize" in size.values;
  const wanted: Record<string, unknown> = { ...fittedTo(images), ...size.values };
  const { name } = resolveArchitecture(arch, typeof space === "string" ? findSpace(space) : usualSpace).space;
  // Other spaces have sizes of their own, and first layers for small images.
  const isUsual = name === usualSpace.name;
  if (!isUsual) for (const key of ["cells", "channels", "stem"]) delete wanted[key];
  // A large size goes with first layers for it.
  if (needsSize && (!isUsual || given.stem === "cifar")) wanted.imageSize = smallSide;
  if (typeof initFrom === "string") Object.assign(wanted, sizeOfWeights(given));
  if (!needsSize) delete wanted.imageSize;
  const values = Object.fromEntries(Object.entries(wanted).filter(([key]) => !(key in given)));
  const flags = Object.entries(values).map(
    ([key, value]) => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${value}`,
  );
  const hint = size.words === undefined || "stem" in given || !isUsual ? "" : `; ${size.words}`;
  const line =
    flags.length === 0
      ? null
      : `fitted to ${images} training image${images === 1 ? "" : "s"}${typeof initFrom === "string" ? " and to the weights" : ""}: ${flags.join(" ")}; a preset or these flags set others${hint}`;
  return { values, line };
}
