// Search by trials: compressed codes learn from the held-out losses of networks that they recover, each trained from its first weights.
//
// A derivative of the loss says nothing of a candidate that is not in the network, and weights that many networks share are trained too
// little to tell them apart. A short training of one network says something of the whole of it; see sparse/loss-model.ts for how the
// codes learn from that. Every network satisfies the sparsity constraint in every update.
//
// A trial trains its architecture as a shallow network, and, where deepCells says so, as a deep one after that: each is an epoch.
import { z } from "zod";
import { IstaError } from "../../base/errors.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { controlledScore } from "../../course/control.js";
import { batchGradients, descend } from "../../course/descent.js";
import { type Evaluation, evaluate } from "../../course/evaluate.js";
import { cosine } from "../../course/schedules.js";
import { recomputeStatistics } from "../../course/statistics.js";
import { averagedSource, type BatchSource, firstImages } from "../../data/index.js";
import { Sgd } from "../../engine/sgd.js";
import { scope, type Tensor } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { JsonObject } from "../../run/records.js";
import { sizeOfSelection } from "../../space/counts.js";
import {
  type NetworkDescription,
  type Selection,
  superNetwork,
  validateSelection,
} from "../../space/space.js";
import type { ConcludeControl, EpochReport, Search, SearchContext } from "../method.js";
import { selectionLines } from "../report.js";
import type { TrialOptions } from "./options.js";
import { type Trial, TrialPlan } from "./trial-plan.js";

const stateSchema = z.object({
  trials: z.array(
    z.object({ selection: z.array(z.array(z.int().min(0))), losses: z.array(z.number()).min(1) }),
  ),
  /** Of the present trial, so far. */
  losses: z.array(z.number()),
  /** Trials of the first round, with which the run was saved. */
  exploring: z.int().min(1),
  figures: z.object({ loss: z.number(), correct: z.int().min(0), count: z.int().min(1) }).nullable(),
  diverged: z.boolean(),
});

/** Of a network that has none; losses count by their ranks alone. */
const worstLoss = 1e9;

/** A depth at which every architecture is tried. */
interface Depth {
  readonly name: string;
  readonly shape: SearchContext["shape"];
  readonly training: BatchSource;
  /** Of the first round. */
  readonly steps: number;
  /** Side of the squares of pixels that are averaged. */
  readonly pooling: number;
}

export class TrialSearch implements Search {
  private readonly config: SearchContext["config"] & TrialOptions;
  private readonly plan: TrialPlan;
  private readonly depths: readonly Depth[];
  private history: readonly Trial[] = [];
  /** Of the present trial, so far. */
  private losses: readonly number[] = [];
  /** The network of the trial that goes on; after the last one, of that. */
  private tried: Selection;
  private answer: Selection;
  private held: Network;
  /** Of the last step of the present trial that could be taken. */
  private figures: BatchFigures | null = null;
  /** Whether the present trial has diverged. */
  private diverged = false;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE, DATA_SIZE */
  constructor(private readonly context: SearchContext) {
    this.config = context.config as SearchContext["config"] & TrialOptions;
    const { space, fits, sizes } = context;
    const { seed, epochs } = this.config;
    const multiplyAdds = (selection: Selection) => sizeOfSelection(sizes, selection).multAdds;
    this.plan = new TrialPlan({ space, seed, epochs, fits, multiplyAdds }, this.config);
    this.tried = this.plan.next([]);
    this.answer = this.tried;
    this.depths = this.allDepths();
    // A shape that cannot be is found now, not when the first deep network is made.
    for (const { shape } of this.depths) space.graph(this.description(shape, this.tried));
    this.held = this.newNetwork(this.depths[0], this.tried);
  }

  private allDepths(): Depth[] {
    const { shape, sources } = this.context;
    const { trialSteps, deepCells, deepSteps, deepPooling } = this.config;
    const { training } = sources;
    const shallow: Depth = { name: "trial", shape, training, steps: trialSteps, pooling: 1 };
    if (deepCells === 0) return [shallow];
    const averaged = averagedSource(training, deepPooling);
    const { height: imageHeight, width: imageWidth } = averaged;
    const deepShape = { ...shape, cells: deepCells, imageHeight, imageWidth };
    const deep = { shape: deepShape, training: averaged, steps: deepSteps, pooling: deepPooling };
    return [shallow, { name: "deep trial", ...deep }];
  }

  private description(shape: SearchContext["shape"], selection: Selection): NetworkDescription {
    const { space } = this.context;
    return superNetwork(space, shape, space.norms.twoStageSuperNet, selection);
  }

  /** From the same first weights in every trial, so that trials differ in nothing but their architecture. */
  private newNetwork({ shape }: Depth, selection: Selection): Network {
    const { seed, recompute } = this.config;
    return new Network(this.description(shape, selection), { seed, device: this.context.device, recompute });
  }

  get network(): Network {
    return this.held;
  }

  private get round(): number {
    return this.plan.placeOf(Math.min(this.history.length, this.plan.trialCount - 1)).round;
  }

  /** At which the present trial is; after the last trial, that of the network that is still there. */
  private get depth(): Depth {
    return this.history.length < this.plan.trialCount ? this.depths[this.losses.length] : this.depths.at(-1)!;
  }

  get phase(): string {
    const { round, depth } = this;
    return round === 0 ? depth.name : `final round ${round}/${this.plan.rounds.length - 1}`;
  }

  /** One for each depth of each trial. */
  get epochCount(): number {
    return this.plan.trialCount * this.depths.length;
  }

  get stepCount(): number {
    return this.depth.steps * this.plan.rounds[this.round].length;
  }

  get selection(): Selection {
    return this.answer;
  }

  get reachable(): Selection {
    return this.tried;
  }

  /** At the first step of a trial. */
  learningRate(): number {
    return this.config.learningRate;
  }

  /** Every candidate counts with 1. */
  weights(): ReadonlyMap<string, Tensor> {
    return new Map();
  }

  /** There is no super-net that something could be kept of. */
  projected(): null {
    return null;
  }

  /** A trial that diverges is given up and counts as the worst: one bad network must not end the search. */
  async step(epoch: number, index: number): Promise<BatchFigures> {
    const { sgd } = this.context;
    try {
      if (!this.diverged)
        this.figures = await this.trainStep(this.depth, this.network, sgd, { epoch, index }, this.stepCount);
    } catch (error) {
      // Where not even the first step works, no trial will.
      if (!(error instanceof IstaError && error.code === "RUN_DIVERGED") || this.figures === null)
        throw error;
      const { figures } = this;
      // Its weights are no numbers any more, and are needed for nothing.
      this.startNetwork();
      this.figures = figures;
      this.diverged = true;
    }
    return this.figures!;
  }

  /** All trials see the same batches in the same order, and have a cosine of their own. */
  private async trainStep(
    { training }: Depth,
    network: Network,
    sgd: Sgd,
    { epoch, index }: { epoch: number; index: number },
    steps: number,
  ): Promise<BatchFigures> {
    const { config } = this;
    const { batchCount } = training;
    const batch = await training.batch(Math.floor(index / batchCount), index % batchCount);
    const learningRate = cosine(index, steps, config.learningRate, config.finalLearningRate);
    const place = { epoch, index, learningRate };
    return scope(() => {
      const parameters = [...network.trainable.values()];
      const forward = { training: true };
      const { figures, gradients } = batchGradients(network, batch, forward, config, parameters, place);
      descend(network, sgd, gradients, { ...config, learningRate }, place);
      return figures;
    });
  }

  async evaluate(source: BatchSource, stop?: () => boolean): Promise<Evaluation | null> {
    if (this.diverged)
      return { count: source.exampleCount, loss: Number.NaN, top1: 0, top5: 0, confusion: [], seconds: 0 };
    return this.judged(this.depth, this.network, source, stop);
  }

  /** By a trial of its own, such as those of the first round: the mean over its depths. */
  async tryOut(selection: Selection, stop: () => boolean): Promise<number | null> {
    let sum = 0;
    for (const depth of this.depths) {
      const accuracy = await this.accuracyAt(depth, selection, stop);
      if (accuracy === null) return null;
      sum += accuracy;
    }
    return sum / this.depths.length;
  }

  private async accuracyAt(depth: Depth, selection: Selection, stop: () => boolean): Promise<number | null> {
    const [network, sgd] = [this.newNetwork(depth, selection), new Sgd()];
    try {
      for (let index = 0; index < depth.steps; index++) {
        if (stop()) return null;
        await this.trainStep(depth, network, sgd, { epoch: 0, index }, depth.steps);
        await new Promise(setImmediate);
      }
      return (await this.judged(depth, network, this.context.sources.validation!, stop))?.top1 ?? null;
    } finally {
      network.dispose();
      sgd.dispose();
    }
  }

  /** On the first held-out images, the same ones for all trials. */
  private async judged(
    { training, pooling }: Depth,
    network: Network,
    source: BatchSource,
    stop?: () => boolean,
  ): Promise<Evaluation | null> {
    const { statisticsBatches, heldOutImages } = this.config;
    if (statisticsBatches > 0) await recomputeStatistics(network, training, statisticsBatches);
    const first = firstImages(source, heldOutImages);
    return evaluate(network, averagedSource(first, pooling), { stop });
  }

  endOfEpoch(epoch: number, found: Evaluation | null): EpochReport {
    const { space, sizes } = this.context;
    const { round, phase } = this;
    // Something is held out: the configuration was checked.
    const lost = this.diverged || !Number.isFinite(found!.loss);
    const loss = controlledScore(this.config, lost ? worstLoss : found!.loss, { epoch, index: 0 });
    const selection = this.tried;
    const before = this.answer;
    this.losses = [...this.losses, loss];
    if (this.losses.length === this.depths.length) {
      this.history = [...this.history, { selection, losses: this.losses }];
      this.losses = [];
      this.answer = this.plan.answer(this.history);
    }
    const { params, multAdds } = sizeOfSelection(sizes, selection);
    const record = {
      round,
      diverged: lost,
      choices: space.choices.map(({ name, group }, index) => ({
        choice: name,
        group,
        support: selection[index],
      })),
      // The row is about the network that was trained, not about the answer so far.
      genotype: space.toGenotype(selection),
      parameters: params,
      multiplyAdds: multAdds,
      answer: space.toGenotype(this.answer),
    };
    if (this.history.length < this.plan.trialCount) {
      if (this.losses.length === 0) this.tried = this.plan.next(this.history);
      this.startNetwork();
    }
    const lines = selectionLines(space.choices, before, this.answer);
    if (lost)
      lines.push(
        `  warning: ${phase} of epoch ${epoch + 1} diverged and counts as the worst; a lower --learning-rate may help`,
      );
    return { record, lines, ranked: false };
  }

  /** Held-out accuracy of the answer, after a trial of its own as the shallow network: it need not have been tried. */
  async conclude({ stop }: ConcludeControl): Promise<EpochReport | null> {
    const validationAccuracy = await this.accuracyAt(this.depths[0], this.answer, stop);
    return validationAccuracy === null ? null : { record: { validationAccuracy }, lines: [] };
  }

  /** Of what is tried, at the depth that comes now. */
  private startNetwork(): void {
    this.held.dispose();
    this.figures = null;
    this.diverged = false;
    this.context.sgd.retain(new Set());
    this.held = this.newNetwork(this.depth, this.tried);
  }

  save(): JsonObject {
    const trials = this.history.map(({ selection, losses }) => ({ selection, losses: [...losses] }));
    const { figures, diverged } = this;
    return {
      trials,
      losses: [...this.losses],
      exploring: this.config.epochs,
      figures: figures && { ...figures },
      diverged,
    };
  }

  /** @throws IstaError CHECKPOINT_DAMAGED, CONFIG_RESUME */
  restore(state: Readonly<Record<string, unknown>>): void {
    const found = stateSchema.safeParse(state);
    const depths = this.depths.length;
    const fits =
      found.success &&
      found.data.trials.length <= this.plan.trialCount &&
      found.data.losses.length < depths &&
      found.data.trials.every(({ losses }) => losses.length === depths);
    if (!fits)
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        `checkpoint: expected at most ${this.plan.trialCount} trials of a search by trials, each of ${depths} losses, got others`,
      );
    const { trials, losses, exploring, figures, diverged } = found.data;
    const { epochs } = this.config;
    const changed = epochs !== exploring && this.plan.rounds.length > 1;
    if (changed && trials.length >= Math.min(epochs, exploring))
      throw new IstaError(
        "CONFIG_RESUME",
        `--epochs: expected ${exploring} as before, since ${trials.length} trials are done and final rounds follow, got ${epochs}; start a new run`,
      );
    for (const { selection } of trials) validateSelection(this.context.space, selection);
    this.history = trials;
    this.tried = trials.length < this.plan.trialCount ? this.plan.next(trials) : trials.at(-1)!.selection;
    this.answer = trials.length > 0 ? this.plan.answer(trials) : this.tried;
    this.losses = losses;
    this.startNetwork();
    this.figures = figures;
    this.diverged = diverged;
  }
}
