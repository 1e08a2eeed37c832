// Which network each trial trains: recovered from perturbed codes that the losses so far speak for. No tensors.
import { IstaError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { type Choice, type Selection, type Space, selectionKey } from "../../space/space.js";
import { recoveryOptions } from "../../sparse/codes.js";
import { fitLossModel, type LossModel, rankScores } from "../../sparse/loss-model.js";
import { drawMeasurement, type Measurement, withSharedKinds } from "../../sparse/measurement.js";
import { type Recovery, type RecoveryOptions, recover } from "../../sparse/recovery.js";
import { canBeDistinct, codedChoices } from "./coded-choices.js";
import type { TrialOptions } from "./options.js";

/** A network that was trained from its first weights on, and its held-out losses: one for each depth. */
export interface Trial {
  readonly selection: Selection;
  readonly losses: readonly number[];
}

/** Trials of equal length. The first round explores; in each later one, half as many networks are trained twice as long. */
export interface Round {
  readonly trials: number;
  /** How many times as long as in the first round its networks are trained. */
  readonly length: number;
}

export interface TrialTask {
  readonly space: Space;
  readonly seed: number;
  /** Trials of the first round. */
  readonly epochs: number;
  /** Whether a network that keeps these candidates is within the size budget. */
  fits(selection: Selection): boolean;
  /** Of the network that keeps these candidates, for one image. */
  multiplyAdds(selection: Selection): number;
}

/** Draws for one network before the budget is taken to be out of reach. */
const mostDraws = 10_000;
/** Draws for a network that was not tried yet, before one is tried that was. */
const drawsForNew = 50;
/** Draws from which the finalists are taken, besides all that was tried. */
const drawsForFinalists = 400;

export class TrialPlan {
  readonly rounds: readonly Round[];
  readonly measurements: readonly Measurement[];
  private readonly recovery: readonly RecoveryOptions[];
  private finalists: { readonly after: Trial; readonly selections: readonly Selection[] } | null = null;

  constructor(
    private readonly task: TrialTask,
    private readonly options: TrialOptions,
  ) {
    const { space, seed, epochs } = task;
    const { finalists, finalRounds, measurement, compressedLength } = options;
    const rounds = [{ trials: epochs, length: 1 }];
    for (let round = 1; round <= finalRounds; round++) {
      const trials = Math.floor(finalists / 2 ** (round - 1));
      if (trials >= 2) rounds.push({ trials, length: 2 ** round });
    }
    this.rounds = rounds;
    const coded = codedChoices(space, (choice) => options.distinctPredecessors && canBeDistinct(choice));
    this.measurements = coded.map(({ id, predecessors }, index) => {
      const stream = RandomStream.named(seed, `measurement/${id}`);
      const own = drawMeasurement(measurement, compressedLength, predecessors.length, stream);
      return options.sharedOperations === 0 ? own : this.sharing(own, space.choices[index]);
    });
    this.recovery = coded.map((choice) => ({
      // The path does not depend on lambda.
      ...recoveryOptions(choice, { method: "path", lambda: 0 }),
      nonnegative: true,
    }));
  }

  /** What an operation is worth is much the same in all nodes of a cell. */
  private sharing(own: Measurement, { group, candidates }: Choice): Measurement {
    const ofGroup = this.task.space.choices.filter((choice) => choice.group === group);
    const operations = [
      ...new Set(ofGroup.flatMap((one) => one.candidates.map(({ operation }) => operation))),
    ];
    return withSharedKinds(own, {
      kinds: candidates.map(({ operation }) => operations.indexOf(operation)),
      count: operations.length,
      share: this.options.sharedOperations,
      group,
    });
  }

  get trialCount(): number {
    return this.rounds.reduce((sum, { trials }) => sum + trials, 0);
  }

  /** The round of a trial, and its number in it; both from 0. */
  placeOf(number: number): { round: number; position: number } {
    let position = number;
    for (const [round, { trials }] of this.rounds.entries()) {
      if (position < trials) return { round, position };
      position -= trials;
    }
    throw new RangeError(`trial plan: expected a trial below ${this.trialCount}, got ${number}`);
  }

  /**
   * The network of the trial after those of the history; the same for the same history.
   * @throws IstaError BUDGET_IMPOSSIBLE
   */
  next(history: readonly Trial[]): Selection {
    const { round, position } = this.placeOf(history.length);
    if (round > 0) return this.contestants(history, round)[position];
    const { warmupTrials, perturbation } = this.options;
    const stream = RandomStream.named(this.task.seed, `trial-${history.length}`);
    const model = history.length < warmupTrials ? null : this.model(history);
    const tried = new Set(history.map(({ selection }) => selectionKey(selection)));
    let selection = this.drawn(model, perturbation, stream);
    for (let draw = 1; draw < drawsForNew && tried.has(selectionKey(selection)); draw++)
      // Ever farther away, where all that is near was tried.
      selection = this.drawn(model, perturbation + draw / 10, stream);
    return selection;
  }

  /** The codes that the trials of the first round speak for. */
  model(history: readonly Trial[]): LossModel {
    const trials = history.slice(0, this.rounds[0].trials);
    const supports = trials.map(({ selection }) => selection);
    return fitLossModel(this.measurements, supports, this.scores(trials));
  }

  /**
   * The higher, the better: the mean over the depths of what the ranks of the losses say, and with --capacity-weight what the rank of
   * the size says. A shallow network tells what the architecture can express, a deep one whether it can be trained when there is much of
   * it; neither is trained long enough to show what its capacity is worth.
   */
  private scores(trials: readonly Trial[]): Float64Array {
    const { capacityWeight } = this.options;
    const depths = [...(trials[0]?.losses.keys() ?? [])];
    const parts = depths.map((depth) => rankScores(trials.map(({ losses }) => losses[depth])));
    const scores = new Float64Array(trials.length);
    for (const part of parts)
      for (const [index, score] of part.entries()) scores[index] += score / parts.length;
    if (capacityWeight === 0) return scores;
    const sizes = trials.map(({ selection }) => -this.task.multiplyAdds(selection));
    for (const [index, score] of rankScores(sizes).entries()) scores[index] += capacityWeight * score;
    return scores;
  }

  /** The sparse codes that are recovered from compressed ones. */
  recovered(codes: readonly Float64Array[]): Recovery[] {
    return codes.map((code, choice) => recover(this.measurements[choice], code, this.recovery[choice]));
  }

  /**
   * The architecture that the history speaks for: of those trained longest the one of the lowest losses; before, the one recovered from
   * the codes, or of so few trials that codes are still drawn evenly, the best of them.
   */
  answer(history: readonly Trial[]): Selection {
    const round = history.length === 0 ? 0 : this.placeOf(history.length - 1).round;
    if (round > 0) return this.ranked(history, round)[0].selection;
    if (history.length === 0) return this.next(history);
    if (history.length < this.options.warmupTrials) return this.ranked(history, 0)[0].selection;
    const found = this.recovered(this.model(history).mean).map(({ support }) => support);
    return this.task.fits(found) ? found : this.ranked(history, 0)[0].selection;
  }

  /** The trials of a round so far, the best first. */
  private ranked(history: readonly Trial[], round: number): Trial[] {
    const start = this.rounds.slice(0, round).reduce((sum, { trials }) => sum + trials, 0);
    const trials = history.slice(start, start + this.rounds[round].trials);
    const scores = this.scores(trials);
    return [...trials.keys()].sort((a, b) => scores[b] - scores[a]).map((index) => trials[index]);
  }

  /** What a later round compares. */
  private contestants(history: readonly Trial[], round: number): readonly Selection[] {
    const count = this.rounds[round].trials;
    if (round > 1)
      return this.ranked(history, round - 1)
        .slice(0, count)
        .map(({ selection }) => selection);
    // Thousands of recoveries, the same ones for all trials of the round.
    const last = history[this.rounds[0].trials - 1];
    if (this.finalists?.after !== last)
      this.finalists = { after: last, selections: this.bestScored(history, count) };
    return this.finalists.selections;
  }

  /** Networks of the highest scores among all that was tried and what perturbed codes recover. */
  private bestScored(history: readonly Trial[], count: number): Selection[] {
    const model = this.model(history);
    const stream = RandomStream.named(this.task.seed, "finalists");
    const pool = new Map<string, Selection>();
    const add = (selection: Selection) => pool.set(selectionKey(selection), selection);
    const recovered = this.recovered(model.mean).map(({ support }) => support);
    if (this.task.fits(recovered)) add(recovered);
    for (const { selection } of history.slice(0, this.rounds[0].trials)) add(selection);
    const scale = this.options.perturbation || 1;
    for (let draw = 0; draw < drawsForFinalists || pool.size < count; draw++) {
      if (draw === mostDraws) break;
      add(this.drawn(model, scale * (1 + draw / drawsForFinalists), stream));
    }
    const scored = [...pool.values()].map((selection) => ({ selection, score: model.score(selection) }));
    const chosen = scored.sort((a, b) => b.score - a.score).slice(0, count);
    // Small spaces have fewer networks than there are places.
    return Array.from({ length: count }, (_, place) => chosen[place % chosen.length].selection);
  }

  /** Recovers a network within the budget from codes that are perturbed, or, without a model, drawn evenly from all directions. */
  private drawn(model: LossModel | null, scale: number, stream: RandomStream): Selection {
    for (let draw = 0; draw < mostDraws; draw++) {
      // Where hardly any network fits, the codes have to go farther.
      const codes = model
        ? model.perturbed(scale * (1 + draw / 100), stream)
        : this.measurements.map(({ rows }) => Float64Array.from({ length: rows }, () => stream.normal()));
      const selection = this.recovered(codes).map(({ support }) => support);
      if (this.task.fits(selection)) return selection;
      if (model !== null && scale === 0) return this.drawn(model, 0.1, stream);
    }
    throw new IstaError(
      "BUDGET_IMPOSSIBLE",
      `trials: no network within the size budget among ${mostDraws} that were recovered; raise the budget or take fewer cells or channels`,
    );
  }
}
