// The networks of the DARTS space as graphs of layers: stem, cells, auxiliary head, classifier.
import { type Graph, GraphBuilder, type Value } from "../graph.js";
import { addNode } from "../mixture.js";
import type { Operation } from "../operation.js";
import { refuseShape, requireDivisible, requireWhole } from "../shape.js";
import type { NetworkDescription, NetworkShape } from "../space.js";
import { type CellType, choiceIndex, edgeIndex, intermediateNodeCount } from "./cell.js";

/** Pixels an image side must be a multiple of, for each stem: every halving on the way must come out even. */
const imageDivisor = { cifar: 4, imagenet: 32 } as const satisfies Record<NetworkShape["stem"], number>;

/** Channels inside the auxiliary head. */
const auxiliaryChannels = [128, 768] as const;

/** Throws NETWORK_SHAPE for a shape that no network can have, saying which value and what it must be. */
export function validateShape(shape: NetworkShape): void {
  // Where the shape does not say where the reduction cells are, they need places of their own.
  requireWhole(shape, "cells", shape.reductions === undefined ? 3 : 1);
  const { reductions = [] } = shape;
  const inOrder = reductions.every(
    (cell, i) =>
      Number.isInteger(cell) && cell >= 0 && cell < shape.cells && (i === 0 || cell > reductions[i - 1]),
  );
  if (!inOrder || reductions.length > 2)
    refuseShape(
      `expected at most two ascending reduction cells below ${shape.cells}, got ${reductions.join(", ")}`,
    );
  requireWhole(shape, "channels", 1);
  requireWhole(shape, "inputChannels", 1);
  requireWhole(shape, "classes", 1);
  if (shape.stem !== "cifar" && shape.stem !== "imagenet")
    refuseShape(`expected stem to be "cifar" or "imagenet", got ${String(shape.stem)}`);
  const divisor = imageDivisor[shape.stem];
  requireDivisible(shape, divisor);
  if (shape.stem === "imagenet" && shape.channels % 2 !== 0)
    refuseShape(`expected an even number of channels with the imagenet stem, got ${shape.channels}`);
  if (shape.auxiliary && Math.min(shape.imageHeight, shape.imageWidth) < 2 * divisor)
    refuseShape(
      `expected images of at least ${2 * divisor} pixels a side for the auxiliary head, got ${shape.imageHeight} x ${shape.imageWidth}; leave the head out`,
    );
}

/** Cells floor(L/3) and floor(2L/3), where the reduction cells are unless the shape says otherwise. */
function reductionCells(cells: number): readonly [number, number] {
  return [Math.floor(cells / 3), Math.floor((2 * cells) / 3)];
}

/** The type of every cell of a network. */
export function cellTypesOf({ cells, reductions = reductionCells(cells) }: NetworkShape): CellType[] {
  return Array.from({ length: cells }, (_, index) => (reductions.includes(index) ? "reduction" : "normal"));
}

/** The older and the newer input of the first cell (the same one with the CIFAR stem). */
function addStem(graph: GraphBuilder, { channels, stem }: NetworkShape): [Value, Value] {
  const { images } = graph;
  if (stem === "cifar") {
    const features = graph.norm(graph.convolution(images, "stem.0", 3 * channels, { kernel: 3 }), "stem.1");
    return [features, features];
  }
  const reduce = { kernel: 3, stride: 2 };
  const half = graph.norm(graph.convolution(images, "stem0.0", channels / 2, reduce), "stem0.1");
  const quarter = graph.norm(graph.convolution(graph.relu(half), "stem0.3", channels, reduce), "stem0.4");
  const eighth = graph.norm(graph.convolution(graph.relu(quarter), "stem1.1", channels, reduce), "stem1.2");
  return [quarter, eighth];
}

interface CellPlace {
  readonly index: number;
  readonly type: CellType;
  readonly channels: number;
  /** Whether the older input has twice the newer one's size. */
  readonly reductionPrevious: boolean;
}

function addCell(
  graph: GraphBuilder,
  network: NetworkDescription,
  operation: (name: string) => Operation,
  { index, type, channels, reductionPrevious }: CellPlace,
  [older, newer]: readonly [Value, Value],
): Value {
  const { norms, form, space } = network;
  const prefix = `cells.${index}`;
  return graph.within({ part: "cell", cell: index, cellType: type }, () => {
    // Both inputs come to the newer one's size; the edges of a reduction cell halve it.
    const states = [
      reductionPrevious
        ? graph.factorizedReduce(older, `${prefix}.preprocess0`, channels, norms.affine)
        : graph.reluConvNorm(older, `${prefix}.preprocess0`, channels, norms.affine),
      graph.reluConvNorm(newer, `${prefix}.preprocess1`, channels, norms.affine),
    ];
    let keptBefore = 0;
    for (let node = 0; node < intermediateNodeCount; node++) {
      const choice = choiceIndex(type, node);
      const { candidates } = space.choices[choice];
      const operationsPerPredecessor = candidates.length / states.length;
      const first = keptBefore;
      states.push(
        addNode(graph, {
          network,
          choice,
          states,
          operation,
          stride: (predecessor) => (type === "reduction" && predecessor < 2 ? 2 : 1),
          prefix: (candidate, position) =>
            form === "evaluation"
              ? `${prefix}._ops.${first + position}`
              : `${prefix}._ops.${edgeIndex(node, candidates[candidate].predecessor)}._ops.${candidate % operationsPerPredecessor}`,
          name: `${prefix}, node ${node + 2}`,
        }),
      );
      keptBefore += network.selection[choice].length;
    }
    return graph.concatenate(states.slice(2), prefix);
  });
}

/**
 * Two windows a side that overlap by a quarter of it: kernel 5 and stride 3 on the 8 x 8 features of CIFAR images, kernel 5 and
 * stride 2 on the 7 x 7 of ImageNet, as in DARTS; other sizes in the same proportion.
 */
function auxiliaryPooling(size: number): { kernel: number; stride: number } {
  const stride = Math.max(1, Math.floor((3 * size) / 8));
  return { kernel: size - stride, stride };
}

/** ReLU, average pooling to 2 x 2, 1x1 convolution, batch norm, ReLU, 2x2 convolution, batch norm (CIFAR), ReLU, linear. */
function addAuxiliary(graph: GraphBuilder, input: Value, { stem, classes }: NetworkShape): Value {
  return graph.within({ part: "auxiliary" }, () => {
    const { height, width } = graph.size(input);
    const [vertical, horizontal] = [auxiliaryPooling(height), auxiliaryPooling(width)];
    const [first, second] = auxiliaryChannels;
    const prefix = "auxiliary_head.features";
    const pooled = graph.pool(
      graph.relu(input),
      "average",
      [vertical.kernel, horizontal.kernel],
      [vertical.stride, horizontal.stride],
    );
    const hidden = graph.norm(graph.convolution(pooled, `${prefix}.2`, first), `${prefix}.3`);
    const convolved = graph.convolution(graph.relu(hidden), `${prefix}.5`, second, { kernel: 2, padding: 0 });
    const last = stem === "cifar" ? graph.norm(convolved, `${prefix}.6`) : convolved;
    return graph.linear(graph.relu(last), "auxiliary_head.classifier", classes);
  });
}

/** @throws IstaError NETWORK_SHAPE if no network can have the shape */
export function dartsGraph(network: NetworkDescription, operation: (name: string) => Operation): Graph {
  const { shape, partialChannels } = network;
  validateShape(shape);
  if (partialChannels !== undefined && shape.channels % partialChannels !== 0)
    refuseShape(
      `expected channels divisible by ${partialChannels} for partial channels, got ${shape.channels}`,
    );
  const graph = new GraphBuilder({
    channels: shape.inputChannels,
    height: shape.imageHeight,
    width: shape.imageWidth,
  });
  let [older, newer] = addStem(graph, shape);
  let channels = shape.channels;
  let reductionPrevious = shape.stem === "imagenet";
  let auxiliaryLogits: Value | null = null;
  const auxiliaryCell = reductionCells(shape.cells)[1];
  for (const [index, type] of cellTypesOf(shape).entries()) {
    if (type === "reduction") channels *= 2;
    const place = { index, type, channels, reductionPrevious };
    [older, newer] = [newer, addCell(graph, network, operation, place, [older, newer])];
    reductionPrevious = type === "reduction";
    if (shape.auxiliary && index === auxiliaryCell) auxiliaryLogits = addAuxiliary(graph, newer, shape);
  }
  const logits = graph.within({ part: "classifier" }, () =>
    graph.linear(graph.globalPool(newer), "classifier", shape.classes),
  );
  return graph.finish(logits, auxiliaryLogits);
}
