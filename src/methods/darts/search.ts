// A search over a dense super-net: every candidate runs, weighed by softmaxes. DARTS as it is; PC-DARTS says what it adds.
import { z } from "zod";
import { IstaError } from "../../base/errors.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { controlledGradients } from "../../course/control.js";
import { batchGradients, descend } from "../../course/descent.js";
import { cosine } from "../../course/schedules.js";
import { heldOutBatch } from "../../course/sources.js";
import { scope } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { JsonObject } from "../../run/records.js";
import { excessOf, sizeOfSelection } from "../../space/counts.js";
import { allCandidates, type Selection, superNetwork, validateSelection } from "../../space/space.js";
import type { AdamOptions } from "../../sparse/adam.js";
import type { EpochReport, Search, SearchContext } from "../method.js";
import { selectionLines } from "../report.js";
import { discretise, strengthsOf } from "./discretise.js";
import { initialLogits, type Logits, type Softmax, softmax, softmaxesOf } from "./mixture.js";
import type { DenseOptions } from "./options.js";
import { learnFrom, weightTensors } from "./step.js";

const numbers = z.array(z.number());
const stateSchema = z.object({
  logits: z.array(
    z.object({
      values: numbers,
      adam: z.object({ step: z.int().min(0), mean: numbers, squareMean: numbers }),
    }),
  ),
  reported: z.array(z.array(z.int())),
});

export class DenseSearch<Options extends DenseOptions = DenseOptions> implements Search {
  readonly phase = "search";
  readonly network: Network;
  protected readonly config: SearchContext["config"] & Options;
  private readonly softmaxes: readonly Softmax[];
  private readonly adam: AdamOptions;
  private held: readonly Logits[];
  /** The architecture of the present logits, once somebody has asked for it. */
  private found: Selection | null = null;
  /** The architecture that the last epoch ended with. */
  private reported: Selection;

  /**
   * @param partialChannels one in so many channels goes through the mixtures, and predecessors are weighed too; null: all of them
   * @throws IstaError NETWORK_SHAPE
   */
  constructor(
    private readonly context: SearchContext,
    partialChannels: number | null = null,
  ) {
    const { space, shape, device } = context;
    this.config = context.config as SearchContext["config"] & Options;
    const { seed, recompute, alphaLearningRate, alphaBetas, alphaWeightDecay } = this.config;
    this.adam = { learningRate: alphaLearningRate, betas: alphaBetas, weightDecay: alphaWeightDecay };
    this.softmaxes = softmaxesOf(space, partialChannels !== null);
    this.held = initialLogits(space, this.softmaxes, seed);
    const description = superNetwork(space, shape, space.norms.twoStageSuperNet);
    this.network = new Network(partialChannels === null ? description : { ...description, partialChannels }, {
      seed,
      device,
      recompute,
    });
    this.reported = this.selection;
  }

  get logits(): readonly Logits[] {
    return this.held;
  }

  private set logits(logits: readonly Logits[]) {
    this.held = logits;
    this.found = null;
  }

  /** The strongest architecture within the size budget. @throws IstaError BUDGET_IMPOSSIBLE */
  get selection(): Selection {
    const { space, sizes, budget } = this.context;
    this.found ??= discretise(
      space.choices,
      strengthsOf(space.choices, this.softmaxes, this.held),
      (selection) => excessOf(sizeOfSelection(sizes, selection), budget),
    );
    return this.found;
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

  /** Epochs at the beginning in which the logits rest. */
  protected get restEpochs(): number {
    return 0;
  }

  weights() {
    return weightTensors(this.softmaxes, this.held);
  }

  /** A step of the logits on a held-out batch, then a step of the weights on a training batch. */
  async step(epoch: number, index: number): Promise<BatchFigures> {
    const { sources, sgd } = this.context;
    const { config: loss, network, adam, softmaxes } = this;
    const heldOut = epoch < this.restEpochs ? null : await heldOutBatch(sources, epoch, index);
    const batch = await sources.training.batch(epoch, index);
    const place = { epoch, index, learningRate: this.learningRate(epoch) };
    if (heldOut !== null) {
      const controlled = (found: readonly Float32Array[]) => controlledGradients(this.config, found, place);
      const learning = { adam, loss, place, controlled };
      this.logits = scope(() => learnFrom(network, softmaxes, this.held, heldOut, learning));
    }
    return scope(() => {
      const forward = { training: true, weights: this.weights() };
      const parameters = [...network.trainable.values()];
      const { figures, gradients } = batchGradients(network, batch, forward, loss, parameters, place);
      descend(network, sgd, gradients, { ...loss, learningRate: place.learningRate }, place);
      return figures;
    });
  }

  endOfEpoch(epoch: number): EpochReport {
    const { choices } = this.context.space;
    const { selection } = this;
    const rests = epoch < this.restEpochs ? ["the weights of candidates rest"] : [];
    const lines = selectionLines(choices, this.reported, selection, () => rests);
    this.reported = selection;
    return { record: { choices: choices.map((_, index) => this.choiceRecord(index)) }, lines };
  }

  /** Of each predecessor the logits and the weights of its candidates, as columns; the hidden column comes first. */
  private choiceRecord(choice: number): JsonObject {
    const { name, group } = this.context.space.choices[choice];
    const parts = this.softmaxes.flatMap((one, index) => {
      if (one.choice !== choice) return [];
      const { values } = this.held[index];
      return [
        { predecessor: one.predecessor, logits: Array.from(values), weights: Array.from(softmax(values)) },
      ];
    });
    const beta = parts.find(({ predecessor }) => predecessor === null);
    return {
      choice: name,
      group,
      support: this.selection[choice],
      predecessors: parts
        .filter((part) => part !== beta)
        .map(({ predecessor, logits, weights }) => ({ predecessor, alpha: logits, weights })),
      ...(beta === undefined ? {} : { beta: beta.logits, predecessorWeights: beta.weights }),
    };
  }

  save(): JsonObject {
    const logits = this.held.map(({ values, adam }) => ({ values: Array.from(values), adam }));
    return { logits, reported: this.reported };
  }

  /** @throws IstaError CHECKPOINT_DAMAGED, GENOTYPE_INVALID */
  restore(state: Readonly<Record<string, unknown>>): void {
    const found = stateSchema.safeParse(state);
    const fits =
      found.success &&
      found.data.logits.length === this.held.length &&
      found.data.logits.every(({ values, adam }, index) =>
        [values, adam.mean, adam.squareMean].every(({ length }) => length === this.held[index].values.length),
      );
    if (!fits)
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        "checkpoint: expected the logits of every choice, with Adam's state, of a search over a dense super-net, got others",
      );
    const { logits, reported } = found.data!;
    validateSelection(this.context.space, reported);
    this.logits = logits.map(({ values, adam }) => ({ values: Float64Array.from(values), adam }));
    this.reported = reported;
  }
}
