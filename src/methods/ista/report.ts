// What a search says of its nodes: records for metrics.jsonl and lines for people.
import type { JsonObject } from "../../run/records.js";
import { type Connection, connectionAt } from "../../space/darts.js";
import { type CodeGroup, type Codes, codeGroups, listNodes } from "../../sparse/codes.js";
import type { UpdateDecision } from "../../sparse/freezing.js";

/** One record a node: its code, support, weights, residual, how far the code moved, whether it is frozen. */
export function nodeRecords(codes: Codes, decision: UpdateDecision): JsonObject[] {
  return listNodes(codes).map(({ group, node, value }) => ({
    cell: group,
    node: node + 2,
    code: Array.from(value.compressed),
    support: value.recovery.support,
    sparseCode: value.recovery.support.map((index) => value.recovery.code[index]),
    weights: Array.from(value.recovery.weights),
    residual: value.recovery.residual,
    nonzeros: value.recovery.nonzeros,
    distance: decision.distances[group][node],
    frozen: value.frozen,
  }));
}

const nameOf = ({ operation, predecessor }: Connection): string => `${operation} ${predecessor}`;

function cellLine(group: CodeGroup, before: Codes, after: Codes): string {
  let changed = 0;
  const nodes = after[group].map(({ recovery, frozen }, node) => {
    const old = before[group][node].recovery.support;
    const parts = recovery.support.map((index) => {
      if (old.includes(index)) return nameOf(connectionAt(index));
      changed += 1;
      return `*${nameOf(connectionAt(index))}`;
    });
    return `${frozen ? "#" : ""}${parts.join(", ")}`;
  });
  const residuals = after[group].map(({ recovery }) => recovery.residual);
  const range = `${Math.min(...residuals).toFixed(2)}..${Math.max(...residuals).toFixed(2)}`;
  return `  ${group.padEnd(9)} ${nodes.join(" | ")}   (${changed === 0 ? "unchanged" : `${changed} new, marked *`}; residual ${range})`;
}

/** A line per cell type: the operations of each node with their predecessors, new ones marked *, frozen nodes #. */
export function changeLines(before: Codes, after: Codes): string[] {
  return codeGroups.map((group) => cellLine(group, before, after));
}
