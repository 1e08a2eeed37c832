// One-stage search (Yang et al. 2020, section 3.4): codes and weights from the same backward pass, at the target size.
//
// The super-net is the target network. Choices whose codes have settled freeze; when all are frozen the search has ended, and the
// same network, with its weights, trains on. Folding w into the batch norms (nn/absorption.ts) makes it a plain network.
import { memoryUsage } from "node:process";
import { z } from "zod";
import { IstaError } from "../../base/errors.js";
import { formatBytes } from "../../base/format.js";
import { RandomStream } from "../../base/random.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { descend } from "../../course/descent.js";
import { cosine, dropPathProbability } from "../../course/schedules.js";
import { scope } from "../../engine/tensor.js";
import { absorbWeights } from "../../nn/absorption.js";
import type { JsonObject } from "../../run/records.js";
import type { Place } from "../../space/graph.js";
import { weightsOf } from "../../sparse/codes.js";
import { allFrozen, freezeAll } from "../../sparse/freezing.js";
import type { EpochReport, Search, SearchContext } from "../method.js";
import type { IstaOptions, OneStageOptions } from "./options.js";
import { IstaSearch } from "./search.js";
import { takeTrip } from "./step.js";

/** Below this, the variance of what a node passes on drowns in the epsilon of the next batch norm (1e-5). */
const faintWeight = 0.01;

const stateSchema = z.object({
  searchEpochs: z.int().min(0).nullable(),
  // Before choices had an order of their own, nodes of a cell type.
  forced: z.array(z.union([z.int().min(0), z.object({ group: z.string(), node: z.int() })])),
  peakBytes: z.object({ search: z.int().min(0), train: z.int().min(0) }),
});

export class OneStageSearch extends IstaSearch<IstaOptions & OneStageOptions> implements Search {
  /** Epochs that the search phase took; null while it goes on. */
  private searchEpochs: number | null = null;
  /** Choices that the epoch limit froze. */
  private forced: readonly number[] = [];
  /** Largest resident memory seen after a step of each phase, bytes. */
  private peakBytes = { search: 0, train: 0 };

  constructor(context: SearchContext) {
    const { dropIdentities } = context.config as unknown as OneStageOptions;
    super(context, context.space.norms.oneStageSuperNet, { dropIdentities });
  }

  protected override trainsAffine(place: Place, ends: boolean): boolean {
    return super.trainsAffine(place, ends || this.config.heldNorms === "all");
  }

  get phase(): "search" | "train" {
    return this.searchEpochs === null ? "search" : "train";
  }

  get epochCount(): number {
    return (this.searchEpochs ?? this.config.epochs) + this.config.trainEpochs;
  }

  /** Constant while the search goes on, then half a cosine. */
  learningRate(epoch: number): number {
    const { learningRate, finalLearningRate, trainEpochs } = this.config;
    if (this.searchEpochs === null) return learningRate;
    return cosine(epoch - this.searchEpochs, trainEpochs, learningRate, finalLearningRate);
  }

  async step(epoch: number, index: number): Promise<BatchFigures> {
    const batch = await this.context.sources.training.batch(epoch, index);
    const { config, network } = this;
    const learningRate = this.learningRate(epoch);
    const place = { epoch, index, learningRate };
    const figures = scope(() => {
      const learning = this.codeLearning([...network.trainable.values()], place);
      const forward = { training: true, dropPath: this.dropPath(epoch, index) };
      const trip = takeTrip(network, this.codes, batch, learning, forward, config, place);
      descend(network, this.context.sgd, trip.gradients, { ...config, learningRate }, place);
      this.learn(trip);
      return trip.figures;
    });
    if (this.phase === "search") this.recoverAfter(place);
    this.peakBytes[this.phase] = Math.max(this.peakBytes[this.phase], memoryUsage().rss);
    return figures;
  }

  /** Only once the architecture stands: dropping paths would disturb the codes. */
  private dropPath(epoch: number, index: number) {
    if (this.searchEpochs === null) return undefined;
    const { dropPath, trainEpochs, seed } = this.config;
    return {
      probability: dropPathProbability(epoch - this.searchEpochs, trainEpochs, dropPath),
      random: RandomStream.named(seed, `drop-path/epoch-${epoch}/batch-${index}`),
    };
  }

  endOfEpoch(epoch: number): EpochReport {
    return this.phase === "search" ? this.endOfSearchEpoch(epoch) : this.endOfTrainingEpoch(epoch);
  }

  private endOfTrainingEpoch(epoch: number): EpochReport {
    const { record } = this.recover(this.config.freezeTolerance, this.config.freezeBy);
    const { search, train } = this.peakBytes;
    const last = epoch + 1 === this.epochCount;
    const words = `  peak memory: ${formatBytes(search)} in the search, ${formatBytes(train)} after it`;
    return { record: { ...record, peakBytes: { ...this.peakBytes } }, lines: last ? [words] : [] };
  }

  private endOfSearchEpoch(epoch: number): EpochReport {
    const {
      decision,
      record,
      lines: changes,
    } = this.recover(this.config.freezeTolerance, this.config.freezeBy);
    const lines = [...changes];
    const { newlyFrozen } = decision;
    if (newlyFrozen.length > 0) lines.push(`  frozen: ${this.names(newlyFrozen).join(", ")}`);
    const weights = weightsOf(this.codes);
    const faint = newlyFrozen.filter((index) =>
      weights[index].every((weight) => Math.abs(weight) < faintWeight),
    );
    if (faint.length > 0) {
      lines.push(
        `  warning: ${this.names(faint).join(", ")} settled with weights below ${faintWeight}, which hardly pass a signal; raise --code-learning-rate or lower --freeze-tolerance`,
      );
    }
    if (epoch + 1 >= this.config.epochs && !allFrozen(this.codes)) {
      const { codes, forced } = freezeAll(this.codes);
      this.connect(codes);
      this.forced = forced;
      lines.push(
        `  warning: the limit of ${this.config.epochs} search epochs froze ${this.forcedChoices.join(", ")}`,
      );
    }
    const freedBytes = this.network.forgetAllBut(this.reachable);
    this.context.sgd.retain(new Set(this.network.parameterNames));
    if (allFrozen(this.codes)) {
      this.searchEpochs = epoch + 1;
      lines.push(
        `  all nodes are frozen after ${epoch + 1} epochs; weights of dropped operations are freed (${formatBytes(freedBytes)} now); peak memory of the search ${formatBytes(this.peakBytes.search)}`,
      );
    }
    return {
      record: {
        ...record,
        newlyFrozen: this.names(newlyFrozen),
        forcedChoices: this.forcedChoices,
        freedBytes,
        parameterBytes: this.network.parameterBytes,
        peakBytes: { ...this.peakBytes },
      },
      lines,
      // Which weights are the best is a question for a network that does not change any more.
      ranked: false,
    };
  }

  private names(indices: readonly number[]): string[] {
    return indices.map((index) => this.context.space.choices[index].name);
  }

  /** Names of the choices that did not settle by themselves. */
  get forcedChoices(): string[] {
    return this.names(this.forced);
  }

  /** The plain network that is this one: no architecture variables are left in it. */
  trainedNetwork() {
    const { network } = this;
    const weights = absorbWeights(network.stateDict(), network.description, weightsOf(this.codes));
    return { norms: this.context.space.norms.normalisedEvaluation, weights };
  }

  override save(): JsonObject {
    const { searchEpochs, forced, peakBytes } = this;
    return { ...super.save(), searchEpochs, forced, peakBytes };
  }

  override restore(state: Readonly<Record<string, unknown>>): void {
    const found = stateSchema.safeParse(state);
    const { choices } = this.context.space;
    const forced = (found.data?.forced ?? []).map((one) =>
      typeof one === "number" ? one : choices.findIndex(({ id }) => id === `${one.group}/${one.node}`),
    );
    if (!found.success || forced.some((index) => choices[index] === undefined)) {
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        "checkpoint: expected searchEpochs, forced choices and peakBytes of a one-stage search, got others",
      );
    }
    this.searchEpochs = found.data.searchEpochs;
    this.peakBytes = found.data.peakBytes;
    this.forced = forced;
    super.restore(state);
  }
}
