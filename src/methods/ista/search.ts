// What the two searches of ISTA-NAS share: the super-net that the codes choose, and recovery at the end of an epoch.
import { IstaError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import { controlledGradients } from "../../course/control.js";
import type { StepPlace } from "../../course/descent.js";
import type { Tensor } from "../../engine/tensor.js";
import { Network } from "../../nn/network.js";
import type { AffineRule } from "../../nn/plan.js";
import type { JsonObject } from "../../run/records.js";
import { excessOf, sizeOfSelection } from "../../space/counts.js";
import type { Place } from "../../space/graph.js";
import {
  candidateName,
  type NetworkDescription,
  type NormPlacement,
  type Selection,
  superNetwork,
} from "../../space/space.js";
import type { AdamOptions } from "../../sparse/adam.js";
import {
  type Codes,
  initialCodes,
  perturbedCode,
  recoverCodes,
  recoveryOptions,
  supportsOf,
} from "../../sparse/codes.js";
import { codesFromJson, codesToJson } from "../../sparse/codes-json.js";
import { decideUpdate, type UpdateDecision, type UpdateRules } from "../../sparse/freezing.js";
import type { RecoveryOptions } from "../../sparse/recovery.js";
import { searchWeights } from "../../sparse/weights.js";
import type { EpochReport, SearchContext } from "../method.js";
import { usualCodeLearningRate } from "./code-rate.js";
import { codedChoices } from "./coded-choices.js";
import { CodeDiagnosis, deadColumns } from "./diagnosis.js";
import type { IstaOptions } from "./options.js";
import { changeLines, choiceRecords } from "./report.js";
import { type Learning, type Trip, vectorsOf, weightVectors } from "./step.js";

export class IstaSearch<Options extends IstaOptions = IstaOptions> {
  readonly network: Network;
  protected readonly config: SearchContext["config"] & Options;
  private readonly adam: AdamOptions;
  private readonly recovery: readonly RecoveryOptions[];
  private held: Codes;
  private readonly diagnosis: CodeDiagnosis;
  private rejectedUpdates = 0;

  /** @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE */
  constructor(
    protected readonly context: SearchContext,
    norms: NormPlacement,
    extras: Pick<NetworkDescription, "dropIdentities"> = {},
  ) {
    const { space, shape, sizes, budget, device } = context;
    this.config = context.config as SearchContext["config"] & Options;
    const { seed, measurement, compressedLength, lambda, recovery: method } = this.config;
    this.adam = {
      // A run has settled it before; this is for searches outside of runs.
      learningRate:
        this.config.codeLearningRate ??
        usualCodeLearningRate(this.config.epochs * context.sources.training.batchCount),
      betas: this.config.codeBetas,
      weightDecay: this.config.codeWeightDecay,
    };
    const choices = codedChoices(space, () => this.config.distinctPredecessors);
    const recovery = { method, lambda };
    this.recovery = choices.map((choice) => recoveryOptions(choice, recovery));
    this.held = initialCodes({ seed, measurement, compressedLength, choices, recovery }, (supports) =>
      excessOf(sizeOfSelection(sizes, supports), budget),
    );
    this.diagnosis = new CodeDiagnosis(this.held);
    this.network = new Network(
      { ...superNetwork(space, shape, norms, this.selection), ...extras },
      {
        seed,
        device,
        recompute: this.config.recompute,
        trainsAffine: this.affineRule,
      },
    );
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
    this.network.connect(this.selection, this.affineRule);
  }

  /** Takes what a step has made of the codes; their supports are as before. */
  protected learn({ codes, codeGradients }: Trip): void {
    if (codeGradients !== null) this.diagnosis.note(this.held, codeGradients);
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
  protected trainsAffine({ choice }: Place, ends: boolean): boolean {
    return this.held[choice!].frozen || !ends;
  }

  /** Bound, and the same one for the network's life. */
  private readonly affineRule: AffineRule = (place, ends) => this.trainsAffine(place, ends);

  weights() {
    return weightVectors(this.context.space.choices, this.held);
  }

  sparseWeights() {
    const codes = this.held.map(({ recovery: { code, support } }) => support.map((index) => code[index]));
    return vectorsOf(this.context.space.choices, codes);
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
   * @param compared what that distance is of
   */
  protected recover(
    tolerance: number | null,
    compared?: UpdateRules["compared"],
  ): EpochReport & { readonly decision: UpdateDecision } {
    const { choices } = this.context.space;
    const before = this.held;
    const figures = this.diagnosis.end(before);
    const proposed = recoverCodes(before, this.recovery);
    const decision = decideUpdate(before, proposed, { tolerance, compared, fits: this.context.fits });
    this.connect(decision.codes);
    const lines = changeLines(choices, before, decision.codes);
    if (!decision.accepted) {
      this.rejectedUpdates += 1;
      lines.push(
        `  the new network would exceed the size budget: update rejected (${this.rejectedUpdates} so far)`,
      );
    }
    const record = {
      choices: choiceRecords(choices, decision, proposed).map((record, index) => ({
        ...record,
        ...figures[index],
      })),
      accepted: decision.accepted,
      rejectedUpdates: this.rejectedUpdates,
    };
    return { decision, record, lines };
  }

  /** Recovers codes inside of an epoch where that is wanted; none freezes then. To be called after a step. */
  protected recoverAfter({ epoch, index }: StepPlace): void {
    const { recoverEvery, recoveryNoise, epochs, seed } = this.config;
    const turn = epoch * this.context.sources.training.batchCount + index + 1;
    if (recoverEvery === 0 || turn % recoverEvery !== 0) return;
    const noise = recoveryNoise * Math.max(0, 1 - epoch / epochs);
    const stream = RandomStream.named(seed, `recovery/step-${turn}`);
    const proposed = recoverCodes(this.held, this.recovery, (code) => perturbedCode(code, noise, stream));
    const { codes, accepted } = decideUpdate(this.held, proposed, {
      tolerance: null,
      fits: this.context.fits,
    });
    if (!accepted) this.rejectedUpdates += 1;
    this.connect(codes);
  }

  save(): JsonObject {
    const { held, rejectedUpdates, diagnosis } = this;
    return { codes: codesToJson(held), rejectedUpdates, diagnosis: diagnosis.save() };
  }

  /** @throws IstaError CODES_INVALID, CHECKPOINT_DAMAGED */
  restore({ codes, rejectedUpdates, diagnosis }: Readonly<Record<string, unknown>>): void {
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
    this.diagnosis.restore(diagnosis, restored);
  }

  /** Candidates that cannot be chosen, and how far the codes are from the claim that a compressed code loses nothing. */
  diagnose(): JsonObject {
    const { choices } = this.context.space;
    const measurements = this.held.map(({ measurement }) => measurement);
    const dead = deadColumns(measurements, this.recovery, this.config.seed);
    const residuals = this.held.map(({ recovery }) => recovery.residual);
    return {
      deadCandidates: dead.flatMap((columns, choice) =>
        columns.map(
          (index) => `${choices[choice].name}: ${candidateName(choices[choice].candidates[index])}`,
        ),
      ),
      meanResidual: residuals.reduce((sum, value) => sum + value, 0) / residuals.length,
      largestResidual: Math.max(...residuals),
    };
  }
}
