// One-stage search (Yang et al. 2020, section 3.4): codes and weights from the same backward pass, at the target size.
//
// The super-net is the target network. Nodes whose codes have settled freeze; when all are frozen the search has ended, and the
// same network, with its weights, trains on. Folding w into the batch norms (nn/absorption.ts) makes it a plain network.
import { memoryUsage } from "node:process";
import { IstaError } from "../../base/errors.js";
import { formatBytes } from "../../base/format.js";
import { RandomStream } from "../../base/random.js";
import type { SearchConfig } from "../../config/config.js";
import type { BatchFigures } from "../../course/batch-step.js";
import { batchGradients, descend } from "../../course/descent.js";
import type { EpochFigures, EpochOutcome } from "../../course/loop.js";
import { cosine, dropPathProbability } from "../../course/schedules.js";
import type { Sources } from "../../course/sources.js";
import { scope } from "../../engine/tensor.js";
import { absorbWeights } from "../../nn/absorption.js";
import type { StateDict } from "../../nn/parameters.js";
import type { JsonObject } from "../../run/records.js";
import { type NetworkShape, normPlacements } from "../../space/layout.js";
import { listNodes, type NodeId, weightsOf } from "../../sparse/codes.js";
import { allFrozen, freezeAll, type UpdateDecision, type UpdateRules } from "../../sparse/freezing.js";
import { ArchitectureSearch, nodeName } from "./architecture-search.js";

/** Below this, the variance of what a node passes on drowns in the epsilon of the next batch norm (1e-5). */
const faintWeight = 0.01;

export class OneStageSearch extends ArchitectureSearch {
  protected readonly updateRules: UpdateRules;
  /** Epochs that the search phase took; null while it goes on. */
  private searchEpochs: number | null = null;
  /** Nodes that the epoch limit froze. */
  private forced: readonly NodeId[] = [];
  /** Largest resident memory seen after a step of each phase, bytes. */
  readonly peakBytes = { search: 0, train: 0 };

  constructor(config: SearchConfig, sources: Sources, shape: NetworkShape) {
    super(config, sources, shape, normPlacements.oneStageSuperNet);
    this.updateRules = { tolerance: config.freezeTolerance, fits: this.fits };
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
    const batch = await this.sources.training.batch(epoch, index);
    const { config, network, sgd } = this;
    const learningRate = this.learningRate(epoch);
    const place = { epoch, index, learningRate };
    const figures = scope(() => {
      const nodeWeights = this.nodeWeights();
      const active = this.activeWeights(nodeWeights).map(({ tensor }) => tensor);
      const inputs = [...network.trainable.values(), ...active];
      const forward = { training: true, nodeWeights, dropPath: this.dropPath(epoch, index) };
      const { figures, gradients } = batchGradients(network, batch, forward, config, inputs, place);
      const weightCount = inputs.length - active.length;
      descend(network, sgd, gradients.slice(0, weightCount), { ...config, learningRate }, place);
      this.descendCodes(gradients.slice(weightCount), place);
      return figures;
    });
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

  override async endEpoch(
    epoch: number,
    figures: EpochFigures,
    stop: () => boolean,
  ): Promise<EpochOutcome | null> {
    const searching = this.phase === "search";
    const outcome = await super.endEpoch(epoch, figures, stop);
    // Which weights are the best is a question for a network that does not change any more.
    return outcome !== null && searching ? { ...outcome, score: null } : outcome;
  }

  protected override afterRecovery(
    epoch: number,
    decision: UpdateDecision,
  ): { record: JsonObject; lines: readonly string[] } {
    const peakBytes = { ...this.peakBytes };
    if (this.phase === "train") {
      const { search, train } = peakBytes;
      const last = epoch + 1 === this.epochCount;
      const words = `  peak memory: ${formatBytes(search)} in the search, ${formatBytes(train)} after it`;
      return { record: { peakBytes }, lines: last ? [words] : [] };
    }
    const lines: string[] = [];
    if (decision.newlyFrozen.length > 0) {
      lines.push(`  frozen: ${decision.newlyFrozen.map(nodeName).join(", ")}`);
    }
    const weights = weightsOf(this.codes);
    const faint = decision.newlyFrozen.filter(({ group, node }) =>
      weights[group][node].every((weight) => Math.abs(weight) < faintWeight),
    );
    if (faint.length > 0) {
      lines.push(
        `  warning: ${faint.map(nodeName).join(", ")} settled with weights below ${faintWeight}, which hardly pass a signal; raise --code-learning-rate or lower --freeze-tolerance`,
      );
    }
    if (epoch + 1 >= this.config.epochs && !allFrozen(this.codes)) {
      const { codes, forced } = freezeAll(this.codes);
      this.codes = codes;
      this.forced = forced;
      lines.push(
        `  warning: the limit of ${this.config.epochs} search epochs froze ${forced.map(nodeName).join(", ")}`,
      );
    }
    const freedBytes = this.forgetUnreachable();
    if (allFrozen(this.codes)) {
      this.searchEpochs = epoch + 1;
      lines.push(
        `  all nodes are frozen after ${epoch + 1} epochs; weights of dropped operations are freed (${formatBytes(freedBytes)} now); peak memory of the search ${formatBytes(this.peakBytes.search)}`,
      );
    }
    const record = {
      newlyFrozen: decision.newlyFrozen.map(nodeName),
      forcedNodes: this.forced.map(nodeName),
      freedBytes,
      parameterBytes: this.network.parameterBytes,
      peakBytes,
    };
    return { record, lines };
  }

  /** Names of the nodes that did not settle by themselves. */
  get forcedNodes(): string[] {
    return this.forced.map(nodeName);
  }

  /** Weights of the plain network that is this one: no architecture variables are left in it. */
  absorbed(): StateDict {
    return absorbWeights(this.network.stateDict(), this.connections, this.shape, weightsOf(this.codes));
  }

  protected override saveState(): JsonObject {
    const { searchEpochs, forced, peakBytes } = this;
    return { searchEpochs, forced, peakBytes };
  }

  protected override restoreState(state: Readonly<Record<string, unknown>>): void {
    const { searchEpochs, forced, peakBytes } = state;
    const whole = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
    const nodes = listNodes(this.codes).map(nodeName);
    const isNode = (id: unknown): boolean =>
      id !== null && typeof id === "object" && nodes.includes(nodeName(id as NodeId));
    const peaks = (peakBytes ?? {}) as Partial<Record<string, unknown>>;
    const valid =
      (searchEpochs === null || whole(searchEpochs)) &&
      Array.isArray(forced) &&
      forced.every(isNode) &&
      whole(peaks.search) &&
      whole(peaks.train);
    if (!valid) {
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        "checkpoint: expected searchEpochs, forced nodes and peakBytes of a one-stage search",
      );
    }
    this.searchEpochs = searchEpochs as number | null;
    this.forced = forced as NodeId[];
    Object.assign(this.peakBytes, { search: peaks.search, train: peaks.train });
  }
}
