// The loop that every long run goes through: epochs of steps, records, checkpoints, interruption, resumption.
import { createHash } from "node:crypto";
import { memoryUsage } from "node:process";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { formatDuration, formatPercent } from "../base/format.js";
import type { CheckpointContents } from "../run/checkpoint.js";
import { epochName, type RunDirectory } from "../run/directory.js";
import type { JsonObject } from "../run/records.js";
import type { Genotype } from "../space/space.js";
import type { BatchFigures } from "./batch-step.js";
import type { Board, StepRow } from "./board.js";
import type { ChanceWatch } from "./chance.js";
import type { Observer } from "./observer.js";
import { isFirst, processCount, requireSame } from "./processes.js";

export { type Observer, type ProgressState, silentObserver } from "./observer.js";

/** Means over the images of an epoch so far. */
export interface EpochFigures {
  readonly loss: number;
  /** Share of images classified right, 0..1. */
  readonly accuracy: number;
  readonly images: number;
  /** Seconds of computing, all parts of an interrupted epoch together. */
  readonly seconds: number;
}

export interface EpochOutcome {
  /** What metrics.jsonl says of the epoch, besides epoch, loss, accuracy, seconds. */
  readonly record: JsonObject;
  /** The higher, the better; null where nothing tells. Decides what the checkpoint `best` is. */
  readonly score: number | null;
  /** Lines for the user, besides the one with the figures. */
  readonly lines: readonly string[];
  /** What was scored, where the end of the epoch has changed the course since; the checkpoint `best` is made of it. */
  readonly scored?: CheckpointContents;
  /** The architecture as it is now, for a search. */
  readonly genotype?: Genotype;
}

/** A kind of run: what a step does, and what happens after an epoch. Search and training are courses. */
export interface Course {
  /** Epochs of the whole run as known now; a one-stage search that ends early makes it smaller. */
  readonly epochCount: number;
  readonly stepCount: number;
  /** Word for the progress line, such as "search". */
  readonly phase: string;
  /** Seconds that its steps have waited for images so far. */
  readonly waitedSeconds: number;
  learningRate(epoch: number): number;
  /** @throws IstaError RUN_DIVERGED */
  step(epoch: number, index: number): Promise<BatchFigures>;
  /** Null when `stop` asked to end before anything was changed: the epoch's end is repeated on resumption. */
  endEpoch(epoch: number, figures: EpochFigures, stop: () => boolean): Promise<EpochOutcome | null>;
  /** Everything of the course that a resumed run needs. */
  save(): CheckpointContents;
}

const wholeNumber = z.int().min(0);

const sumsSchema = z.object({ lossSum: z.number(), correct: wholeNumber, images: wholeNumber });

const positionSchema = z.object({
  /** Epochs that are complete. */
  epoch: wholeNumber,
  /** Steps of the present epoch that are complete. */
  step: wholeNumber,
  lossSum: z.number(),
  correct: wholeNumber,
  images: wholeNumber,
  epochSeconds: z.number(),
  /** Part of them in which the steps waited for images. */
  epochWaitSeconds: z.number(),
  /** Seconds of computing since the run began. */
  totalSeconds: z.number(),
  /** Processor time since the run began; null where an earlier program, which did not count it, began the run. */
  processorSeconds: z.number().nullable().default(null),
  bestScore: z.number().nullable(),
  /** Steps since the run began; an earlier program did not count them. */
  totalSteps: wholeNumber.default(0),
  /** Sums over the steps since the last row of steps.jsonl. */
  sinceRow: sumsSchema.default({ lossSum: 0, correct: 0, images: 0 }),
});

/** Where a run is, saved with every checkpoint. */
export type Position = z.output<typeof positionSchema>;

export const startPosition = (): Position => ({
  epoch: 0,
  step: 0,
  lossSum: 0,
  correct: 0,
  images: 0,
  epochSeconds: 0,
  epochWaitSeconds: 0,
  totalSeconds: 0,
  processorSeconds: 0,
  bestScore: null,
  totalSteps: 0,
  sinceRow: { lossSum: 0, correct: 0, images: 0 },
});

export interface LoopOptions {
  readonly run: RunDirectory;
  readonly observer: Observer;
  /** Whether the user asked to stop; looked at after every step. */
  readonly stop: () => boolean;
  /** Minutes between checkpoints inside an epoch; 0 = only after each epoch. */
  readonly saveEvery: number;
  /** Checkpoints of epochs that are kept besides `last` and `best`. */
  readonly keepCheckpoints: number;
  /** Where steps and epochs are shown besides the records; null for nowhere. */
  readonly board?: Board | null;
  /** Steps between rows of steps.jsonl; 0 = none. */
  readonly logEvery?: number;
  /** Processor time since the run began, as it is now; null where that is not known. */
  readonly processorSeconds: () => number | null;
  /** Looks whether validation accuracies are above chance; null where that is not asked. */
  readonly watch?: ChanceWatch | null;
}

/** The event loop gets its turn, so that signals, timers and loaders live. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const seconds = (): number => performance.now() / 1000;

function figuresOf(position: Position): EpochFigures {
  const images = Math.max(1, position.images);
  return {
    loss: position.lossSum / images,
    accuracy: position.correct / images,
    images: position.images,
    seconds: position.epochSeconds,
  };
}

function rowOf({ epoch, totalSteps, sinceRow }: Position, learningRate: number): StepRow {
  const { lossSum, correct, images } = sinceRow;
  return { epoch, step: totalSteps, loss: lossSum / images, accuracy: correct / images, learningRate };
}

function epochLine(
  record: JsonObject & EpochFigures & { epoch: number; learningRate: number },
  epochs: number,
): string {
  const { epoch, loss, accuracy, learningRate, seconds, validationAccuracy } = record;
  const parts = [
    `epoch ${epoch + 1}/${epochs}`,
    `loss ${loss.toFixed(4)}`,
    `accuracy ${formatPercent(accuracy, 1)}`,
  ];
  if (typeof validationAccuracy === "number")
    parts.push(`validation ${formatPercent(validationAccuracy, 1)}`);
  return [...parts, `lr ${learningRate.toPrecision(3)}`, formatDuration(seconds)].join("  ");
}

/** A saved position read back. @throws IstaError CHECKPOINT_DAMAGED */
export function readPosition(value: unknown): Position {
  const found = positionSchema.safeParse(value ?? {});
  if (found.success) return found.data;
  const [{ path }] = found.error.issues;
  const key = String(path[0] ?? "");
  const got = JSON.stringify((value as Record<string, unknown> | null)?.[key])?.slice(0, 40);
  throw new IstaError(
    "CHECKPOINT_DAMAGED",
    `checkpoint: expected a number that can be at position.${key}, got ${got}`,
  );
}

/**
 * Processes that make the same steps of the same numbers have the same weights, to the bit. What makes other ones, such as a method that
 * does not take its gradients by `batchGradients`, is found at the end of an epoch.
 * @throws IstaError PROCESSES_DIFFER
 */
function requireSameWeights(course: Course): void {
  if (processCount() === 1) return;
  const digest = createHash("sha256");
  for (const [group, tensors] of Object.entries(course.save().tensors))
    for (const [name, { data }] of tensors) {
      digest.update(`${group} ${name}:`);
      digest.update(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    }
  requireSame(
    "weights",
    digest.digest("hex"),
    "this method, or these machines, cannot compute one run together: run it in one process",
  );
}

/** Says where in the run memory was missing, and what to do. */
function withPlace(error: unknown, phase: string, { epoch, step }: Position): unknown {
  if (!(error instanceof IstaError) || error.code !== "ENGINE_OUT_OF_MEMORY") return error;
  return new IstaError(
    error.code,
    `${phase}: step ${step + 1} of epoch ${epoch + 1}: ${error.message}; the last checkpoint is as it was: end other programs and go on with --resume, or start again with a smaller --batch-size`,
    { cause: error },
  );
}

/**
 * Runs the course from `position` to its end. Every epoch is recorded and saved; inside epochs a checkpoint is made
 * every `saveEvery` minutes and when the run is stopped.
 * @throws IstaError FILE_* where something of it cannot be written even at the end; RUN_GONE, RUN_DIVERGED
 * @returns whether the course came to its end or was stopped; `position` is where it is then
 */
export async function runCourse(
  course: Course,
  position: Position,
  {
    run,
    observer,
    stop,
    saveEvery,
    keepCheckpoints,
    processorSeconds,
    watch = null,
    board = null,
    logEvery = 0,
  }: LoopOptions,
): Promise<"finished" | "interrupted"> {
  const contents = ({ tensors, state } = course.save()): CheckpointContents => {
    return {
      tensors,
      state: { position: { ...position, processorSeconds: processorSeconds() }, course: state },
    };
  };
  const save = (name: string, saved?: CheckpointContents): void => {
    if (isFirst() && run.saveCheckpoint(name, contents(saved))) observer.checkpoint?.(name);
  };
  const end = <Ended extends "finished" | "interrupted">(ended: Ended): Ended => {
    // There is no next time: what is still missing is an error.
    run.requireWritten();
    return ended;
  };
  const interrupt = (): "interrupted" => {
    save("last");
    return end("interrupted");
  };
  let saved = seconds();
  let images = 0;

  while (position.epoch < course.epochCount) {
    while (position.step < course.stepCount) {
      if (stop()) return interrupt();
      const started = seconds();
      const waitedBefore = course.waitedSeconds;
      const { loss, correct, count } = await course.step(position.epoch, position.step).catch((error) => {
        throw withPlace(error, course.phase, position);
      });
      const taken = seconds() - started;
      position.step += 1;
      position.lossSum += loss * count;
      position.correct += correct;
      position.images += count;
      position.epochSeconds += taken;
      position.epochWaitSeconds += course.waitedSeconds - waitedBefore;
      position.totalSeconds += taken;
      position.totalSteps += 1;
      images += count;
      const since = position.sinceRow;
      since.lossSum += loss * count;
      since.correct += correct;
      since.images += count;
      if (logEvery > 0 && position.totalSteps % logEvery === 0) {
        board?.step(rowOf(position, course.learningRate(position.epoch)));
        position.sinceRow = { lossSum: 0, correct: 0, images: 0 };
      }
      const { loss: meanLoss, accuracy } = figuresOf(position);
      observer.progress({
        phase: course.phase,
        epoch: position.epoch + 1,
        epochs: course.epochCount,
        step: position.step,
        steps: course.stepCount,
        loss: meanLoss,
        accuracy,
        images,
      });
      await breathe();
      if (saveEvery > 0 && seconds() - saved > 60 * saveEvery && position.step < course.stepCount) {
        save("last");
        saved = seconds();
      }
    }
    const figures = figuresOf(position);
    const started = seconds();
    const rate = course.learningRate(position.epoch);
    const phase = course.phase;
    const outcome = await course.endEpoch(position.epoch, figures, stop);
    if (outcome === null) return interrupt();
    requireSameWeights(course);
    position.totalSeconds += seconds() - started;
    const record = {
      epoch: position.epoch,
      // As known now: a one-stage search that ends early makes it fewer.
      epochs: course.epochCount,
      phase,
      loss: figures.loss,
      accuracy: figures.accuracy,
      learningRate: rate,
      steps: position.step,
      images: figures.images,
      seconds: figures.seconds,
      imagesPerSecond: figures.images / figures.seconds,
      dataWaitSeconds: position.epochWaitSeconds,
      residentBytes: memoryUsage().rss,
      ...outcome.record,
    };
    observer.line(epochLine(record, course.epochCount));
    for (const line of outcome.lines) observer.line(line);
    const { validationAccuracy } = outcome.record;
    const warning = typeof validationAccuracy === "number" ? watch?.note(validationAccuracy) : null;
    if (warning) observer.warn(warning);
    // Before the record: whoever follows the records finds the cells of each.
    if (outcome.genotype !== undefined) run.writeGenotype(outcome.genotype, position.epoch);
    run.appendRecord(record);
    await board?.epoch(position.totalSteps, record);
    observer.epoch?.(record);
    const { bestScore } = position;
    const better = outcome.score !== null && (bestScore === null || outcome.score > bestScore);
    if (better) position.bestScore = outcome.score;
    const finishedEpoch = position.epoch;
    Object.assign(position, {
      epoch: position.epoch + 1,
      step: 0,
      lossSum: 0,
      correct: 0,
      images: 0,
      epochSeconds: 0,
      epochWaitSeconds: 0,
    });
    // `last` comes last: a run that is killed in between does the epoch again, and these with it.
    if (better) save("best", outcome.scored);
    if (keepCheckpoints > 0) {
      save(epochName(finishedEpoch));
      run.pruneEpochCheckpoints(keepCheckpoints);
    }
    save("last");
    saved = seconds();
  }
  return end("finished");
}
