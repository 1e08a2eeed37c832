// The choices of a space as sparse coding sees them.
import { type Choice, predecessorsOf, type Space } from "../../space/space.js";
import type { CodedChoice } from "../../sparse/codes.js";

/** @param distinct whether the kept candidates of a choice must come from different predecessors, where the space does not demand it */
export const codedChoices = ({ choices }: Space, distinct: (choice: Choice) => boolean): CodedChoice[] =>
  choices.map((choice) => ({
    id: choice.id,
    predecessors: choice.candidates.map(({ predecessor }) => predecessor),
    kept: choice.kept,
    distinctPredecessors: choice.distinctPredecessors || distinct(choice),
  }));

/** Whether a choice has as many predecessors as it keeps candidates. */
export const canBeDistinct = (choice: Choice): boolean => predecessorsOf(choice).length >= choice.kept;
