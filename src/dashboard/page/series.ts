// Curves of several runs beside each other: on common epochs, with mean and band where they differ in the seed alone.
import type { Point, StepPoint } from "../types.js";

export type Values = readonly (number | null)[];

/** All epochs (from 1) that any of the runs has, ascending. */
export const commonEpochs = (runs: readonly (readonly Point[])[]): number[] =>
  [...new Set(runs.flatMap((points) => points.map(({ epoch }) => epoch + 1)))].sort((a, b) => a - b);

/** A figure of a run on given epochs; null where it has none. */
export function valuesAt(points: readonly Point[], epochs: readonly number[], figure: string): Values {
  const byEpoch = new Map(points.map(({ epoch, n }) => [epoch + 1, n[figure]]));
  return epochs.map((epoch) => byEpoch.get(epoch) ?? null);
}

/**
 * Where single steps are between the epochs: 1.5 is half through the second one. Of an epoch that still goes on, its share is known by
 * the length of the one before; of the first one by what is done of it.
 */
export function epochsOfSteps(steps: readonly StepPoint[], points: readonly Point[]): number[] {
  const lengths = new Map(points.map(({ epoch, n }) => [epoch, n.steps ?? 0]));
  const latest = steps.at(-1)?.[0] ?? 0;
  let [epoch, first, length] = [-1, 0, 0];
  return steps.map(([step, own]) => {
    for (; epoch < own; epoch++) {
      first += length;
      length = lengths.get(epoch + 1) || length || latest;
    }
    return own + Math.min(1, (step - first) / Math.max(1, length));
  });
}

export interface Band {
  readonly mean: Values;
  /** Mean minus and plus a standard deviation; null where there is only one value. */
  readonly low: Values;
  readonly high: Values;
}

/** Mean and sample standard deviation at every place, over the runs that have a value there. */
export function bandOf(runs: readonly Values[]): Band {
  const places = runs[0]?.map((_, index) => {
    const values = runs.map((one) => one[index]).filter((value) => value !== null);
    if (values.length === 0) return { mean: null, low: null, high: null };
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    if (values.length === 1) return { mean, low: null, high: null };
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const deviation = Math.sqrt(squares / (values.length - 1));
    return { mean, low: mean - deviation, high: mean + deviation };
  });
  const all = places ?? [];
  return {
    mean: all.map(({ mean }) => mean),
    low: all.map(({ low }) => low),
    high: all.map(({ high }) => high),
  };
}

/**
 * Kept candidates of one choice over epochs, each in a slot that it keeps while it is kept, so that a change shows where it
 * happens and nowhere else. @returns for every epoch a candidate per slot, null where there is none
 */
export function slotsOf(kept: readonly (readonly number[] | undefined)[]): (number | null)[][] {
  const count = Math.max(0, ...kept.map((one) => one?.length ?? 0));
  let before: (number | null)[] = Array.from({ length: count }, () => null);
  return kept.map((candidates = []) => {
    const slots = before.map((one) => (one !== null && candidates.includes(one) ? one : null));
    for (const candidate of candidates) {
      if (slots.includes(candidate)) continue;
      slots[slots.indexOf(null)] = candidate;
    }
    before = slots;
    return slots;
  });
}
