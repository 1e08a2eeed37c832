// The course of every search, whatever its method: held-out figures, records, budgets, and what is saved.
import type { SearchConfig } from "../config/config.js";
import { type BatchSource, firstImages } from "../data/index.js";
import type { Device } from "../engine/device.js";
import { Sgd } from "../engine/sgd.js";
import type { Tensor } from "../engine/tensor.js";
import { type AccuracyTable, formatKnown, type KnownAccuracies } from "../formats/accuracy-table.js";
import { type Model, modelDescriptionText } from "../formats/model-file.js";
import { floatTensors, stateDictFrom } from "../formats/state-dict.js";
import type { Network } from "../nn/network.js";
import type { StateDict } from "../nn/tensor-store.js";
import type { Checkpoint, CheckpointContents } from "../run/checkpoint.js";
import type { JsonObject } from "../run/records.js";
import {
  type CandidateSizes,
  candidateSizes,
  excessOf,
  requirePossibleBudget,
  type Size,
  type SizeBudget,
  sizeOfSelection,
  withinBudget,
} from "../space/counts.js";
import {
  type Architecture,
  allCandidates,
  genotypeOf,
  type NetworkDescription,
  type NormPlacement,
  type Selection,
  type Space,
  sameSelection,
} from "../space/space.js";
import type { BatchFigures } from "./batch-step.js";
import { type Evaluation, evaluate } from "./evaluate.js";
import type { ResumableCourse } from "./execute.js";
import { Exploration, type ExplorationFigures } from "./exploration.js";
import type { EpochFigures, EpochOutcome } from "./loop.js";
import type { Sources } from "./sources.js";

/** What a method is given to search with. */
export interface SearchContext {
  /** The method's options, and those of every search. */
  readonly config: SearchConfig & Readonly<Record<string, unknown>>;
  readonly space: Space;
  readonly shape: NetworkDescription["shape"];
  readonly sources: Sources;
  readonly device: Device;
  /** Momenta of the network's weights; the course saves them. */
  readonly sgd: Sgd;
  readonly budget: SizeBudget;
  /** Sizes of all candidates, of networks with the norms of the method. */
  readonly sizes: CandidateSizes;
  /** Whether a network that keeps these candidates is within the budget. */
  fits(selection: Selection): boolean;
  /** By how much a network that keeps these candidates is over the budget, as a share of it; 0 within it. */
  excess(selection: Selection): number;
}

/** What the end of an epoch says, besides the figures that every search has. */
export interface EpochReport {
  readonly record: JsonObject;
  /** For people, below the line with the figures. */
  readonly lines: readonly string[];
  /** Whether the weights of this epoch may become the best ones; false while the architecture still changes. */
  readonly ranked?: boolean;
}

export interface ConcludeControl {
  readonly stop: () => boolean;
  /** A line for people, about what goes on. */
  readonly line: (text: string) => void;
}

/** What is left of a super-net when only the found candidates are kept. */
export interface Projection {
  readonly selection: Selection;
  /** Vectors of their weights, made anew; the caller frees them. */
  readonly weights: ReadonlyMap<string, Tensor>;
}

/** A search that goes on: the state of a method. */
export interface Search {
  readonly network: Network;
  /** Word for the progress line. */
  readonly phase: string;
  /** Epochs of the whole run as known now. */
  readonly epochCount: number;
  /** The architecture that the search would give now. */
  readonly selection: Selection;
  /** Steps of the present epoch, where they are not the batches of the training images. */
  readonly stepCount?: number;
  learningRate(epoch: number): number;
  /**
   * Vectors of weights of the network as it is evaluated, made anew; the caller frees them. Empty where candidates have none.
   */
  weights(): ReadonlyMap<string, Tensor>;
  /** @throws IstaError RUN_DIVERGED */
  step(epoch: number, index: number): Promise<BatchFigures>;
  /**
   * Figures of the held-out images, where that takes more than a pass through the network as it is. Leaves the search as it was.
   * Null when `stop` asked to end.
   */
  evaluate?(source: BatchSource, stop?: () => boolean): Promise<Evaluation | null>;
  /** @param found on the held-out images in this epoch; null where there are none */
  endOfEpoch(epoch: number, found: Evaluation | null): EpochReport | Promise<EpochReport>;
  /** Candidates whose weights may still be needed; those of others are freed. */
  readonly reachable: Selection;
  /** Everything that is not in the network's or the optimiser's tensors, as JSON. */
  save(): JsonObject;
  /** @throws IstaError CODES_INVALID, CHECKPOINT_DAMAGED */
  restore(state: Readonly<Record<string, unknown>>): void;
  /**
   * Something to do after the last epoch, such as choosing among architectures. The record may hold a `validationAccuracy`, that of
   * the architecture that was chosen. Null when `stop` asked to end: a resumed run does it again from its beginning.
   */
  conclude?(control: ConcludeControl): Promise<EpochReport | null>;
  /**
   * Where not given: `selection`, with those of `weights()` that are of it. Null where the super-net never ran as a whole, so that
   * there is nothing to compare with.
   */
  projected?(): Projection | null;
  /**
   * Vectors of weights with which another architecture runs on the shared weights, made anew; the caller frees them. Where not given,
   * every candidate counts with 1.
   */
  weightsFor?(selection: Selection): ReadonlyMap<string, Tensor>;
  /**
   * Held-out accuracy of any architecture, 0..1, as the search would judge it, where that is not by the weights of its network. Leaves
   * the search as it was. Null when `stop` asked to end.
   */
  tryOut?(selection: Selection, stop: () => boolean): Promise<number | null>;
  /**
   * Vectors z_S of weights of the sparse codes themselves, made anew; the caller frees them. For searches whose network runs with weights
   * of compressed codes: the paper says that both have the same loss.
   */
  sparseWeights?(): ReadonlyMap<string, Tensor>;
  /** What is to be known of the search at its end, for the summary. */
  diagnose?(): JsonObject;
  /** The network that was trained on, where the search trains one for use: an evaluation network with its weights. */
  trainedNetwork?(): { readonly norms: NormPlacement; readonly weights: StateDict };
}

/** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
export function searchContext(
  config: SearchContext["config"],
  sources: Sources,
  device: Device,
  { space, shape, norms }: NetworkDescription,
): SearchContext {
  const sizes = candidateSizes(space, shape, norms);
  const budget = { maxParams: config.maxParams ?? undefined, maxMultAdds: config.maxMultAdds ?? undefined };
  requirePossibleBudget(sizes, budget);
  const fits = (selection: Selection): boolean => withinBudget(sizeOfSelection(sizes, selection), budget);
  const excess = (selection: Selection): number => excessOf(sizeOfSelection(sizes, selection), budget);
  return { config, space, shape, sources, device, sgd: new Sgd(), budget, sizes, fits, excess };
}

/** In checkpoints of a search: the tensors of the network that can be used, and in the state its description. */
export const usableGroup = "network";

/** Held-out images by which losses before and after a recovery are compared. */
const recoveryImageCount = 1000;

export class SearchCourse implements ResumableCourse {
  readonly tensorGroups = ["model", "optimiser"] as const;

  private readonly exploration: Exploration;

  constructor(
    readonly context: SearchContext,
    readonly search: Search,
    /** Known accuracies: recorded, and out of the method's sight. */
    readonly table: AccuracyTable | null = null,
  ) {
    this.exploration = new Exploration(context.space, search.selection);
  }

  get epochCount(): number {
    return this.search.epochCount;
  }

  get phase(): string {
    return this.search.phase;
  }

  get stepCount(): number {
    return this.search.stepCount ?? this.context.sources.training.batchCount;
  }

  get waitedSeconds(): number {
    const { training, codes } = this.context.sources;
    return training.waitedSeconds + (codes?.waitedSeconds ?? 0);
  }

  get architecture(): Architecture {
    return { space: this.context.space, selection: this.search.selection };
  }

  /** Parameters and mult-adds of the network of the present architecture, without auxiliary head. */
  get size(): Size {
    return sizeOfSelection(this.context.sizes, this.search.selection);
  }

  /** What the table says of the present architecture; null without a table, or a row in it. */
  get knownAccuracies(): KnownAccuracies | null {
    return this.table?.lookup(this.search.selection) ?? null;
  }

  learningRate(epoch: number): number {
    return this.search.learningRate(epoch);
  }

  async step(epoch: number, index: number): Promise<BatchFigures> {
    const figures = await this.search.step(epoch, index);
    this.exploration.noteNetwork(this.search.network.description.selection);
    return figures;
  }

  /** What was tried so far, and whether the answer stands. */
  get explored(): ExplorationFigures {
    return this.exploration.figures;
  }

  /** Evaluation of the network as it is trained, with the present weights of its candidates; null when stopped. */
  async evaluate(source: BatchSource, stop?: () => boolean): Promise<Evaluation | null> {
    if (this.search.evaluate !== undefined) return this.search.evaluate(source, stop);
    // Outside of a scope, because the evaluation waits for batches; freed by hand.
    const weights = this.search.weights();
    try {
      const { microBatch } = this.context.config;
      return await evaluate(this.search.network, source, { weights, stop, microBatch });
    } finally {
      for (const tensor of weights.values()) tensor.dispose();
    }
  }

  /** The held-out images that tell how much a recovery changes. Null where nothing can be recovered any more, or is held out. */
  private get recoveryImages(): BatchSource | null {
    const { reachable, selection, sparseWeights } = this.search;
    const { validation } = this.context.sources;
    if (sparseWeights === undefined || validation === null || sameSelection(reachable, selection))
      return null;
    return firstImages(validation, recoveryImageCount);
  }

  /** Is not stopped: nothing that comes after a recovery may be left out. */
  private async lossOn(images: BatchSource): Promise<number> {
    return (await this.evaluate(images))!.loss;
  }

  /**
   * Figures of the held-out part with the network as it was trained in this epoch; then what the method does, which may change it.
   */
  async endEpoch(epoch: number, _figures: EpochFigures, stop: () => boolean): Promise<EpochOutcome | null> {
    const { validation } = this.context.sources;
    let found: Evaluation | null = null;
    if (validation !== null) {
      found = await this.evaluate(validation, stop);
      if (found === null) return null;
    }
    const images = this.recoveryImages;
    const isAll = images?.batchCount === validation?.batchCount;
    const lossBeforeRecovery = images && (isAll ? found!.loss : await this.lossOn(images));
    const scored = found === null ? undefined : this.save();
    const { record, lines, ranked = true } = await this.search.endOfEpoch(epoch, found);
    const lossAfterRecovery = images && (await this.lossOn(images));
    const newConnections = this.exploration.noteAnswer(this.search.selection);
    const { connectionsTried } = this.explored;
    const genotype = genotypeOf(this.architecture);
    const { params, multAdds } = this.size;
    const { knownAccuracies } = this;
    return {
      score: found === null || !ranked ? null : found.top1,
      scored,
      record: {
        validationLoss: found?.loss ?? null,
        validationAccuracy: found?.top1 ?? null,
        genotype,
        parameters: params,
        multiplyAdds: multAdds,
        connectionsTried,
        newConnections,
        ...(lossBeforeRecovery === null ? {} : { lossBeforeRecovery, lossAfterRecovery }),
        ...(this.table === null ? {} : { knownAccuracies }),
        ...record,
      },
      lines: this.table === null ? lines : [...lines, `  known: ${formatKnown(knownAccuracies)}`],
      genotype,
    };
  }

  /** The network that the search trains for use, as it is now, once its architecture is decided: it can be used before the end. */
  private usableNetwork(): Model | null {
    const { search, context, architecture } = this;
    const trained = sameSelection(search.reachable, search.selection) ? search.trainedNetwork?.() : undefined;
    if (trained === undefined) return null;
    const { normalisation, picture, classes } = context.sources;
    return { architecture, shape: context.shape, ...trained, normalisation, ...picture, classes };
  }

  save(): CheckpointContents {
    const { search, context } = this;
    const usable = this.usableNetwork();
    return {
      tensors: {
        model: search.network.stateDict(),
        optimiser: context.sgd.stateDict(),
        ...(usable === null ? {} : { [usableGroup]: usable.weights }),
      },
      state: {
        ...search.save(),
        exploration: this.exploration.save(),
        ...(usable === null ? {} : { [usableGroup]: modelDescriptionText(usable) }),
      },
    };
  }

  /** @throws IstaError CODES_INVALID, WEIGHTS_MISMATCH, SAFETENSORS_DTYPE, CHECKPOINT_DAMAGED */
  restore({ tensors }: Checkpoint, state: Readonly<Record<string, unknown>>): void {
    const { search, context } = this;
    search.restore(state);
    this.exploration.restore(state.exploration);
    const { network } = search;
    network.loadStateDict(stateDictFrom(tensors.model), allCandidates(context.space));
    context.sgd.loadStateDict(floatTensors(tensors.optimiser), network.device);
    network.forgetAllBut(search.reachable);
    context.sgd.retain(new Set(network.parameterNames));
  }

  dispose(): void {
    this.search.network.dispose();
    this.context.sgd.dispose();
  }
}
