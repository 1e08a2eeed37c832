// What the server of the dashboard tells its page, and what a saved page carries.
import type { Report } from "../study/report.js";

export type RunState = "running" | "finished" | "interrupted" | "failed" | "stopped" | "unreadable";

/** A run in the list. Shares are 0..1, times seconds unless their name says otherwise. */
export interface RunRow {
  /** Its address in the dashboard: the path below the folder that was named. */
  readonly id: string;
  readonly kind: "search" | "train" | null;
  readonly state: RunState;
  /** Why it cannot be read, or null. */
  readonly problem: string | null;
  readonly method: string | null;
  readonly space: string | null;
  readonly seed: number | null;
  /** Time of its beginning as ISO 8601. */
  readonly created: string | null;
  /** Whole epochs done, and how many there will be as far as is known. */
  readonly epoch: number;
  readonly epochs: number | null;
  /** Of the clock, until its end; null where it does not run, or nothing is recorded yet. */
  readonly secondsLeft: number | null;
  /** Milliseconds since 1970 when a record was last written; null before the first. */
  readonly changed: number | null;
  readonly loss: number | null;
  readonly accuracy: number | null;
  readonly validationAccuracy: number | null;
  readonly testAccuracy: number | null;
  readonly parameters: number | null;
  /** What was found or is trained, in words. */
  readonly found: string | null;
  /** The same for runs that differ in the seed alone. */
  readonly group: string;
}

export interface StudyRow {
  readonly id: string;
  readonly name: string;
}

/** The looks of an operation. */
export interface OperationLook {
  readonly name: string;
  readonly label: string;
  readonly fill: string;
  readonly ink: string;
}

export interface ChoiceInfo {
  readonly name: string;
  readonly group: string;
  /** Operation as its place in `operations`, and the earlier node. */
  readonly candidates: readonly (readonly [operation: number, predecessor: number])[];
  readonly kept: number;
}

export interface SpaceInfo {
  readonly name: string;
  readonly operations: readonly OperationLook[];
  readonly choices: readonly ChoiceInfo[];
}

/** Everything of a run besides its records. */
export interface RunDetail {
  readonly row: RunRow;
  readonly space: SpaceInfo | null;
  readonly config: Readonly<Record<string, unknown>>;
  readonly meta: Readonly<Record<string, unknown>>;
  readonly summary: Readonly<Record<string, unknown>> | null;
}

/** What a record says of one choice, where its method says it. */
export interface ChoicePoint {
  /** Compressed code b. */
  readonly b?: readonly number[];
  /** Sparse code z and weights w of the kept candidates. */
  readonly z?: readonly number[];
  readonly w?: readonly number[];
  readonly residual?: number;
  readonly distance?: number;
  readonly frozen?: boolean;
  /** Of a mixture: for each predecessor the weights of its candidates. */
  readonly mixtures?: readonly { readonly predecessor: number; readonly weights: readonly number[] }[];
}

/** A record of an epoch, as short as the page needs it. */
export interface Point {
  /** From 0. */
  readonly epoch: number;
  readonly phase: string;
  /** All numbers of the record by their names. */
  readonly n: Readonly<Record<string, number>>;
  /** Kept candidates of each choice: of the network that was trained, and of the answer where that is another. */
  readonly support?: readonly (readonly number[])[];
  readonly answer?: readonly (readonly number[])[];
  readonly choices?: readonly ChoicePoint[];
  /** Of the trained architecture in tables beside the run, per cent. */
  readonly known?: Readonly<Record<string, number>>;
}

/** Means over some steps until this one: its number in the run from 1, its epoch from 0, loss, accuracy 0..1. */
export type StepPoint = readonly [step: number, epoch: number, loss: number, accuracy: number];

/** The report of a study, or why there is none. */
export type StudyTable = { readonly report: Report } | { readonly problem: string };

/** All that a page needs that is opened from the disk. */
export interface SavedPage {
  readonly saved: string;
  readonly rows: readonly RunRow[];
  readonly studies: readonly StudyRow[];
  readonly runs: Readonly<
    Record<
      string,
      {
        readonly detail: RunDetail;
        readonly points: readonly Point[];
        readonly steps: readonly StepPoint[];
        /** Drawings by epoch; an epoch that is missing has the one before it. */
        readonly cells: Readonly<Record<number, string>>;
        /** Of the cells that it ended with. */
        readonly finalCells: string | null;
      }
    >
  >;
  readonly tables: Readonly<Record<string, StudyTable>>;
}
