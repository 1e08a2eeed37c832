// Training of a network with fixed cells from scratch: the course that `train` runs.
import { RandomStream } from "../base/random.js";
import type { TrainConfig } from "../config/config.js";
import type { BatchFigures } from "../course/batch-step.js";
import { batchGradients, descend } from "../course/descent.js";
import { type Evaluation, evaluate } from "../course/evaluate.js";
import type { Course, EpochFigures, EpochOutcome } from "../course/loop.js";
import { cosine, dropPathProbability, linear, warmup } from "../course/schedules.js";
import type { Sources } from "../course/sources.js";
import { Device } from "../engine/device.js";
import { Sgd } from "../engine/sgd.js";
import { scope } from "../engine/tensor.js";
import { floatTensors, stateDictFrom } from "../formats/state-dict.js";
import { Network } from "../nn/network.js";
import type { StateDict } from "../nn/tensor-store.js";
import type { Checkpoint, CheckpointContents } from "../run/checkpoint.js";
import { layersWithWeights } from "../space/graph.js";
import type { NetworkDescription } from "../space/space.js";
import { layerTensors } from "../space/tensors.js";

/** Learning rate of an epoch, as the configuration says. */
export function learningRateOf(config: TrainConfig, epoch: number): number {
  const { epochs, learningRate, finalLearningRate, schedule, warmupEpochs } = config;
  const rate =
    schedule === "linear"
      ? linear(epoch, epochs, learningRate)
      : cosine(epoch, epochs, learningRate, finalLearningRate);
  return rate * warmup(epoch, warmupEpochs);
}

export class Training implements Course {
  readonly phase = "train";
  readonly network: Network;
  private readonly sgd = new Sgd();
  /** Follows the network with an exponential moving average; null without weight averaging. */
  private readonly averaged: Network | null;

  constructor(
    private readonly config: TrainConfig,
    private readonly sources: Sources,
    description: NetworkDescription,
  ) {
    const { seed, recompute } = config;
    const options = { seed, recompute, device: Device.named(config.device) };
    this.network = new Network(description, options);
    this.averaged = config.weightAveraging > 0 ? new Network(description, options) : null;
  }

  get epochCount(): number {
    return this.config.epochs;
  }

  get stepCount(): number {
    return this.sources.training.batchCount;
  }

  get waitedSeconds(): number {
    return this.sources.training.waitedSeconds;
  }

  /** The network to evaluate and to keep. */
  get result(): Network {
    return this.averaged ?? this.network;
  }

  learningRate(epoch: number): number {
    return learningRateOf(this.config, epoch);
  }

  async step(epoch: number, index: number): Promise<BatchFigures> {
    const batch = await this.sources.training.batch(epoch, index);
    const { network, config, sgd } = this;
    const learningRate = this.learningRate(epoch);
    const place = { epoch, index, learningRate };
    const dropPath = {
      probability: dropPathProbability(epoch, config.epochs, config.dropPath),
      random: RandomStream.named(config.seed, `drop-path/epoch-${epoch}/batch-${index}`),
    };
    return scope(() => {
      const inputs = [...network.trainable.values()];
      const { figures, gradients } = batchGradients(
        network,
        batch,
        { training: true, dropPath },
        config,
        inputs,
        place,
      );
      descend(network, sgd, gradients, { ...config, learningRate }, place);
      this.averaged?.approach(network, 1 - config.weightAveraging);
      return figures;
    });
  }

  async endEpoch(_epoch: number, _figures: EpochFigures, stop: () => boolean): Promise<EpochOutcome | null> {
    const { validation } = this.sources;
    if (validation === null) return { record: {}, score: null, lines: [] };
    const found = await evaluate(this.result, validation, { stop, microBatch: this.config.microBatch });
    if (found === null) return null;
    return {
      record: { validationLoss: found.loss, validationAccuracy: found.top1 },
      score: found.top1,
      lines: [],
    };
  }

  /** Figures on the test images; null without any. */
  async test(): Promise<Evaluation | null> {
    const { test } = this.sources;
    return test === null
      ? null
      : evaluate(this.result, test, { microBatch: this.config.microBatch, confusion: true });
  }

  save(): CheckpointContents {
    return {
      tensors: {
        model: this.network.stateDict(),
        optimiser: this.sgd.stateDict(),
        ...(this.averaged === null ? {} : { averaged: this.averaged.stateDict() }),
      },
      state: {},
    };
  }

  get tensorGroups(): readonly string[] {
    return ["model", "optimiser", ...(this.averaged === null ? [] : ["averaged"])];
  }

  /** @throws IstaError WEIGHTS_MISMATCH, SAFETENSORS_DTYPE */
  restore({ tensors }: Checkpoint): void {
    this.network.loadStateDict(stateDictFrom(tensors.model));
    this.sgd.loadStateDict(floatTensors(tensors.optimiser), this.network.device);
    this.averaged?.loadStateDict(stateDictFrom(tensors.averaged));
  }

  /**
   * Begins with other weights than random ones. Heads for another number of classes stay as they were drawn.
   * @returns that other number, or null
   * @throws IstaError WEIGHTS_MISMATCH
   */
  start(weights: StateDict): number | null {
    const { description } = this.network;
    const heads = layersWithWeights(description.space.graph(description)).filter(
      ({ kind }) => kind === "linear",
    );
    const own = this.network.stateDict();
    const taken: StateDict = new Map(weights);
    let other: number | null = null;
    for (const { name, shape } of heads.flatMap(layerTensors)) {
      const stored = weights.get(name);
      if (stored === undefined || stored.shape[0] === shape[0]) continue;
      if (`${stored.shape.slice(1)}` !== `${shape.slice(1)}`) continue;
      other = stored.shape[0];
      taken.set(name, own.get(name)!);
    }
    this.network.loadStateDict(taken);
    this.averaged?.loadStateDict(taken);
    return other;
  }

  /** Takes the weights of a checkpoint, for evaluation. @throws IstaError WEIGHTS_MISMATCH, SAFETENSORS_DTYPE */
  takeWeights({ tensors }: Checkpoint): void {
    this.result.loadStateDict(stateDictFrom(tensors[this.averaged === null ? "model" : "averaged"]));
  }

  dispose(): void {
    this.network.dispose();
    this.averaged?.dispose();
    this.sgd.dispose();
  }
}
