// The text of a NAS-Bench-201 cell: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, `~k` being the node that the edge comes from.
import { IstaError } from "../../base/errors.js";
import { quote, requireGenotypeLength } from "../text.js";

export const cellExample = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|";

/** Whether a text looks like a cell; it may still be a wrong one. */
export const looksLikeCell = (text: string): boolean => /^\s*"?\|[^|~]*~\d/.test(text);

/**
 * The operations of the edges of every node, by predecessor.
 * @param operations those that there are
 * @param path of the text in JSON, where it comes from there
 * @throws IstaError GENOTYPE_INVALID naming the node, what was expected there and what came
 */
export function parseCell(
  text: string,
  nodeCount: number,
  operations: readonly string[],
  path = "",
): string[][] {
  requireGenotypeLength(text);
  const refuse = (place: string, expected: string, got: string): never => {
    const where = [path, place].filter((part) => part !== "").join(", ");
    const at = where === "" ? "" : `at ${where}: `;
    throw new IstaError("GENOTYPE_INVALID", `genotype: ${at}expected ${expected}, got ${got}`);
  };
  const nodes = text
    .trim()
    .replace(/^"(.*)"$/s, "$1")
    .split("+");
  if (nodes.length !== nodeCount)
    refuse("", `${nodeCount} nodes joined by +, as in ${cellExample}`, String(nodes.length));
  return nodes.map((node, index) => {
    const place = `node ${index + 1}`;
    const edges = /^\|(.*)\|$/.exec(node.trim())?.[1].split("|");
    if (edges === undefined || edges.length !== index + 1)
      return refuse(place, `${index + 1} edges between bars`, quote(node));
    return edges.map((edge, predecessor) => {
      const [, operation, from] = /^(\w+)~(\d{1,3})$/.exec(edge.trim()) ?? [];
      if (Number(from) !== predecessor) refuse(place, `operation~${predecessor}`, quote(edge));
      if (!operations.includes(operation)) refuse(place, `one of ${operations.join(", ")}`, quote(operation));
      return operation;
    });
  });
}

export const formatCell = (nodes: readonly (readonly string[])[]): string =>
  nodes
    .map((edges) => `|${edges.map((operation, predecessor) => `${operation}~${predecessor}`).join("|")}|`)
    .join("+");
