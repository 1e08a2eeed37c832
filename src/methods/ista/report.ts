// What a search by sparse coding says of its choices: records for metrics.jsonl and lines for people.
import type { JsonObject } from "../../run/records.js";
import type { Choice } from "../../space/space.js";
import { type Codes, supportsOf } from "../../sparse/codes.js";
import type { UpdateDecision } from "../../sparse/freezing.js";
import { selectionLines } from "../report.js";

/** One record a choice: its codes, support, weights, residual, how far the sparse code moved, whether it is frozen. */
export function choiceRecords(
  choices: readonly Choice[],
  { codes, distances }: UpdateDecision,
): JsonObject[] {
  return codes.map(({ compressed, recovery, frozen }, index) => ({
    choice: choices[index].name,
    group: choices[index].group,
    compressedCode: Array.from(compressed),
    support: recovery.support,
    sparseCode: recovery.support.map((entry) => recovery.code[entry]),
    weights: Array.from(recovery.weights),
    residual: recovery.residual,
    nonzeros: recovery.nonzeros,
    distance: distances[index],
    frozen,
  }));
}

/** A line per group: the kept candidates of each choice, new ones marked *, frozen choices #. */
export function changeLines(choices: readonly Choice[], before: Codes, after: Codes): string[] {
  const residualRange = (indices: readonly number[]): string[] => {
    const residuals = indices.map((index) => after[index].recovery.residual);
    return [`residual ${Math.min(...residuals).toFixed(2)}..${Math.max(...residuals).toFixed(2)}`];
  };
  return selectionLines(choices, supportsOf(before), supportsOf(after), residualRange, (index) =>
    after[index].frozen ? "#" : "",
  );
}
