// A space of one's own, without cells: a small residual network whose kernel sizes and widths are searched, block by block.
//
//   ista-nas search --plugin examples/residual-space.mjs --space residual --data bundled
import {
  addNode,
  GraphBuilder,
  genotypeObject,
  refuseGenotype,
  refuseShape,
  registerOperations,
  requireDivisible,
  requireWhole,
} from "ista-nas/spaces";

const blockCount = 6;
const blocksPerStage = 2;
const stages = blockCount / blocksPerStage;
const colours = ["#56b4e9", "#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7"];

/** ReLU, k x k to some share of the channels, norm, ReLU, k x k back, norm. */
const bottleneck = (kernel, share, fill) => ({
  name: `conv${kernel}_x${share}`,
  colour: { fill, ink: "#0b0b0b" },
  build(graph, input, { prefix, norms }) {
    const { channels } = graph.size(input);
    const inner = Math.max(1, Math.round(channels * share));
    const widened = graph.reluConvNorm(input, `${prefix}.first`, inner, norms.affine, { kernel });
    return graph.reluConvNorm(widened, `${prefix}.second`, channels, norms.affine, { kernel });
  },
});

const operations = [1, 3, 5].flatMap((kernel, k) =>
  [0.5, 1].map((share, w) => bottleneck(kernel, share, colours[2 * k + w])),
);
registerOperations(operations);
const find = (name) => operations.find((operation) => operation.name === name);

/** Every block keeps one of the operations; there is only one place to take its input from. */
const choices = Array.from({ length: blockCount }, (_, block) => ({
  id: `block/${block}`,
  name: `block ${block}`,
  group: "blocks",
  candidates: operations.map(({ name }) => ({ operation: name, predecessor: 0 })),
  kept: 1,
  distinctPredecessors: false,
}));

const affine = { afterPool: false, afterSkip: false, affine: true };
const norms = {
  plainEvaluation: affine,
  normalisedEvaluation: affine,
  twoStageSuperNet: { ...affine, affine: false },
  oneStageSuperNet: affine,
};

function graphOf(network) {
  const { shape } = network;
  if (shape.cells !== blockCount)
    refuseShape(`expected ${blockCount} cells (blocks) in residual, got ${shape.cells}`);
  for (const key of ["channels", "inputChannels", "classes"]) requireWhole(shape, key, 1);
  requireDivisible(shape, 2 ** (stages - 1));
  if (shape.auxiliary) refuseShape("expected no auxiliary head in residual; use --auxiliary-weight 0");
  const graph = new GraphBuilder({
    channels: shape.inputChannels,
    height: shape.imageHeight,
    width: shape.imageWidth,
  });
  let value = graph.norm(graph.convolution(graph.images, "stem.0", shape.channels, { kernel: 3 }), "stem.1");
  for (let block = 0; block < blockCount; block++) {
    const prefix = `blocks.${block}`;
    value = graph.within({ part: "cell", cell: block, cellType: "block" }, () => {
      const { channels } = graph.size(value);
      const halves = block > 0 && block % blocksPerStage === 0;
      const input = halves
        ? graph.factorizedReduce(value, `${prefix}.reduce`, 2 * channels, network.norms.affine)
        : value;
      const residue = addNode(graph, {
        network,
        choice: block,
        states: [input],
        operation: find,
        stride: () => 1,
        prefix: (candidate) =>
          network.form === "evaluation" ? `${prefix}.kept` : `${prefix}.candidates.${candidate}`,
        name: `${prefix}, residue`,
      });
      return graph.add([input, residue], prefix);
    });
  }
  const logits = graph.within({ part: "classifier" }, () =>
    graph.linear(graph.globalPool(graph.relu(value)), "classifier", shape.classes),
  );
  return graph.finish(logits);
}

const namesOf = (selection) => selection.map(([index]) => operations[index].name);

function fromGenotype(value) {
  const { space, blocks } = genotypeObject(value, ["space", "blocks"]);
  if (space !== "residual") refuseGenotype("$.space", '"residual"', space);
  if (!Array.isArray(blocks) || blocks.length !== blockCount)
    refuseGenotype("$.blocks", `${blockCount} operations`, blocks);
  return blocks.map((name, block) => {
    const index = operations.findIndex((operation) => operation.name === name);
    if (index < 0)
      refuseGenotype(`$.blocks[${block}]`, `one of ${operations.map((one) => one.name).join(", ")}`, name);
    return [index];
  });
}

const toGenotype = (selection) => ({ space: "residual", blocks: namesOf(selection) });

const residual = {
  name: "residual",
  description: "a residual network of 6 blocks whose kernel sizes and widths are searched",
  choices,
  norms,
  hasAuxiliaryHead: false,
  usualSize: { search: { cells: blockCount, channels: 8 }, train: { cells: blockCount, channels: 16 } },
  named: {},
  graph: graphOf,
  toGenotype,
  fromGenotype,
  formatGenotype: (selection) => `${JSON.stringify(toGenotype(selection), null, 2)}\n`,
  texts: [],
  describeWeights: () => null,
  sketch: (selection) => [
    {
      title: "Residual network",
      note: "each block adds its operation to its input",
      inputs: [{ text: "stem", subscript: "" }],
      nodes: namesOf(selection).map((operation, block) => ({
        label: String(block),
        connections: [{ operation, suffix: "", from: block }],
      })),
      output: { text: "head", subscript: "" },
      outputFrom: [blockCount],
      outputNote: "pooled and classified",
    },
  ],
};

export const spaces = [residual];
