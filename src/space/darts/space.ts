// The DARTS search space (Liu et al. 2019) with the operations of ISTA-NAS (Yang et al. 2020, arXiv 2010.06176), or with others.
import { IstaError } from "../../base/errors.js";
import { type Operation, registerOperations } from "../operation.js";
import {
  averagePool3x3,
  dilConv3x3,
  dilConv5x5,
  maxPool3x3,
  sepConv3x3,
  sepConv5x5,
  skipConnect,
} from "../operations/index.js";
import type { CellSketch } from "../sketch.js";
import type { NamedArchitecture, Selection, Space } from "../space.js";
import { type CellType, cellChoices, concatenatedNodes } from "./cell.js";
import { formatGenotype, genotypeOf, pairsByNode, selectionOf, validateGenotype } from "./genotype.js";
import { normPlacements, publishedCells } from "./named.js";
import { dartsGraph } from "./network.js";
import {
  findPython,
  formatPython,
  looksLikeFieldsJson,
  looksLikePython,
  parseFieldsJson,
  parsePython,
} from "./python.js";
import { describeWeights } from "./weights.js";

const notes: Readonly<Record<CellType, { title: string; note: string }>> = {
  normal: { title: "Normal cell", note: "keeps the size" },
  reduction: { title: "Reduction cell", note: "halves the size, doubles the channels" },
};

export interface DartsOptions {
  readonly name: string;
  readonly description: string;
  /** The candidates of every edge, in index order. */
  readonly operations: readonly Operation[];
}

/** A space of DARTS cells with these operations. */
export function dartsSpace({ name, description, operations }: DartsOptions): Space {
  const names = operations.map((operation) => operation.name);
  const choices = cellChoices(operations);
  const genotype = (selection: Selection) => genotypeOf(name, choices, selection);
  const fromGenotype = (value: unknown): Selection =>
    selectionOf(choices, validateGenotype(value, name, names));
  const find = (wanted: string): Operation => {
    const found = operations.find((operation) => operation.name === wanted);
    if (found === undefined)
      throw new IstaError("GENOTYPE_INVALID", `${name}: expected one of ${names.join(", ")}, got ${wanted}`);
    return found;
  };
  registerOperations(operations);
  return {
    name,
    description,
    choices,
    norms: normPlacements,
    hasAuxiliaryHead: true,
    usualSize: { search: { cells: 8, channels: 16 }, train: { cells: 20, channels: 36 } },
    named: namedOf(name, names, fromGenotype),
    graph: (network) => dartsGraph(network, find),
    toGenotype: genotype,
    fromGenotype,
    formatGenotype: (selection) => formatGenotype(genotype(selection)),
    texts: [
      {
        name: "python",
        example: "Genotype(...)",
        recognises: (text) => looksLikePython(text) || looksLikeFieldsJson(text),
        find: findPython,
        parse: (text) =>
          fromGenotype({
            space: name,
            ...(looksLikeFieldsJson(text) ? parseFieldsJson(text) : parsePython(text)),
          }),
        format: (selection) => formatPython(genotype(selection)),
      },
    ],
    describeWeights,
    sketch: (selection) => {
      const { normal, reduce } = genotype(selection);
      return [sketchCell("normal", normal), sketchCell("reduction", reduce)];
    },
  };
}

/** The published cells whose operations are all there. */
function namedOf(
  space: string,
  names: readonly string[],
  fromGenotype: (value: unknown) => Selection,
): Record<string, NamedArchitecture> {
  const known = Object.entries(publishedCells).filter(([, { cells }]) =>
    cells.flat().every(([operation]) => names.includes(operation)),
  );
  return Object.fromEntries(
    known.map(([key, { description, cells, norms }]) => {
      const [normal, reduce] = cells;
      const concat = { normalConcat: concatenatedNodes, reduceConcat: concatenatedNodes };
      return [key, { description, norms, selection: fromGenotype({ space, normal, reduce, ...concat }) }];
    }),
  );
}

function sketchCell(type: CellType, pairs: Parameters<typeof pairsByNode>[0]): CellSketch {
  const stride = (predecessor: number): string => (type === "reduction" && predecessor < 2 ? " /2" : "");
  return {
    ...notes[type],
    inputs: ["k−2", "k−1"].map((subscript) => ({ text: "c", subscript })),
    nodes: pairsByNode(pairs).map((node, index) => ({
      label: String(index + 2),
      connections: node.map(([operation, from]) => ({ operation, suffix: stride(from), from })),
    })),
    output: { text: "c", subscript: "k" },
    outputFrom: concatenatedNodes,
    outputNote: "concatenated",
  };
}

/** The operations of the paper, in index order. */
export const dartsOperations: readonly Operation[] = [
  maxPool3x3,
  averagePool3x3,
  skipConnect,
  sepConv3x3,
  sepConv5x5,
  dilConv3x3,
  dilConv5x5,
];

/** The space of the paper: 7 operations, 4 nodes, 2 connections a node, normal and reduction cells. */
export const darts = dartsSpace({
  name: "darts",
  description: "DARTS cells of 7 operations (Liu et al. 2019), as ISTA-NAS searches them",
  operations: dartsOperations,
});
