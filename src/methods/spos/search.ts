// Single path one-shot search (Guo et al. 2020): shared weights, trained along one architecture a step, and then an evolution.
import { formatPercent } from "../../base/format.js";
import { RandomStream } from "../../base/random.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { controlledScore } from "../../course/control.js";
import { batchGradients, descend } from "../../course/descent.js";
import { type Evaluation, evaluate } from "../../course/evaluate.js";
import { borrowing } from "../../course/projection.js";
import { cosine } from "../../course/schedules.js";
import { recomputeStatistics } from "../../course/statistics.js";
import type { Batch, BatchSource } from "../../data/index.js";
import { scope, type Tensor } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { JsonObject } from "../../run/records.js";
import { allCandidates, type Selection, superNetwork } from "../../space/space.js";
import type { ConcludeControl, EpochReport, Search, SearchContext } from "../method.js";
import { selectionLines } from "../report.js";
import { drawWithin } from "../selections.js";
import { type EvolutionTask, evolve, type Scored } from "./evolution.js";
import type { SposOptions } from "./options.js";

/** Architectures of the evolution that the summary names. */
const namedArchitectures = 10;

export class SposSearch implements Search {
  readonly phase = "search";
  readonly network: Network;
  private readonly config: SearchContext["config"] & SposOptions;
  /** Before the evolution, one drawn evenly, the same in all epochs: its held-out figures tell how the shared weights learn. */
  private chosen: Selection;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
  constructor(private readonly context: SearchContext) {
    const { space, shape, device } = context;
    this.config = context.config as SearchContext["config"] & SposOptions;
    const { seed, recompute } = this.config;
    this.chosen = drawWithin(context, RandomStream.named(seed, "path/evaluated"));
    const description = superNetwork(space, shape, space.norms.twoStageSuperNet, this.chosen);
    this.network = new Network(description, { seed, device, recompute });
  }

  get selection(): Selection {
    return this.chosen;
  }

  get reachable(): Selection {
    return allCandidates(this.context.space);
  }

  get epochCount(): number {
    return this.config.epochs;
  }

  learningRate(epoch: number): number {
    const { epochs, learningRate, finalLearningRate } = this.config;
    return cosine(epoch, epochs, learningRate, finalLearningRate);
  }

  /** Every candidate counts with 1. */
  weights(): ReadonlyMap<string, Tensor> {
    return new Map();
  }

  /** One architecture a step: the super-net never runs as a whole. */
  projected(): null {
    return null;
  }

  /** The architecture of a step: drawn evenly within the size budget (section 3.3). */
  pathOf(epoch: number, index: number): Selection {
    return drawWithin(
      this.context,
      RandomStream.named(this.config.seed, `path/epoch-${epoch}/step-${index}`),
    );
  }

  async step(epoch: number, index: number): Promise<BatchFigures> {
    const { config, network } = this;
    const { sources, sgd } = this.context;
    const batch = await sources.training.batch(epoch, index);
    network.connect(this.pathOf(epoch, index));
    const place = { epoch, index, learningRate: this.learningRate(epoch) };
    return scope(() => {
      const parameters = [...network.trainable.values()];
      const { figures, gradients } = batchGradients(
        network,
        batch,
        { training: true },
        config,
        parameters,
        place,
      );
      descend(network, sgd, gradients, { ...config, learningRate: place.learningRate }, place);
      return figures;
    });
  }

  /** Training batches for batch-norm statistics, the same for all architectures; made once, since they are varied at random. */
  private async statisticsSource(): Promise<BatchSource> {
    const { training } = this.context.sources;
    const batches: Batch[] = [];
    const count = Math.min(this.config.statisticsBatches, training.batchCount);
    for (let index = 0; index < count; index++) batches.push(await training.batch(0, index));
    const { channels, height, width, classes } = training;
    const exampleCount = batches.reduce((sum, batch) => sum + batch.count, 0);
    const layout = { channels, height, width, classes, batchCount: count, exampleCount };
    return { ...layout, batch: async (_epoch, index) => batches[index], close: async () => {} };
  }

  /** Figures of an architecture with the shared weights and its own batch-norm statistics (section 3.4). */
  private async judge(
    selection: Selection,
    statistics: BatchSource,
    source: BatchSource,
    stop?: () => boolean,
  ): Promise<Evaluation | null> {
    this.network.connect(selection);
    const { microBatch } = this.config;
    await recomputeStatistics(this.network, statistics, statistics.batchCount, { microBatch });
    return evaluate(this.network, source, { stop, microBatch });
  }

  async evaluate(source: BatchSource, stop?: () => boolean): Promise<Evaluation | null> {
    const statistics = await this.statisticsSource();
    return borrowing(this.network, () => this.judge(this.chosen, statistics, source, stop));
  }

  endOfEpoch(): EpochReport {
    const { choices } = this.context.space;
    const record = {
      choices: choices.map(({ name, group }, index) => ({
        choice: name,
        group,
        support: this.chosen[index],
      })),
    };
    return { record, lines: [] };
  }

  /** The evolution (section 3.4, algorithm 1): no weight changes any more. */
  async conclude({ stop, line }: ConcludeControl): Promise<EpochReport | null> {
    const { context, network, config } = this;
    const { space } = context;
    const validation = context.sources.validation!;
    const statistics = await this.statisticsSource();
    let done = 0;
    const task: EvolutionTask = {
      space,
      excess: (selection) => context.excess(selection),
      score: async (selection) => {
        if (stop()) return null;
        const found = await this.judge(selection, statistics, validation, stop);
        done += 1;
        return found === null ? null : controlledScore(config, found.top1, `evaluation-${done}`);
      },
      onGeneration: ([best]) =>
        line(
          `evolution: ${done} of ${config.evaluations} architectures, the best has ${formatPercent(best.score, 2)} of the held-out images`,
        ),
    };
    const stream = RandomStream.named(config.seed, "evolution");
    // Statistics of candidates that only the evolution has met are not what the search has learnt.
    const ranked = await borrowing(network, () => evolve(task, config, stream));
    if (ranked === null) return null;
    const lines = selectionLines(space.choices, this.chosen, ranked[0].selection);
    this.chosen = ranked[0].selection;
    network.connect(this.chosen);
    return { record: this.conclusion(ranked), lines };
  }

  private conclusion(ranked: readonly Scored[]): JsonObject {
    const { space } = this.context;
    return {
      validationAccuracy: ranked[0].score,
      evaluations: ranked.length,
      best: ranked.slice(0, namedArchitectures).map(({ selection, score }) => ({
        genotype: space.toGenotype(selection),
        validationAccuracy: score,
      })),
    };
  }

  /** Everything else follows from the seed. */
  save(): JsonObject {
    return {};
  }

  restore(): void {
    this.network.connect(this.chosen);
  }
}
