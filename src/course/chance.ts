// Whether a run learns anything: validation accuracies that are no better than naming the largest class every time.

import { formatPercent } from "../base/format.js";
import type { ConfigOf, RunKind } from "../config/config.js";

/**
 * Epochs in a row, and steps in them, after which a run is told that it has learnt nothing. In fewer steps the running statistics of
 * batch norms have not come to their values (0.9^40 of their beginning is left), and a network that learns still judges badly.
 */
export const patience = { epochs: 5, steps: 40 };

/** Share of the images whose label is the commonest, 0..1. */
export function largestShare(labels: Iterable<number>): number {
  const counts = new Map<number, number>();
  let images = 0;
  for (const label of labels) {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    images += 1;
  }
  return images === 0 ? 0 : Math.max(...counts.values()) / images;
}

export class ChanceWatch {
  private epochs = 0;

  /**
   * @param stepsPerEpoch of the run
   * @param share of the commonest class among the validation images, 0..1
   * @param advice what may help, to follow "try"
   */
  constructor(
    private readonly stepsPerEpoch: number,
    private readonly share: number,
    private readonly advice: string,
  ) {}

  /** Takes the validation accuracy of an epoch, 0..1; gives the warning once, when it has not been above chance for long. */
  note(accuracy: number): string | null {
    // One class alone is always right.
    this.epochs = accuracy > this.share || this.share === 1 ? 0 : this.epochs + 1;
    if (this.epochs !== Math.max(patience.epochs, Math.ceil(patience.steps / this.stepsPerEpoch)))
      return null;
    return `for ${this.epochs} epochs the validation accuracy has not been above ${formatPercent(this.share, 1)}, the share of the largest class: nothing has been learnt; if that goes on, try ${this.advice}`;
  }
}

/** What of a run's configuration decides whether it learns, with the values that it has. */
export function adviceFor(config: ConfigOf[RunKind], stepsPerEpoch: number): string {
  const codes = "codeLearningRate" in config ? config.codeLearningRate : undefined;
  const steps = `${config.epochs} of ${stepsPerEpoch} step${stepsPerEpoch === 1 ? "" : "s"}`;
  return [
    ...(typeof codes === "number" ? [`a larger --code-learning-rate (now ${codes})`] : []),
    `another --learning-rate (now ${config.learningRate})`,
    `a smaller --batch-size (now ${config.batchSize})`,
    `more --epochs (now ${steps})`,
  ]
    .join(", ")
    .replace(/, (?=more --epochs)/, " or ");
}
