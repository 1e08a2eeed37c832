// What the two searches of ISTA-NAS share: the super-net that the codes choose, and recovery at the end of an epoch.
import { IstaError } from "../../base/errors.js";
import { controlledGradients } from "../../course/control.js";
import type { StepPlace } from "../../course/descent.js";
import type { Tensor } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { AffineRule } from "../../nn/plan.js";
import type { JsonObject } from "../../run/records.js";
import { excessOf, sizeOfSelection } from "../../space/counts.js";
import { type NormPlacement, type Selection, superNetwork } from "../../space/space.js";
import type { AdamOptions } from "../../sparse/adam.js";
import {
  type CodedChoice,
  type Codes,
  initialCodes,
  recoverCodes,
  recoveryOptions,
  supportsOf,
} from "../../sparse/codes.js";
import { codesFromJson, codesToJson } from "../../sparse/codes-json.js";
import { decideUpdate, type UpdateDecision } from "../../sparse/freezing.js";
import type { RecoveryOptions } from "../../sparse/recovery.js";
import { searchWeights } from "../../sparse/weights.js";
import type { EpochReport, SearchContext } from "../method.js";
import type { IstaOptions } from "./options.js";
import { changeLines, choiceRecords } from "./report.js";
import { type Learning, vectorsOf, weightVectors } from "./step.js";

export class IstaSearch<Options extends IstaOptions = IstaOptions> {
  readonly network: Network;
  protected readonly config: SearchContext["config"] & Options;
  private readonly adam: AdamOptions;
  private readonly recovery: readonly RecoveryOptions[];
  private held: Codes;
  private rejectedUpdates = 0;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
  constructor(
    protected readonly context: SearchContext,
    norms: NormPlacement,
  ) {
    const { space, shape, sizes, budget, device } = context;
    this.config = context.config as SearchContext["config"] & Options;
    const { seed, measurement, compressedLength, lambda, recovery: method } = this.config;
    this.adam = {
      learningRate: this.config.codeLearningRate,
      betas: this.config.codeBetas,
      weightDecay: this.config.codeWeightDecay,
    };
    const choices = space.choices.map(
      ({ id, candidates, kept, distinctPredecessors }): CodedChoice => ({
        id,
        predecessors: candidates.map(({ predecessor }) => predecessor),
        kept,
        distinctPredecessors: distinctPredecessors || this.config.distinctPredecessors,
      }),
    );
    const recovery = { method, lambda };
    this.recovery = choices.map((choice) => recoveryOptions(choice, recovery));
    this.held = initialCodes({ seed, measurement, compressedLength, choices, recovery }, (supports) =>
      excessOf(sizeOfSelection(sizes, supports), budget),
    );
    this.network = new Network(superNetwork(space, shape, norms, this.selection), {
      seed,
      device,
      recompute: this.config.recompute,
      trainsAffine: this.trainsAffine,
    });
  }

  /** A step in which the codes learn, and these parameters. */
  protected codeLearning(parameters: readonly Tensor[], place: StepPlace): Learning {
    return {
      codes: this.adam,
      parameters,
      controlled: (gradients) => controlledGradients(this.config, gradients, place),
    };
  }

  get codes(): Codes {
    return this.held;
  }

  /** Puts codes with other supports in place and gives the network their connections. */
  protected connect(codes: Codes): void {
    this.held = codes;
    this.network.connect(this.selection, this.trainsAffine);
  }

  /** Puts codes of the same supports in place. */
  protected set codes(codes: Codes) {
    this.held = codes;
  }

  get selection(): Selection {
    return supportsOf(this.held);
  }

  /** Candidates of frozen choices that were not chosen can never return. */
  get reachable(): Selection {
    return this.context.space.choices.map(({ candidates }, index) => {
      const { frozen, recovery } = this.held[index];
      return frozen ? recovery.support : candidates.map((_, candidate) => candidate);
    });
  }

  /** gamma and beta of the batch norm that a candidate ends in stay at (1, 0) as long as its choice is active. */
  private readonly trainsAffine: AffineRule = ({ choice }) => this.held[choice!].frozen;

  weights() {
    return weightVectors(this.context.space.choices, this.held);
  }

  /** w_S(b) of another support S: where z is zero, the same step leads away from it. */
  weightsFor(selection: Selection) {
    const { choices } = this.context.space;
    const weights = this.held.map(({ measurement, recovery, compressed }, index) =>
      searchWeights(measurement, selection[index], recovery.code, compressed),
    );
    return vectorsOf(choices, weights);
  }

  /**
   * Recovers the codes of all active choices; takes them, and the network that they mean, if that is within the size budget.
   * @param tolerance of the distance by which a code may have moved to freeze; null: none freezes
   */
  protected recover(tolerance: number | null): EpochReport & { readonly decision: UpdateDecision } {
    const { choices } = this.context.space;
    const before = this.held;
    const proposed = recoverCodes(before, this.recovery);
    const decision = decideUpdate(before, proposed, { tolerance, fits: this.context.fits });
    this.connect(decision.codes);
    const lines = changeLines(choices, before, decision.codes);
    if (!decision.accepted) {
      this.rejectedUpdates += 1;
      lines.push(
        `  the new network would exceed the size budget: update rejected (${this.rejectedUpdates} so far)`,
      );
    }
    const record = {
      choices: choiceRecords(choices, decision),
      accepted: decision.accepted,
      rejectedUpdates: this.rejectedUpdates,
    };
    return { decision, record, lines };
  }

  save(): JsonObject {
    return { codes: codesToJson(this.held), rejectedUpdates: this.rejectedUpdates };
  }

  /** @throws IstaError CODES_INVALID, CHECKPOINT_DAMAGED */
  restore({ codes, rejectedUpdates }: Readonly<Record<string, unknown>>): void {
    const restored = codesFromJson(
      codes,
      this.context.space.choices.map(({ candidates }) => candidates.length),
    );
    if (!Number.isSafeInteger(rejectedUpdates) || (rejectedUpdates as number) < 0) {
      throw new IstaError(
        "CHECKPOINT_DAMAGED",
        `checkpoint: expected a number of rejectedUpdates of a search, got ${JSON.stringify(rejectedUpdates)}`,
      );
    }
    this.rejectedUpdates = rejectedUpdates as number;
    this.connect(restored);
  }
}
