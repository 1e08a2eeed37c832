// What a run's figures say, in a sentence each: whether it moves, whether it overfits, how far it is.
import { formatDuration, formatPercent } from "../../base/format.js";
import type { Point, RunDetail, RunRow } from "../types.js";

export interface Verdict {
  readonly title: string;
  readonly words: string;
  /** More of it, in small print. */
  readonly note: string;
  /** "good" and "bad" are said in words, too: colour is never all there is. */
  readonly tone: "plain" | "good" | "bad";
}

export type Kept = readonly (readonly number[])[];

/** The architecture that a search would end with after an epoch. */
export const answerOf = ({ answer, support }: Point): Kept | undefined => answer ?? support;

/** Connections of each choice that the one has and the other has not. */
export const changesBetween = (before: Kept, after: Kept): number[] =>
  after.map((kept, choice) => kept.filter((one) => !before[choice]?.includes(one)).length);

/** Connections that are new after each epoch, choices together; 0 for the first. */
export function changesOf(points: readonly Point[], which = answerOf): number[] {
  return points.map((point, index) => {
    const after = which(point);
    const before = index === 0 ? undefined : which(points[index - 1]);
    if (after === undefined || before === undefined) return 0;
    return changesBetween(before, after).reduce((sum, count) => sum + count, 0);
  });
}

const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Each epoch trains a network of its own in these. */
const separateNetworks = ["ista-trials", "random"];

/** Nothing is chosen in these before the last epoch is over. */
export const choosesInTheEnd = (row: RunRow): boolean => row.method === "spos";

/** Epochs at the end in which a change counts as moving. */
const recent = (count: number): number => Math.max(3, Math.ceil(count / 10));

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function searchMoves(points: readonly Point[], running: boolean): Verdict {
  const title = "Is it moving?";
  const changes = changesOf(points);
  const count = points.length;
  const last = changes.findLastIndex((change) => change > 0);
  const frozen = points.at(-1)?.choices?.filter((one) => one.frozen === true).length ?? 0;
  const all = points.at(-1)?.choices?.length ?? 0;
  const settled = frozen > 0 ? ` ${frozen} of ${all} nodes are frozen.` : "";
  const total = changes.reduce((sum, change) => sum + change, 0);
  const note = `${plural(total, "change")} of connections in ${plural(count, "epoch")}.${settled}`;
  if (last < 0) {
    const early = count <= recent(count);
    const words = early ? "No change of the cells yet" : "It has never moved: the first cells still stand";
    return { title, words, note, tone: early || frozen > 0 ? "plain" : "bad" };
  }
  const window = Math.min(recent(count), count);
  const latest = changes.slice(-window).reduce((sum, change) => sum + change, 0);
  if (latest > 0) {
    const words = `${plural(latest, "connection")} changed in the last ${plural(window, "epoch")}`;
    return { title, words: `${running ? "Yes: " : "To the end: "}${words}`, note, tone: "plain" };
  }
  return {
    title,
    words: `Settled: the cells stand since epoch ${points[last].epoch + 1}`,
    note,
    tone: "good",
  };
}

function trainingMoves(points: readonly Point[]): Verdict {
  const title = "Is it learning?";
  const losses = points.map(({ n }) => n.loss).filter((value) => value !== undefined);
  if (losses.length < 2) return { title, words: "Too early to tell", note: "", tone: "plain" };
  const window = Math.min(recent(losses.length), losses.length >> 1);
  const [before, after] = [losses.slice(-2 * window, -window), losses.slice(-window)].map(mean);
  const note = `Training loss ${losses[0].toFixed(3)} in the first epoch, ${losses[losses.length - 1].toFixed(3)} in the last.`;
  const falls = after < before * 0.995;
  const words = falls ? "Yes: the training loss falls" : "The training loss has stopped falling";
  return { title, words, note, tone: falls ? "good" : "plain" };
}

/** Whether the search changes its answer, or the training lowers its loss. */
export function movement(row: RunRow, points: readonly Point[]): Verdict {
  const { kind, state } = row;
  if (points.length === 0)
    return { title: "Is it moving?", words: "No epoch is over yet", note: "", tone: "plain" };
  if (kind === "search" && choosesInTheEnd(row)) {
    const note = "Cells are chosen after the last epoch, among the networks that share its weights.";
    return { ...trainingMoves(points), note };
  }
  const searched = points.filter((point) => answerOf(point) !== undefined);
  return kind === "search" && searched.length > 0
    ? searchMoves(searched, state === "running")
    : trainingMoves(points);
}

/** Whether held-out figures get worse while those of the training get better. */
export function overfitting({ method }: RunRow, points: readonly Point[]): Verdict {
  const title = "Does it overfit?";
  if (separateNetworks.includes(method ?? ""))
    return {
      title,
      words: "Not a question here",
      note: "Every epoch is a short training of another network.",
      tone: "plain",
    };
  const both = points.filter(({ n }) => n.validationLoss !== undefined && n.loss !== undefined);
  if (both.length === 0) {
    const words = points.length === 0 ? "No epoch is over yet" : "Unknown: nothing is held out";
    const note = points.length === 0 ? "" : "--validation-fraction above 0 tells.";
    return { title, words, note, tone: "plain" };
  }
  if (both.length < 3) return { title, words: "Too early to tell", note: "", tone: "plain" };
  const heldOut = both.map(({ n }) => n.validationLoss);
  const best = heldOut.indexOf(Math.min(...heldOut));
  const now = mean(heldOut.slice(-Math.max(1, Math.min(3, heldOut.length - 1 - best))));
  const trained = both.map(({ n }) => n.loss);
  const last = trained.length - 1;
  const { accuracy, validationAccuracy } = both[last].n;
  const gap = 100 * ((accuracy ?? 0) - (validationAccuracy ?? 0));
  const gapWords =
    accuracy === undefined || validationAccuracy === undefined
      ? ""
      : `Last: ${formatPercent(accuracy, 1)} of training and ${formatPercent(validationAccuracy, 1)} of held-out images.`;
  if (best < last && now > 1.03 * heldOut[best] && trained[last] < 0.97 * trained[best])
    return {
      title,
      words: `Yes, since epoch ${both[best].epoch + 1}: held-out loss up from ${heldOut[best].toFixed(3)} to ${now.toFixed(3)}`,
      note: gapWords,
      tone: "bad",
    };
  if (gap > 10)
    return {
      title,
      words: `Somewhat: ${gap.toFixed(0)} points between training and held-out`,
      note: `The held-out loss does not rise yet. ${gapWords}`,
      tone: "plain",
    };
  return { title, words: "No sign of it", note: gapWords, tone: "good" };
}

const stateWords: Readonly<Record<RunRow["state"], string>> = {
  running: "Running",
  finished: "Finished",
  interrupted: "Interrupted, can go on",
  failed: "Failed",
  stopped: "Stopped, can go on",
  unreadable: "Cannot be read",
};

/** @param now milliseconds since 1970 */
export function secondsLeftNow(row: RunRow, received: number, now: number): number | null {
  return row.secondsLeft === null ? null : Math.max(0, row.secondsLeft - (now - received) / 1000);
}

/** How far it is and how long it will take. */
export function progress(row: RunRow, detail: RunDetail | null, left: number | null, now: number): Verdict {
  const of = row.epochs === null ? "" : ` of ${row.epochs}`;
  const epochs = `epoch ${row.epoch}${of}`;
  const seconds = detail?.summary?.seconds;
  const taken = typeof seconds === "number" ? `Took ${formatDuration(seconds)}.` : "";
  if (row.state !== "running")
    return {
      title: "How far is it?",
      words: `${stateWords[row.state]}, ${row.state === "finished" ? `${plural(row.epoch, "epoch")}` : epochs}`,
      note: row.problem ?? taken,
      tone: row.state === "finished" ? "good" : "bad",
    };
  const silent = row.changed === null ? 0 : (now - row.changed) / 1000;
  const pace = row.epochs === null || left === null ? null : left / Math.max(1, row.epochs - row.epoch);
  const isLate = pace !== null && silent > 60 && silent > 5 * pace;
  const end = left === null ? "" : ` Ends about ${timeOf(now + 1000 * left, now)}.`;
  return {
    title: "How long will it take?",
    words:
      left === null
        ? "Running, its first epoch"
        : row.epoch >= (row.epochs ?? 0)
          ? "In its last measurements"
          : `About ${formatDuration(Math.max(1, left))} left`,
    note: isLate
      ? `${epochs}. Nothing was written for ${formatDuration(silent)}.`
      : `${epochs[0].toUpperCase()}${epochs.slice(1)}.${end}`,
    tone: isLate ? "bad" : "plain",
  };
}

function timeOf(then: number, now: number): string {
  const date = new Date(then);
  const time = date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  const sameDay = date.toDateString() === new Date(now).toDateString();
  return sameDay ? time : `${date.toLocaleDateString(undefined, { weekday: "short" })} ${time}`;
}

/** What came of it. */
export function outcome(row: RunRow, detail: RunDetail | null, points: readonly Point[]): Verdict {
  const title = row.kind === "train" ? "How good is it?" : "What has it found?";
  const held = points
    .map(({ epoch, n }) => ({ epoch, value: n.validationAccuracy }))
    .filter((one) => one.value !== undefined);
  const best = held.reduce<(typeof held)[number] | null>(
    (top, one) => (top === null || one.value > top.value ? one : top),
    null,
  );
  const found =
    row.kind === "train" ? (row.found === null ? "" : `Cells of ${row.found}.`) : (row.found ?? "");
  const known = Object.entries(points.at(-1)?.known ?? {}).map(([name, value]) => `${name} ${value} %`);
  const gap = detail?.summary?.projectionGap;
  const more = [
    ...(known.length > 0 ? [`In the table: ${known.join(", ")}.`] : []),
    ...(typeof gap === "number" ? [`Projection gap ${(100 * gap).toFixed(1)} points.`] : []),
  ];
  const note = [found, ...more].filter((one) => one !== "").join(" · ");
  if (row.testAccuracy !== null)
    return { title, words: `${formatPercent(row.testAccuracy)} of the test images`, note, tone: "good" };
  const ended = detail?.summary?.validationAccuracy;
  // Epochs are of other networks than the one that was chosen.
  const ofOthers = separateNetworks.includes(row.method ?? "") || choosesInTheEnd(row);
  if (ofOthers && typeof ended === "number" && best !== null) {
    const top = `Best epoch: ${formatPercent(best.value, 1)} (${best.epoch + 1}).`;
    const words = `${formatPercent(ended, 1)} of the held-out images`;
    return { title, words, note: `${note} · ${top}`, tone: "plain" };
  }
  if (best !== null)
    return {
      title,
      words: `${formatPercent(best.value, 1)} of the held-out images at best (epoch ${best.epoch + 1})`,
      note,
      tone: "plain",
    };
  if (row.accuracy !== null)
    return { title, words: `${formatPercent(row.accuracy, 1)} of the training images`, note, tone: "plain" };
  return { title, words: "Nothing yet", note, tone: "plain" };
}
