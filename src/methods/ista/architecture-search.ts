// What both searches share: the super-net, the codes of its nodes, recovery after each epoch, and the records of it.
import { IstaError } from "../../base/errors.js";
import type { SearchConfig } from "../../config/config.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { requireFinite, type StepPlace } from "../../course/descent.js";
import { evaluate } from "../../course/evaluate.js";
import type { Course, EpochFigures, EpochOutcome } from "../../course/loop.js";
import type { Sources } from "../../course/sources.js";
import { Sgd } from "../../engine/sgd.js";
import { Tensor } from "../../engine/tensor.js";
import { floatTensors, stateDictFrom } from "../../formats/state-dict.js";
import { Network } from "../../nn/network.js";
import type { AffineRule } from "../../nn/plan.js";
import type { Checkpoint, CheckpointContents } from "../../run/checkpoint.js";
import type { JsonObject } from "../../run/records.js";
import {
  type ConnectionSizes,
  connectionSizes,
  requirePossibleBudget,
  type Size,
  type SizeBudget,
  sizeOfSupports,
  withinBudget,
} from "../../space/counts.js";
import {
  candidateConnections,
  candidateCount,
  connectionAt,
  connectionsPerNode,
  intermediateNodeCount,
  primitives,
} from "../../space/darts.js";
import { type Genotype, genotypeFromSupports } from "../../space/genotype.js";
import {
  cellTypesOf,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  superNetwork,
} from "../../space/layout.js";
import {
  type Codes,
  initialCodes,
  listNodes,
  mapNodes,
  type NodeId,
  type PerNode,
  recoverNodes,
  stepCodes,
  supportsOf,
  weightsOf,
} from "../../sparse/codes.js";
import { codesFromJson, codesToJson } from "../../sparse/codes-json.js";
import { decideUpdate, type UpdateDecision, type UpdateRules } from "../../sparse/freezing.js";
import type { RecoveryOptions } from "../../sparse/recovery.js";
import { changeLines, nodeRecords } from "./report.js";

/** n_j of the 4 intermediate nodes. */
export const candidateCounts = Array.from({ length: intermediateNodeCount }, (_, node) =>
  candidateCount(node),
);

/** "normal node 2": intermediate nodes are counted after the two inputs, as in genotypes. */
export const nodeName = ({ group, node }: NodeId): string => `${group} node ${node + 2}`;

type Connections = NetworkDescription["connections"];

const connectionsOf = (supports: PerNode<readonly number[]>): Connections =>
  mapNodes(supports, (support) => support.map(connectionAt));

export abstract class ArchitectureSearch implements Course {
  readonly network: Network;
  readonly sizes: ConnectionSizes;
  readonly tensorGroups = ["model", "optimiser"] as const;
  protected readonly sgd = new Sgd();
  protected readonly budget: SizeBudget;
  private readonly recovery: RecoveryOptions;
  private held: Codes;
  private rejectedUpdates = 0;

  abstract readonly epochCount: number;
  abstract readonly phase: string;
  abstract learningRate(epoch: number): number;
  abstract step(epoch: number, index: number): Promise<BatchFigures>;
  /** Which nodes may freeze, and which updates are refused, at the end of an epoch. */
  protected abstract readonly updateRules: UpdateRules;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
  constructor(
    protected readonly config: SearchConfig,
    protected readonly sources: Sources,
    readonly shape: NetworkShape,
    norms: NormPlacement,
  ) {
    this.sizes = connectionSizes(shape, norms);
    this.budget = { maxParams: config.maxParams ?? undefined, maxMultAdds: config.maxMultAdds ?? undefined };
    requirePossibleBudget(this.sizes, this.budget);
    this.recovery = {
      method: config.recovery,
      sparsity: connectionsPerNode,
      lambda: config.lambda,
      distinctPredecessors: config.distinctPredecessors
        ? { operationsPerPredecessor: primitives.length }
        : undefined,
    };
    const options = {
      seed: config.seed,
      measurement: config.measurement,
      compressedSize: config.compressedLength,
      candidateCounts,
      recovery: this.recovery,
    };
    this.held = initialCodes(options, (supports) => {
      const { params, multAdds } = sizeOfSupports(this.sizes, supports);
      const over = (value: number, limit = Number.POSITIVE_INFINITY): number =>
        Math.max(0, value - limit) / limit || 0;
      return over(params, this.budget.maxParams) + over(multAdds, this.budget.maxMultAdds);
    });
    const description = superNetwork(shape, norms, connectionsOf(supportsOf(this.held)));
    const { seed, device } = config;
    this.network = new Network(description, { seed, device, trainsAffine: this.trainsAffine });
  }

  get codes(): Codes {
    return this.held;
  }

  /** Puts other codes in place and gives the network their connections. */
  protected set codes(codes: Codes) {
    this.held = codes;
    this.network.connect(this.connections, this.trainsAffine);
  }

  get stepCount(): number {
    return this.sources.training.batchCount;
  }

  get waitedSeconds(): number {
    const { training, codes } = this.sources;
    return training.waitedSeconds + (codes?.waitedSeconds ?? 0);
  }

  get connections(): Connections {
    return connectionsOf(supportsOf(this.held));
  }

  get genotype(): Genotype {
    return genotypeFromSupports(supportsOf(this.held));
  }

  /** Updates that were refused because their networks were over the size budget. */
  get rejected(): number {
    return this.rejectedUpdates;
  }

  /** Parameters and mult-adds of the network that runs now, without auxiliary head. */
  get size(): Size {
    return sizeOfSupports(this.sizes, supportsOf(this.held));
  }

  /** gamma and beta of the batch norm that an edge ends in stay at (1, 0) as long as its node is active. */
  private readonly trainsAffine: AffineRule = ({ cell, edge }) => {
    const type = cellTypesOf(this.shape)[cell!];
    return this.held[type][edge!.node].frozen;
  };

  /** w_S(b) of every node as float32 [s]; those of active nodes are leaves for gradients. To be called in a scope. */
  protected nodeWeights(): PerNode<Tensor> {
    const weights = weightsOf(this.held);
    return mapNodes(this.held, ({ frozen }, { group, node }) =>
      Tensor.from(Float32Array.from(weights[group][node])).setRequiresGrad(!frozen),
    );
  }

  /** The leaves among the node weights, in a fixed order. */
  protected activeWeights(weights: PerNode<Tensor>): { readonly id: NodeId; readonly tensor: Tensor }[] {
    return listNodes(weights)
      .filter(({ group, node }) => !this.held[group][node].frozen)
      .map(({ group, node, value }) => ({ id: { group, node }, tensor: value }));
  }

  /**
   * Adam step on b from dL/dw_S of the active nodes, in the order of `activeWeights`.
   * @throws IstaError RUN_DIVERGED when a gradient is not finite; the codes are as before then
   */
  protected descendCodes(slopes: readonly (Tensor | null)[], place: StepPlace): void {
    const given = new Map<string, Float32Array | undefined>();
    for (const [i, id] of this.activeIds().entries()) {
      requireFinite(slopes[i], `the weights of ${nodeName(id)}`, place);
      given.set(`${id.group}/${id.node}`, slopes[i]?.toFloat32Array());
    }
    const gradients = mapNodes(this.held, ({ recovery }, { group, node }) =>
      Float64Array.from(given.get(`${group}/${node}`) ?? new Float32Array(recovery.support.length)),
    );
    const { codeLearningRate: learningRate, codeBetas: betas, codeWeightDecay: weightDecay } = this.config;
    this.held = stepCodes(this.held, gradients, { learningRate, betas, weightDecay });
  }

  private activeIds(): NodeId[] {
    return listNodes(this.held)
      .filter(({ value }) => !value.frozen)
      .map(({ group, node }) => ({ group, node }));
  }

  /** Proposes new codes for all active nodes and takes them if the rules allow; the network follows. */
  protected recover(rules: UpdateRules): UpdateDecision {
    const decision = decideUpdate(this.held, recoverNodes(this.held, this.recovery), rules);
    this.codes = decision.codes;
    return decision;
  }

  protected readonly fits = (supports: PerNode<readonly number[]>): boolean =>
    withinBudget(sizeOfSupports(this.sizes, supports), this.budget);

  /**
   * Figures of the held-out part with the network as it was trained in this epoch; then the recovery, which may change it.
   */
  async endEpoch(epoch: number, _figures: EpochFigures, stop: () => boolean): Promise<EpochOutcome | null> {
    const { validation } = this.sources;
    let found: { loss: number; top1: number } | null = null;
    if (validation !== null) {
      found = await this.evaluate(validation, stop);
      if (found === null) return null;
    }
    const before = this.held;
    const decision = this.recover(this.updateRules);
    const lines = changeLines(before, this.held);
    if (!decision.accepted) {
      this.rejectedUpdates += 1;
      lines.push(
        `  the new network would exceed the size budget: update rejected (${this.rejectedUpdates} so far)`,
      );
    }
    const extra = this.afterRecovery(epoch, decision);
    const size = this.size;
    return {
      score: found === null ? null : found.top1,
      record: {
        validationLoss: found?.loss ?? null,
        validationAccuracy: found?.top1 ?? null,
        nodes: nodeRecords(this.held, decision),
        genotype: this.genotype,
        parameters: size.params,
        multiplyAdds: size.multAdds,
        accepted: decision.accepted,
        rejectedUpdates: this.rejectedUpdates,
        ...extra.record,
      },
      lines: [...lines, ...extra.lines],
      genotype: this.genotype,
    };
  }

  /** What a kind of search adds at the end of an epoch. */
  protected afterRecovery(
    _epoch: number,
    _decision: UpdateDecision,
  ): { readonly record: JsonObject; readonly lines: readonly string[] } {
    return { record: {}, lines: [] };
  }

  /** Evaluation with the present w; null when stopped. */
  async evaluate(source: NonNullable<Sources["validation"]>, stop?: () => boolean) {
    // Outside of a scope, because the evaluation waits for batches; freed by hand.
    const weights = this.nodeWeights();
    try {
      return await evaluate(this.network, source, { nodeWeights: weights, stop });
    } finally {
      for (const { value } of listNodes(weights)) value.dispose();
    }
  }

  /**
   * Frees the weights and momenta of operations that can never return, because their node is frozen without them.
   * @returns bytes of weights that were freed
   */
  protected forgetUnreachable(): number {
    const now = this.connections;
    const possible = mapNodes(this.held, ({ frozen }, { group, node }) =>
      frozen ? now[group][node] : candidateConnections(node),
    );
    const freed = this.network.forgetAllBut(possible);
    this.sgd.retain(new Set(this.network.parameterNames));
    return freed;
  }

  save(): CheckpointContents {
    return {
      tensors: { model: this.network.stateDict(), optimiser: this.sgd.stateDict() },
      state: {
        codes: codesToJson(this.held),
        rejectedUpdates: this.rejectedUpdates,
        ...this.saveState(),
      },
    };
  }

  /** @throws IstaError CODES_INVALID, WEIGHTS_MISMATCH, SAFETENSORS_DTYPE, CHECKPOINT_DAMAGED */
  restore({ tensors }: Checkpoint, state: Readonly<Record<string, unknown>>): void {
    const codes = codesFromJson(state.codes, candidateCounts);
    const { rejectedUpdates } = state;
    if (!Number.isSafeInteger(rejectedUpdates) || (rejectedUpdates as number) < 0) {
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        "checkpoint: expected a number of rejectedUpdates of a search",
      );
    }
    this.rejectedUpdates = rejectedUpdates as number;
    this.restoreState(state);
    this.codes = codes;
    const everything = mapNodes(this.held, (_, { node }) => candidateConnections(node));
    this.network.loadStateDict(stateDictFrom(tensors.model), everything);
    this.sgd.loadStateDict(floatTensors(tensors.optimiser), this.network.device);
    this.forgetUnreachable();
  }

  protected saveState(): JsonObject {
    return {};
  }

  protected restoreState(_state: Readonly<Record<string, unknown>>): void {}

  dispose(): void {
    this.network.dispose();
    this.sgd.dispose();
  }
}
