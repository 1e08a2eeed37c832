// Random search: architectures drawn evenly within the size budget, trained one after another from the same seed of weights.
import { z } from "zod";
import { IstaError } from "../../base/errors.js";
import { formatPercent } from "../../base/format.js";
import { RandomStream } from "../../base/random.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { controlledScore } from "../../course/control.js";
import { batchGradients, descend } from "../../course/descent.js";
import type { Evaluation } from "../../course/evaluate.js";
import { cosine, dropPathProbability } from "../../course/schedules.js";
import { scope, type Tensor } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { JsonObject } from "../../run/records.js";
import { sizeOfSelection } from "../../space/counts.js";
import { candidateName, type Selection, superNetwork } from "../../space/space.js";
import type { EpochReport, Search, SearchContext } from "../method.js";
import { drawWithin } from "../selections.js";
import type { RandomOptions } from "./options.js";

const stateSchema = z.object({ scores: z.array(z.number().min(0).max(1)), epochsEach: z.int().min(1) });

export class RandomSearch implements Search {
  private readonly config: SearchContext["config"] & RandomOptions;
  private readonly drawn: readonly Selection[];
  /** Epochs of every architecture: an equal part of the search's, at least one. */
  private readonly epochsEach: number;
  /** Held-out accuracies of the architectures that are trained, in their order. */
  private scores: readonly number[] = [];
  private held: Network;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
  constructor(private readonly context: SearchContext) {
    this.config = context.config as SearchContext["config"] & RandomOptions;
    const { seed, epochs, candidates } = this.config;
    this.epochsEach = Math.max(1, Math.floor(epochs / candidates));
    const stream = RandomStream.named(seed, "candidates");
    this.drawn = Array.from({ length: candidates }, () => drawWithin(context, stream));
    this.held = this.newNetwork();
  }

  /** Number of the architecture in training; the last one when all are done. */
  private get present(): number {
    return Math.min(this.scores.length, this.drawn.length - 1);
  }

  /** As it would be trained from scratch; a super-net of one architecture, so that its tensors are named after candidates. */
  private newNetwork(): Network {
    const { space, shape, device } = this.context;
    const { seed, recompute } = this.config;
    const description = superNetwork(space, shape, space.norms.plainEvaluation, this.drawn[this.present]);
    return new Network(description, { seed, device, recompute });
  }

  get network(): Network {
    return this.held;
  }

  get phase(): string {
    return `candidate ${this.present + 1}/${this.drawn.length}`;
  }

  get epochCount(): number {
    return this.epochsEach * this.drawn.length;
  }

  /** The best that is trained; of equals the first. Before any is, the one in training. */
  get selection(): Selection {
    const best = this.scores.indexOf(Math.max(...this.scores));
    return this.drawn[Math.max(0, best)];
  }

  get reachable(): Selection {
    return this.drawn[this.present];
  }

  /** A cosine of its own for every architecture. */
  learningRate(epoch: number): number {
    const { learningRate, finalLearningRate } = this.config;
    return cosine(epoch % this.epochsEach, this.epochsEach, learningRate, finalLearningRate);
  }

  /** Every candidate counts with 1. */
  weights(): ReadonlyMap<string, Tensor> {
    return new Map();
  }

  /** There is no super-net that something could be kept of. */
  projected(): null {
    return null;
  }

  async step(epoch: number, index: number): Promise<BatchFigures> {
    const { config, network, epochsEach } = this;
    const { sources, sgd } = this.context;
    const batch = await sources.training.batch(epoch, index);
    const place = { epoch, index, learningRate: this.learningRate(epoch) };
    const dropPath = {
      probability: dropPathProbability(epoch % epochsEach, epochsEach, config.dropPath),
      random: RandomStream.named(config.seed, `drop-path/epoch-${epoch}/batch-${index}`),
    };
    return scope(() => {
      const forward = { training: true, dropPath };
      const parameters = [...network.trainable.values()];
      const { figures, gradients } = batchGradients(network, batch, forward, config, parameters, place);
      descend(network, sgd, gradients, { ...config, learningRate: place.learningRate }, place);
      return figures;
    });
  }

  endOfEpoch(epoch: number, found: Evaluation | null): EpochReport {
    const { space } = this.context;
    const { epochs } = this.config;
    const lines =
      epoch === 0 && this.epochCount !== epochs
        ? [
            `  each of ${this.drawn.length} candidates is trained for ${this.epochsEach} epochs: ${this.epochCount} of the ${epochs} in all`,
          ]
        : [];
    const number = this.present;
    const trained = this.drawn[number];
    if ((epoch + 1) % this.epochsEach === 0) {
      // Something is held out: the configuration was checked.
      const score = controlledScore(this.config, found!.top1, `candidate-${number}`);
      this.scores = [...this.scores, score];
      const best = this.drawn.indexOf(this.selection);
      lines.push(
        `  candidate ${number + 1} of ${this.drawn.length}: ${formatPercent(score, 2)} of the held-out images; the best is candidate ${best + 1} with ${formatPercent(this.scores[best], 2)}`,
      );
      if (this.scores.length < this.drawn.length) this.startNetwork();
    }
    const choices = space.choices.map(({ name, group, candidates }, index) => ({
      choice: name,
      group,
      support: trained[index],
      candidates: trained[index].map((candidate) => candidateName(candidates[candidate])),
    }));
    // The row is about the network that was trained, not about the best one so far.
    const { params, multAdds } = sizeOfSelection(this.context.sizes, trained);
    const record = {
      candidate: number,
      choices,
      scores: this.scores,
      genotype: space.toGenotype(trained),
      parameters: params,
      multiplyAdds: multAdds,
      answer: space.toGenotype(this.selection),
    };
    // Accuracies of different networks: there are no best weights of the run.
    return { record, lines, ranked: false };
  }

  /** What was held out says of the best, not of the last. */
  async conclude(): Promise<EpochReport> {
    return { record: { validationAccuracy: Math.max(...this.scores), scores: this.scores }, lines: [] };
  }

  private startNetwork(): void {
    this.held.dispose();
    this.context.sgd.retain(new Set());
    this.held = this.newNetwork();
  }

  save(): JsonObject {
    return { scores: this.scores, epochsEach: this.epochsEach };
  }

  /** @throws IstaError CHECKPOINT_DAMAGED, CONFIG_RESUME */
  restore(state: Readonly<Record<string, unknown>>): void {
    const found = stateSchema.safeParse(state);
    if (!found.success || found.data.scores.length > this.drawn.length)
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        `checkpoint: expected at most ${this.drawn.length} scores of a random search, got others`,
      );
    const { scores, epochsEach } = found.data;
    if (epochsEach !== this.epochsEach)
      throw new IstaError(
        "CONFIG_RESUME",
        `--epochs: expected ${epochsEach * this.drawn.length} to ${(epochsEach + 1) * this.drawn.length - 1}, with which each of the ${this.drawn.length} candidates has ${epochsEach} as before, got ${this.config.epochs}`,
      );
    this.scores = scores;
    this.startNetwork();
  }
}
