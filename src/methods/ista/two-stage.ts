// Two-stage search (Yang et al. 2020, section 3.3): codes on one half of the images, weights on the other, in turn.
import type { BatchFigures } from "../../course/batch-step.js";
import { descend } from "../../course/descent.js";
import { cosine } from "../../course/schedules.js";
import { heldOutBatch } from "../../course/sources.js";
import { scope } from "../../engine/tensor.js";
import type { EpochReport, Search, SearchContext } from "../method.js";
import { IstaSearch } from "./search.js";
import { takeTrip } from "./step.js";

export class TwoStageSearch extends IstaSearch implements Search {
  readonly phase = "search";

  constructor(context: SearchContext) {
    super(context, context.space.norms.twoStageSuperNet);
  }

  get epochCount(): number {
    return this.config.epochs;
  }

  learningRate(epoch: number): number {
    const { epochs, learningRate, finalLearningRate } = this.config;
    return cosine(epoch, epochs, learningRate, finalLearningRate);
  }

  /** A step of the codes on a held-out batch, then a step of the weights on a training batch (first order). */
  async step(epoch: number, index: number): Promise<BatchFigures> {
    const { sources, sgd } = this.context;
    const heldOut = await heldOutBatch(sources, epoch, index);
    const batch = await sources.training.batch(epoch, index);
    const { config, network } = this;
    const place = { epoch, index, learningRate: this.learningRate(epoch) };
    const forward = { training: true };
    scope(() => {
      const learning = this.codeLearning([], place);
      this.learn(takeTrip(network, this.codes, heldOut, learning, forward, config, place));
    });
    const figures = scope(() => {
      const learning = { codes: null, parameters: [...network.trainable.values()] };
      const trip = takeTrip(network, this.codes, batch, learning, forward, config, place);
      descend(network, sgd, trip.gradients, { ...config, learningRate: place.learningRate }, place);
      return trip.figures;
    });
    this.recoverAfter(place);
    return figures;
  }

  endOfEpoch(): EpochReport {
    const { record, lines } = this.recover(null);
    return { record, lines };
  }
}
