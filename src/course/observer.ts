// Who wants to know how a run goes.
import type { JsonObject } from "../run/records.js";

/** How far a run is. */
export interface ProgressState {
  /** What is being done, such as "search". */
  readonly phase: string;
  /** Epoch in progress, from 1, and how many there will be. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done in this epoch, and how many it has. */
  readonly step: number;
  readonly steps: number;
  /** Means over the epoch so far; accuracy 0..1. A ranking has no loss. */
  readonly loss?: number;
  readonly accuracy: number;
  /** Images done since the run began or went on here, for the speed. */
  readonly images: number;
}

/** Who wants to know how a run goes. */
export interface Observer {
  progress(state: ProgressState): void;
  /** Told of every record that goes to metrics.jsonl. */
  epoch?(record: JsonObject): void;
  /** Told of every checkpoint that was saved. */
  checkpoint?(name: string): void;
  /** A line that stays. */
  line(text: string): void;
  warn(text: string): void;
}

export const silentObserver: Observer = { progress() {}, line() {}, warn() {} };
