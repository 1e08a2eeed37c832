// What an evaluation says of each class, of confidence, and which images went wrong.
import { ranksOfLabels } from "../course/batch-step.js";
import { mostProbable } from "../course/evaluate.js";
import type { Batch } from "../data/index.js";

export interface ClassFigures {
  readonly name: string;
  /** Images of the class. */
  readonly support: number;
  /** Of the images that were taken for the class, the share that are of it; null where none was. */
  readonly precision: number | null;
  /** Of the images of the class, the share that were taken for it; null where there is none. */
  readonly recall: number | null;
  /** Harmonic mean of both: 2 TP / (2 TP + FP + FN); null where there is neither an image nor an answer of the class. */
  readonly f1: number | null;
}

export interface AverageFigures {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface ClassificationReport {
  readonly classes: readonly ClassFigures[];
  /** Means over the classes that have images; a precision that there is none of counts as 0. */
  readonly macro: AverageFigures;
  /** The same, each class by its number of images. */
  readonly weighted: AverageFigures;
}

/** @param confusion confusion[c].get(p): images of class c that were taken for class p; those that are missing are 0 */
export function reportOf(
  confusion: readonly ReadonlyMap<number, number>[],
  names: readonly string[],
): ClassificationReport {
  const answers = new Float64Array(names.length);
  for (const row of confusion) for (const [said, count] of row) answers[said] += count;
  const classes = names.map((name, label): ClassFigures => {
    const right = confusion[label].get(label) ?? 0;
    const support = [...confusion[label].values()].reduce((sum, count) => sum + count, 0);
    const answered = answers[label];
    return {
      name,
      support,
      precision: answered === 0 ? null : right / answered,
      recall: support === 0 ? null : right / support,
      f1: support + answered === 0 ? null : (2 * right) / (support + answered),
    };
  });
  const present = classes.filter(({ support }) => support > 0);
  const average = (weight: (one: ClassFigures) => number): AverageFigures => {
    const total = present.reduce((sum, one) => sum + weight(one), 0);
    const mean = (key: keyof AverageFigures): number =>
      present.reduce((sum, one) => sum + weight(one) * (one[key] ?? 0), 0) / total;
    return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1") };
  };
  return { classes, macro: average(() => 1), weighted: average(({ support }) => support) };
}

export interface CalibrationBin {
  /** Confidence from `low` to `high`. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** Mean probability of the answer, 0..1; 0 where the bin is empty. */
  readonly confidence: number;
  /** Share that was right, 0..1; 0 where the bin is empty. */
  readonly accuracy: number;
}

export interface Mistake {
  /** Path of the picture, or its number in a set in memory. */
  readonly origin: string | number;
  readonly truth: number;
  readonly guess: number;
  /** Of the guess, 0..1. */
  readonly probability: number;
  /** Of the truth, 0..1. */
  readonly truthProbability: number;
  /** Normalised pixels [C, H, W] as the network saw them. */
  readonly pixels: Float32Array;
}

const calibrationBins = 15;
const mostRanks = 5;

function softmax(logits: Float32Array): Float64Array {
  const largest = Math.max(...logits);
  const powers = Float64Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

/** Follows an evaluation image by image. */
export class MistakeCollector {
  private readonly bins = Array.from({ length: calibrationBins }, () => ({ count: 0, sum: 0, right: 0 }));
  private readonly ranks = new Array<number>(mostRanks).fill(0);
  private kept: Mistake[] = [];
  private images = 0;
  private wrong = 0;

  /** @param most how many mistakes are kept: those in which the network was surest */
  constructor(private readonly most: number) {}

  note({ images, labels, count, origins }: Batch, logits: Float32Array): void {
    const classes = logits.length / count;
    const values = images.length / count;
    const ranks = ranksOfLabels(logits, labels);
    for (let row = 0; row < count; row++) {
      const own = logits.subarray(row * classes, (row + 1) * classes);
      const [truth, guess] = [labels[row], mostProbable(own)];
      const probabilities = softmax(own);
      // Of outputs that are no numbers nobody can be sure.
      const probability = Number.isNaN(probabilities[guess]) ? 0 : probabilities[guess];
      const bin = this.bins[Math.min(calibrationBins - 1, Math.floor(probability * calibrationBins))];
      bin.count += 1;
      bin.sum += probability;
      if (guess === truth) bin.right += 1;
      this.images += 1;
      for (let k = ranks[row]; k < mostRanks; k++) this.ranks[k] += 1;
      if (guess === truth) continue;
      this.wrong += 1;
      if (this.kept.length === this.most && probability <= (this.kept.at(-1)?.probability ?? 1)) continue;
      const pixels = images.slice(row * values, (row + 1) * values);
      const origin = origins?.[row] ?? this.images - 1;
      this.kept.push({ origin, truth, guess, probability, truthProbability: probabilities[truth], pixels });
      // Of mistakes that are equally sure, the earlier ones stay.
      this.kept.sort((a, b) => b.probability - a.probability);
      this.kept = this.kept.slice(0, this.most);
    }
  }

  /** The surest first. */
  get mistakes(): readonly Mistake[] {
    return this.kept;
  }

  /** Of all images, kept or not. */
  get mistakeCount(): number {
    return this.wrong;
  }

  /** Share of images whose class is among the k most probable ones, for k = 1 to 5. */
  get topK(): readonly number[] {
    return this.ranks.map((count) => count / this.images);
  }

  get calibration(): readonly CalibrationBin[] {
    return this.bins.map(({ count, sum, right }, index) => ({
      low: index / calibrationBins,
      high: (index + 1) / calibrationBins,
      count,
      confidence: count === 0 ? 0 : sum / count,
      accuracy: count === 0 ? 0 : right / count,
    }));
  }

  /** Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3), 0..1. */
  get calibrationError(): number {
    return this.calibration.reduce(
      (sum, { count, confidence, accuracy }) => sum + (count / this.images) * Math.abs(accuracy - confidence),
      0,
    );
  }
}
