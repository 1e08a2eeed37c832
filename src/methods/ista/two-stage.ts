// Two-stage search (Yang et al. 2020, section 3.3): codes on one half of the images, weights on the other, in turn.

import type { SearchConfig } from "../../config/config.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { batchGradients, descend } from "../../course/descent.js";
import { cosine } from "../../course/schedules.js";
import type { Sources } from "../../course/sources.js";
import { scope } from "../../engine/tensor.js";
import { type NetworkShape, normPlacements } from "../../space/layout.js";
import { listNodes } from "../../sparse/codes.js";
import type { UpdateRules } from "../../sparse/freezing.js";
import { ArchitectureSearch } from "./architecture-search.js";

export class TwoStageSearch extends ArchitectureSearch {
  readonly phase = "search";
  protected readonly updateRules: UpdateRules;

  constructor(config: SearchConfig, sources: Sources, shape: NetworkShape) {
    super(config, sources, shape, normPlacements.twoStageSuperNet);
    this.updateRules = { tolerance: null, fits: this.fits };
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
    const { training, codes } = this.sources;
    const { config, network, sgd } = this;
    // The two parts may have different numbers of batches: the held-out ones are taken round and round.
    const turn = epoch * training.batchCount + index;
    const heldOut = await codes!.batch(Math.floor(turn / codes!.batchCount), turn % codes!.batchCount);
    const batch = await training.batch(epoch, index);
    const place = { epoch, index, learningRate: this.learningRate(epoch) };

    scope(() => {
      const nodeWeights = this.nodeWeights();
      const inputs = this.activeWeights(nodeWeights).map(({ tensor }) => tensor);
      const { gradients } = batchGradients(
        network,
        heldOut,
        { training: true, nodeWeights },
        config,
        inputs,
        place,
      );
      this.descendCodes(gradients, place);
    });
    return scope(() => {
      const nodeWeights = this.nodeWeights();
      for (const { value } of listNodes(nodeWeights)) value.setRequiresGrad(false);
      const inputs = [...network.trainable.values()];
      const { figures, gradients } = batchGradients(
        network,
        batch,
        { training: true, nodeWeights },
        config,
        inputs,
        place,
      );
      descend(network, sgd, gradients, { ...config, learningRate: place.learningRate }, place);
      return figures;
    });
  }
}
