// The confusion matrix of an evaluation, as numbers, and where it is drawn.
import type { Evaluation } from "./evaluate.js";

/** The drawing of every training with test images, and of the last evaluation of its network. */
export const confusionFileName = "confusion.svg";

/** With more classes there is no confusion matrix: its size grows with their square, and nobody looks at a million numbers. */
export const mostConfusedClasses = 1000;

/** matrix[c][p]: images of class c whose most probable class is p; null of more than `mostConfusedClasses`. */
export function confusionMatrix({ confusion }: Pick<Evaluation, "confusion">): number[][] | null {
  if (confusion.length > mostConfusedClasses) return null;
  return confusion.map((row) => Array.from(confusion, (_, said) => row.get(said) ?? 0));
}
