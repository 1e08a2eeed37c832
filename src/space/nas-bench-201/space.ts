// The topology space of NAS-Bench-201 (Dong and Yang 2020; NATS-Bench, Dong et al. 2021).
import { type Operation, registerOperations } from "../operation.js";
import { averagePool3x3, none, norConv1x1, norConv3x3, skipConnect } from "../operations/index.js";
import type { Choice, Genotype, NormPlacements, Selection, Space } from "../space.js";
import { genotypeObject, refuseGenotype } from "../text.js";
import { nasBench201Graph } from "./network.js";
import { cellExample, formatCell, looksLikeCell, parseCell } from "./text.js";

/** The candidates of every edge, in index order. */
const operations: readonly Operation[] = [none, skipConnect, norConv1x1, norConv3x3, averagePool3x3];

/** Nodes 1 to 3 of the cell; node 0 is its input, node 3 its output. */
const decidingNodes = [1, 2, 3];

const name = "nas-bench-201";

/** Node j is the sum of one operation on each of the j nodes before it. */
const choices: readonly Choice[] = decidingNodes.map((node) => ({
  id: `cell/${node}`,
  name: `node ${node}`,
  group: "cell",
  candidates: Array.from({ length: node }, (_, predecessor) =>
    operations.map((operation) => ({ operation: operation.name, predecessor })),
  ).flat(),
  kept: node,
  distinctPredecessors: true,
}));

const norms = {
  plainEvaluation: { afterPool: false, afterSkip: false, affine: true },
  normalisedEvaluation: { afterPool: true, afterSkip: true, affine: true },
  twoStageSuperNet: { afterPool: false, afterSkip: false, affine: false },
  oneStageSuperNet: { afterPool: true, afterSkip: true, affine: true },
} as const satisfies NormPlacements;

export interface NasBench201Genotype extends Genotype {
  /** See `cellExample`. */
  readonly cell: string;
}

const find = (wanted: string): Operation => operations.find((operation) => operation.name === wanted)!;

/** The kept candidates of every node by their predecessors, as the text has them. */
const ordered = (selection: Selection): string[][] =>
  selection.map((chosen, node) =>
    chosen
      .map((index) => choices[node].candidates[index])
      .sort((a, b) => a.predecessor - b.predecessor)
      .map(({ operation }) => operation),
  );

function parse(text: string, path?: string): Selection {
  const names = operations.map((operation) => operation.name);
  return parseCell(text, decidingNodes.length, names, path).map((edges) =>
    edges.map((operation, predecessor) => predecessor * names.length + names.indexOf(operation)),
  );
}

const format = (selection: Selection): string => formatCell(ordered(selection));

function fromGenotype(value: unknown): Selection {
  const record = genotypeObject(value, ["space", "cell"]);
  if (record.space !== name) refuseGenotype("$.space", JSON.stringify(name), record.space);
  if (typeof record.cell !== "string") refuseGenotype("$.cell", `a text ${cellExample}`, record.cell);
  return parse(record.cell as string, "$.cell");
}

registerOperations(operations);

const allConvolutions =
  "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|";
const residual = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|";

export const nasBench201: Space = {
  name,
  description: "the 15,625 cells of NAS-Bench-201: 5 operations on each of 6 edges (Dong and Yang 2020)",
  choices,
  norms,
  hasAuxiliaryHead: false,
  usualSize: { search: { cells: 15, channels: 16 }, train: { cells: 15, channels: 16 } },
  named: {
    all_nor_conv_3x3: {
      description: "the largest cell of NAS-Bench-201: a 3x3 convolution on every edge",
      selection: parse(allConvolutions),
      norms: norms.plainEvaluation,
    },
    ResNet_cell: {
      description: "the cell of NAS-Bench-201 that makes a ResNet: two convolutions and a skip",
      selection: parse(residual),
      norms: norms.plainEvaluation,
    },
  },
  graph: (network) => nasBench201Graph(network, find),
  toGenotype: (selection): NasBench201Genotype => ({ space: name, cell: format(selection) }),
  fromGenotype,
  formatGenotype: (selection) => `{ "space": "${name}", "cell": "${format(selection)}" }\n`,
  texts: [
    { name: "text", example: cellExample, recognises: looksLikeCell, parse: (text) => parse(text), format },
  ],
  describeWeights(shapes) {
    const names = [...shapes.keys()];
    const blocks = names.flatMap((name) => /^cells\.(\d+)\.conv_a\.op\.1\.weight$/.exec(name)?.[1] ?? []);
    if (blocks.length === 0 || !shapes.has("lastact.0.running_mean")) return null;
    const normalised = names.some((name) => /^cells\.\d+\.layers\.\d+\.1\.running_mean$/.test(name));
    // Cells without a convolution have no tensors; the first residual block stands where the first stage ends.
    const cellsPerStage = Math.max(1, Math.min(...blocks.map(Number)));
    return {
      shape: {
        cells: 3 * cellsPerStage,
        channels: shapes.get("stem.0.weight")?.[0] ?? 16,
        inputChannels: shapes.get("stem.0.weight")?.[1] ?? 3,
        classes: shapes.get("classifier.weight")?.[0] ?? 10,
        stem: "cifar",
        auxiliary: false,
      },
      norms: normalised ? norms.normalisedEvaluation : norms.plainEvaluation,
      usualImageSize: 32,
    };
  },
  sketch: (selection) => [
    {
      title: "Cell",
      note: "keeps the size",
      inputs: [{ text: "0", subscript: "" }],
      nodes: ordered(selection).map((edges, node) => ({
        label: String(node + 1),
        connections: edges.map((operation, from) => ({ operation, suffix: "", from })),
      })),
      output: { text: "out", subscript: "" },
      outputFrom: [decidingNodes.length],
      outputNote: "the last node",
    },
  ],
};
