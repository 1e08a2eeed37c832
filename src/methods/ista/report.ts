// What a search by sparse coding says of its choices: records for metrics.jsonl and lines for people.
import type { JsonObject } from "../../run/records.js";
import type { Choice } from "../../space/space.js";
import { type ChoiceCode, type Codes, supportsOf, weightsOf } from "../../sparse/codes.js";
import type { UpdateDecision } from "../../sparse/freezing.js";
import { columnsOf, norm, residualOf } from "../../sparse/matrix.js";
import type { Recovery } from "../../sparse/recovery.js";
import { selectionLines } from "../report.js";

const recoveryRecord = ({ support, code, weights, residual, nonzeros }: Recovery): JsonObject => ({
  support,
  sparseCode: support.map((entry) => code[entry]),
  weights: Array.from(weights),
  residual,
  nonzeros,
});

/** ||b - A_S z_S|| / ||b|| of a sparse code that was recovered from another b; 0 where b is 0. */
function presentResidual({ measurement, recovery, compressed }: ChoiceCode): number {
  const { support, code } = recovery;
  const kept = Float64Array.from(support, (index) => code[index]);
  const length = norm(compressed);
  return length === 0 ? 0 : norm(residualOf(columnsOf(measurement, support), kept, compressed)) / length;
}

/**
 * One record a choice: its codes, support, weights, residual, how far the sparse code moved, whether it is frozen. Of a refused update
 * the sparse code that stays, with the weights and the residual that it has at the present compressed code; what was refused is
 * in `proposed`.
 * @param proposals what was recovered from the present compressed codes
 */
export function choiceRecords(
  choices: readonly Choice[],
  { codes, distances, accepted }: UpdateDecision,
  proposals: readonly Recovery[],
): JsonObject[] {
  const presentWeights = weightsOf(codes);
  return codes.map((code, index) => {
    const { compressed, recovery, frozen } = code;
    const stays = !accepted && !frozen;
    return {
      choice: choices[index].name,
      group: choices[index].group,
      compressedCode: Array.from(compressed),
      ...recoveryRecord(
        stays ? { ...recovery, weights: presentWeights[index], residual: presentResidual(code) } : recovery,
      ),
      distance: stays ? 0 : distances[index],
      frozen,
      ...(stays ? { proposed: { ...recoveryRecord(proposals[index]), distance: distances[index] } } : {}),
    };
  });
}

/** A line per group: the kept candidates of each choice, new ones marked *, frozen choices #; a group that was frozen before was printed then. */
export function changeLines(choices: readonly Choice[], before: Codes, after: Codes): string[] {
  const residualRange = (indices: readonly number[]): string[] => {
    const residuals = indices.map((index) => after[index].recovery.residual);
    return [`residual ${Math.min(...residuals).toFixed(2)}..${Math.max(...residuals).toFixed(2)}`];
  };
  return selectionLines(
    choices,
    supportsOf(before),
    supportsOf(after),
    residualRange,
    (index) => (after[index].frozen ? "#" : ""),
    (index) => !before[index].frozen,
  );
}
