// The networks of NAS-Bench-201 as graphs of layers: three stages of cells with residual blocks between them.
import { type Graph, GraphBuilder, type Value } from "../graph.js";
import { addNode } from "../mixture.js";
import type { Operation } from "../operation.js";
import { refuseShape, requireDivisible, requireWhole } from "../shape.js";
import type { NetworkDescription, NetworkShape } from "../space.js";

const stageCount = 3;
/** Two residual blocks halve the sides. */
const imageDivisor = 4;

function validateShape(shape: NetworkShape, partialChannels: number | undefined): void {
  requireWhole(shape, "cells", stageCount);
  if (shape.cells % stageCount !== 0)
    refuseShape(
      `expected cells divisible by ${stageCount}, ${stageCount} stages of equally many in nas-bench-201, got ${shape.cells}`,
    );
  requireWhole(shape, "channels", 1);
  requireWhole(shape, "inputChannels", 1);
  requireWhole(shape, "classes", 1);
  requireDivisible(shape, imageDivisor);
  if (shape.stem !== "cifar") refuseShape(`expected the cifar stem in nas-bench-201, got ${shape.stem}`);
  if (shape.auxiliary) refuseShape("expected no auxiliary head in nas-bench-201; use --auxiliary-weight 0");
  if (shape.reductions !== undefined) refuseShape("expected no reduction cells in nas-bench-201");
  if (partialChannels !== undefined && shape.channels % partialChannels !== 0)
    refuseShape(
      `expected channels divisible by ${partialChannels} for partial channels, got ${shape.channels}`,
    );
}

/** Two convolutions, the first of stride 2, beside average pooling and a 1x1 convolution. */
function addResidualBlock(
  graph: GraphBuilder,
  input: Value,
  index: number,
  channels: number,
  affine: boolean,
): Value {
  const prefix = `cells.${index}`;
  return graph.within({ part: "cell", cell: index, cellType: "residual block" }, () => {
    const first = graph.reluConvNorm(input, `${prefix}.conv_a`, channels, affine, { kernel: 3, stride: 2 });
    const second = graph.branch(`${prefix}.conv_b`, () =>
      graph.reluConvNorm(first, `${prefix}.conv_b`, channels, affine, { kernel: 3 }),
    );
    const pooled = graph.pool(input, "average", [2, 2], [2, 2]);
    const shortcut = graph.convolution(pooled, `${prefix}.downsample.1`, channels);
    return graph.add([shortcut, second], prefix);
  });
}

function addCell(
  graph: GraphBuilder,
  network: NetworkDescription,
  operation: (name: string) => Operation,
  input: Value,
  index: number,
): Value {
  const { choices } = network.space;
  const prefix = `cells.${index}`;
  return graph.within({ part: "cell", cell: index, cellType: "cell" }, () => {
    const states = [input];
    let edgesBefore = 0;
    for (const [choice, { candidates }] of choices.entries()) {
      const node = choice + 1;
      const operationCount = candidates.length / node;
      const first = edgesBefore;
      states.push(
        addNode(graph, {
          network,
          choice,
          states,
          operation,
          stride: () => 1,
          prefix: (candidate) => {
            const { predecessor } = candidates[candidate];
            return network.form === "evaluation"
              ? `${prefix}.layers.${first + predecessor}`
              : `${prefix}.edges.${node}<-${predecessor}.${candidate % operationCount}`;
          },
          name: `${prefix}, node ${node}`,
        }),
      );
      edgesBefore += node;
    }
    return states[choices.length];
  });
}

/** @throws IstaError NETWORK_SHAPE if no network can have the shape */
export function nasBench201Graph(network: NetworkDescription, operation: (name: string) => Operation): Graph {
  const { shape, norms } = network;
  validateShape(shape, network.partialChannels);
  const { inputChannels, imageHeight: height, imageWidth: width } = shape;
  const graph = new GraphBuilder({ channels: inputChannels, height, width });
  let value = graph.norm(graph.convolution(graph.images, "stem.0", shape.channels, { kernel: 3 }), "stem.1");
  const cellsPerStage = shape.cells / stageCount;
  let index = 0;
  for (let stage = 0; stage < stageCount; stage++) {
    if (stage > 0) value = addResidualBlock(graph, value, index++, shape.channels * 2 ** stage, norms.affine);
    for (let cell = 0; cell < cellsPerStage; cell++)
      value = addCell(graph, network, operation, value, index++);
  }
  const logits = graph.within({ part: "classifier" }, () => {
    const features = graph.relu(graph.norm(value, "lastact.0"));
    return graph.linear(graph.globalPool(features), "classifier", shape.classes);
  });
  return graph.finish(logits);
}
