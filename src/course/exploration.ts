// Whether a search explored, and whether it decided: which connections its networks ever had, and when its answer last changed.
import { z } from "zod";
import type { explorationSchema } from "../run/summary.js";
import { type Selection, type Space, sameSelection } from "../space/space.js";

export type ExplorationFigures = z.output<typeof explorationSchema>;

const stateSchema = z.object({
  tried: z.array(z.array(z.int().min(0))),
  answer: z.array(z.array(z.int().min(0))),
  lastChange: z.int().min(0),
  epochs: z.int().min(0),
});

export class Exploration {
  private readonly tried: readonly Set<number>[];
  private lastChange = 0;
  private epochs = 0;

  constructor(
    private readonly space: Space,
    private answer: Selection,
  ) {
    this.tried = space.choices.map(() => new Set());
  }

  /** A network that a step has trained. */
  noteNetwork(selection: Selection): void {
    for (const [choice, candidates] of selection.entries())
      for (const candidate of candidates) this.tried[choice].add(candidate);
  }

  /** The answer after an epoch. @returns connections that it did not have before */
  noteAnswer(selection: Selection): number {
    this.epochs += 1;
    const before = this.answer;
    this.answer = selection;
    if (!sameSelection(before, selection)) this.lastChange = this.epochs;
    return selection.reduce(
      (sum, candidates, choice) => sum + candidates.filter((one) => !before[choice].includes(one)).length,
      0,
    );
  }

  get figures(): ExplorationFigures {
    return {
      connectionsTried: this.tried.reduce((sum, { size }) => sum + size, 0),
      connections: this.space.choices.reduce((sum, { candidates }) => sum + candidates.length, 0),
      lastChange: this.lastChange,
      epochs: this.epochs,
    };
  }

  save() {
    const { answer, lastChange, epochs } = this;
    return { tried: this.tried.map((one) => [...one].sort((a, b) => a - b)), answer, lastChange, epochs };
  }

  /** State of a run that did not keep any, or of another space, leaves it as it is. */
  restore(state: unknown): void {
    const found = stateSchema.safeParse(state);
    if (!found.success || found.data.tried.length !== this.tried.length) return;
    const { tried, answer, lastChange, epochs } = found.data;
    for (const [choice, candidates] of tried.entries())
      for (const candidate of candidates)
        if (candidate < this.space.choices[choice].candidates.length) this.tried[choice].add(candidate);
    this.answer = answer;
    this.lastChange = lastChange;
    this.epochs = epochs;
  }
}

/** A search whose answer stands for this share of its epochs has decided. */
const settledShare = 0.25;

/** For people: "explored 28 of 196 connections (14 %); ..." */
export function explorationLine({
  connectionsTried,
  connections,
  lastChange,
  epochs,
}: ExplorationFigures): string {
  const share = Math.round((100 * connectionsTried) / connections);
  const explored = `explored ${connectionsTried} of ${connections} connections (${share} %)`;
  const stood = epochs - lastChange;
  const decided =
    stood >= settledShare * epochs
      ? `decided: its answer stands since epoch ${Math.max(1, lastChange)} of ${epochs}`
      : `not decided: its answer still changed in epoch ${lastChange} of ${epochs}`;
  return `${explored}; ${decided}`;
}
