// The layout of a network: which cells with which channels, sizes and edges. Counting and the modules both follow it.

import { IstaError } from "../base/errors.js";
import {
  type CellType,
  type Connection,
  candidateConnections,
  concatenatedNodes,
  connectionsPerNode,
  edgeIndex,
  intermediateNodeCount,
  operationIndex,
  type Primitive,
} from "./darts.js";
import type { Genotype } from "./genotype.js";

/** Size of a network, whatever its cells are. */
export interface NetworkShape {
  /** Number of cells, at least 3. */
  readonly cells: number;
  /** Indices of the reduction cells; default floor(cells / 3) and floor(2 * cells / 3). At most two, for the image sizes below. */
  readonly reductions?: readonly number[];
  /** Channels C of a node in the first cell; each reduction cell doubles them. */
  readonly channels: number;
  readonly inputChannels: number;
  readonly classes: number;
  /** Pixels; divisible by 4 with the CIFAR stem, by 32 with the ImageNet stem. */
  readonly imageHeight: number;
  readonly imageWidth: number;
  /** "cifar": one 3x3 convolution to 3C channels. "imagenet": three 3x3 convolutions of stride 2 to C channels. */
  readonly stem: "cifar" | "imagenet";
  /** Whether the auxiliary head hangs on cell floor(2 * cells / 3). */
  readonly auxiliary: boolean;
}

/** Where the cells of a network have batch norms beyond those inside convolutions, and of what kind they are. */
export interface NormPlacement {
  /** A batch norm after each pooling. */
  readonly afterPool: boolean;
  /** A batch norm after each stride-1 identity (the stride-2 one always ends in one). */
  readonly afterSkip: boolean;
  /** Whether the batch norms inside cells have gamma and beta. The stem's and the auxiliary head's always do. */
  readonly affine: boolean;
}

/** The batch norms of the four kinds of network (Yang et al. 2020, arXiv 2010.06176). */
export const normPlacements = {
  /** A network trained from scratch with a two-stage cell (DARTS evaluation network). */
  plainEvaluation: { afterPool: false, afterSkip: false, affine: true },
  /** A network of a one-stage cell: every operation ends in a batch norm, into which its weight was folded. */
  normalisedEvaluation: { afterPool: true, afterSkip: true, affine: true },
  twoStageSuperNet: { afterPool: true, afterSkip: false, affine: false },
  oneStageSuperNet: { afterPool: true, afterSkip: true, affine: true },
} as const satisfies Record<string, NormPlacement>;

/** The connections of each of the 4 intermediate nodes of a cell, in the order in which they are numbered. */
export type CellConnections = readonly (readonly Connection[])[];

/** A network of the space, complete but for its weights. */
export interface NetworkDescription {
  readonly shape: NetworkShape;
  /** Decides the names of tensors: "evaluation" numbers kept connections, "super-net" edges and operations. */
  readonly form: "evaluation" | "super-net";
  readonly norms: NormPlacement;
  readonly connections: Readonly<Record<CellType, CellConnections>>;
}

export interface FeatureSize {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** One connection in one cell. */
export interface EdgeLayout {
  /** Intermediate node that the connection leads to, 0 to 3. */
  readonly node: number;
  readonly predecessor: number;
  readonly operation: Primitive;
  /** 2 on connections from the two inputs of a reduction cell, else 1. */
  readonly stride: 1 | 2;
  /** Prefix of the state-dict names of the operation's tensors, such as "cells.3._ops.5" or "cells.3._ops.5._ops.4". */
  readonly name: string;
}

export interface CellLayout {
  readonly index: number;
  readonly type: CellType;
  /** Channels of each node. */
  readonly channels: number;
  /** Older and newer input, before preprocessing. */
  readonly inputs: readonly [FeatureSize, FeatureSize];
  /** Whether the older input has twice the newer one's size, so that a factorised reduction preprocesses it. */
  readonly reductionPrevious: boolean;
  /** The cell's output: 4 nodes concatenated. */
  readonly output: FeatureSize;
  readonly edges: readonly EdgeLayout[];
}

export interface AuxiliaryLayout {
  /** The head reads the output of this cell. */
  readonly afterCell: number;
  readonly input: FeatureSize;
  /** Average pooling to 2 x 2: [height, width], padding 0. */
  readonly poolKernel: readonly [number, number];
  readonly poolStride: readonly [number, number];
  /** Whether a batch norm follows the 2x2 convolution (not with the ImageNet stem). */
  readonly secondNorm: boolean;
}

export interface NetworkLayout {
  /** Outputs of the stem that are the older and the newer input of cell 0 (the same one with the CIFAR stem). */
  readonly stemOutputs: readonly [FeatureSize, FeatureSize];
  readonly cells: readonly CellLayout[];
  readonly auxiliary: AuxiliaryLayout | null;
  /** Features after global average pooling. */
  readonly classifierInputs: number;
}

/** Channels inside the auxiliary head (DARTS). */
export const auxiliaryChannels = [128, 768] as const;

/** Pixels an image side must be a multiple of, for each stem: every halving on the way must come out even. */
export const imageDivisor = { cifar: 4, imagenet: 32 } as const satisfies Record<
  NetworkShape["stem"],
  number
>;

/** Throws NETWORK_SHAPE for a shape that no network can have, saying which value and what it must be. */
export function validateShape(shape: NetworkShape): void {
  const refuse = (what: string): never => {
    throw new IstaError("NETWORK_SHAPE", `network shape: ${what}`);
  };
  const whole = (name: keyof NetworkShape, least: number): void => {
    const value = shape[name];
    // The upper bound keeps all products of sizes exact integers of a double.
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > 65_536)
      refuse(`expected ${name} to be a whole number from ${least} to 65536, got ${String(value)}`);
  };
  whole("cells", 3);
  const { reductions = [] } = shape;
  const inOrder = reductions.every(
    (cell, i) =>
      Number.isInteger(cell) && cell >= 0 && cell < shape.cells && (i === 0 || cell > reductions[i - 1]),
  );
  if (!inOrder || reductions.length > 2)
    refuse(
      `expected at most two ascending reduction cells below ${shape.cells}, got ${reductions.join(", ")}`,
    );
  whole("channels", 1);
  whole("inputChannels", 1);
  whole("classes", 1);
  if (shape.stem !== "cifar" && shape.stem !== "imagenet")
    refuse(`expected stem to be "cifar" or "imagenet", got ${String(shape.stem)}`);
  const divisor = imageDivisor[shape.stem];
  for (const side of ["imageHeight", "imageWidth"] as const) {
    whole(side, divisor);
    if (shape[side] % divisor !== 0)
      refuse(
        `expected ${side} to be divisible by ${divisor} with the ${shape.stem} stem, got ${shape[side]}; resize or pad the images`,
      );
  }
  if (shape.stem === "imagenet" && shape.channels % 2 !== 0)
    refuse(`expected an even number of channels with the imagenet stem, got ${shape.channels}`);
  if (shape.auxiliary && Math.min(shape.imageHeight, shape.imageWidth) < 2 * divisor)
    refuse(
      `expected images of at least ${2 * divisor} pixels a side for the auxiliary head, got ${shape.imageHeight} x ${shape.imageWidth}; leave the head out`,
    );
}

/** Cells floor(L/3) and floor(2L/3), where the reduction cells are unless the shape says otherwise. */
export function reductionCells(cells: number): readonly [number, number] {
  return [Math.floor(cells / 3), Math.floor((2 * cells) / 3)];
}

/** The type of every cell of a network. */
export function cellTypesOf({ cells, reductions = reductionCells(cells) }: NetworkShape): CellType[] {
  return Array.from({ length: cells }, (_, index) => (reductions.includes(index) ? "reduction" : "normal"));
}

function stemOutputs(shape: NetworkShape): readonly [FeatureSize, FeatureSize] {
  const { channels, imageHeight: height, imageWidth: width } = shape;
  if (shape.stem === "imagenet")
    return [
      { channels, height: height / 4, width: width / 4 },
      { channels, height: height / 8, width: width / 8 },
    ];
  const output = { channels: 3 * channels, height, width };
  return [output, output];
}

function cellEdges(description: NetworkDescription, cell: number, type: CellType): EdgeLayout[] {
  const edges: EdgeLayout[] = [];
  for (const [node, connections] of description.connections[type].entries()) {
    for (const { operation, predecessor } of connections) {
      const number = description.form === "evaluation" ? edges.length : edgeIndex(node, predecessor);
      const name = `cells.${cell}._ops.${number}`;
      edges.push({
        node,
        predecessor,
        operation,
        stride: type === "reduction" && predecessor < 2 ? 2 : 1,
        name: description.form === "evaluation" ? name : `${name}._ops.${operationIndex(operation)}`,
      });
    }
  }
  return edges;
}

/**
 * Two windows a side that overlap by a quarter of it: kernel 5 and stride 3 on the 8 x 8 features of CIFAR images, kernel 5 and
 * stride 2 on the 7 x 7 of ImageNet, as in DARTS; other sizes in the same proportion.
 */
function auxiliaryPooling(size: number): { kernel: number; stride: number } {
  const stride = Math.max(1, Math.floor((3 * size) / 8));
  return { kernel: size - stride, stride };
}

/**
 * The layout of a network of the space.
 * @throws NETWORK_SHAPE if no network can have the shape.
 */
export function networkLayout(description: NetworkDescription): NetworkLayout {
  const { shape } = description;
  validateShape(shape);
  const stem = stemOutputs(shape);
  const cells: CellLayout[] = [];
  let [older, newer] = stem;
  let channels = shape.channels;
  let reductionPrevious = shape.stem === "imagenet";
  for (const [index, type] of cellTypesOf(shape).entries()) {
    const scale = type === "reduction" ? 2 : 1;
    channels *= scale;
    const output: FeatureSize = {
      channels: concatenatedNodes.length * channels,
      height: newer.height / scale,
      width: newer.width / scale,
    };
    const edges = cellEdges(description, index, type);
    cells.push({ index, type, channels, inputs: [older, newer], reductionPrevious, output, edges });
    older = newer;
    newer = output;
    reductionPrevious = type === "reduction";
  }
  return {
    stemOutputs: stem,
    cells,
    auxiliary: shape.auxiliary ? auxiliaryLayout(shape, cells[reductionCells(shape.cells)[1]]) : null,
    classifierInputs: newer.channels,
  };
}

function auxiliaryLayout(shape: NetworkShape, cell: CellLayout): AuxiliaryLayout {
  const [vertical, horizontal] = [auxiliaryPooling(cell.output.height), auxiliaryPooling(cell.output.width)];
  return {
    afterCell: cell.index,
    input: cell.output,
    poolKernel: [vertical.kernel, horizontal.kernel],
    poolStride: [vertical.stride, horizontal.stride],
    secondNorm: shape.stem === "cifar",
  };
}

/** The evaluation network of a genotype; `norms` says whether pool and skip carry batch norms. */
export function evaluationNetwork(
  genotype: Genotype,
  shape: NetworkShape,
  norms: NormPlacement = normPlacements.plainEvaluation,
): NetworkDescription {
  const grouped = (pairs: Genotype["normal"]): CellConnections =>
    Array.from({ length: intermediateNodeCount }, (_, node) =>
      pairs
        .slice(node * connectionsPerNode, (node + 1) * connectionsPerNode)
        .map(([operation, predecessor]) => ({ operation, predecessor })),
    );
  return {
    shape,
    form: "evaluation",
    norms,
    connections: { normal: grouped(genotype.normal), reduction: grouped(genotype.reduce) },
  };
}

/** A super-net with the given connections only (those in the support of the codes), or with all candidates. */
export function superNetwork(
  shape: NetworkShape,
  norms: NormPlacement,
  connections: Readonly<Record<CellType, CellConnections>> = {
    normal: allCandidates(),
    reduction: allCandidates(),
  },
): NetworkDescription {
  return { shape, form: "super-net", norms, connections };
}

function allCandidates(): CellConnections {
  return Array.from({ length: intermediateNodeCount }, (_, node) => candidateConnections(node));
}
