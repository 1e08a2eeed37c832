// A training from its configuration to its results: what the command `train` and the library call.
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { IstaError } from "../base/errors.js";
import type { TrainConfig } from "../config/config.js";
import {
  executeRun,
  type RunControl,
  type RunRequest,
  type RunResult,
  type RunWork,
} from "../course/execute.js";
import { writeConfusion } from "../course/figures.js";
import { firstSays, heard } from "../course/processes.js";
import {
  genotypeFileName,
  lastValidationAccuracy,
  type RunModel,
  readRunModel,
  scoreOf,
  testFigures,
  writeRunModel,
  writeTrainingStart,
} from "../course/results.js";
import { networkShape } from "../course/shape.js";
import { type Sources, splitSeedOf } from "../course/sources.js";
import { type ModelDescription, readModel } from "../formats/model-file.js";
import { requireFiniteOutputs } from "../nn/finite-outputs.js";
import { resolveArchitecture } from "../run/architecture.js";
import { RunDirectory, runFileName } from "../run/directory.js";
import { countNetwork } from "../space/counts.js";
import { findSpace } from "../space/registry.js";
import { type Architecture, evaluationNetwork, genotypeOf, type NetworkDescription } from "../space/space.js";
import { Training } from "./training.js";

/**
 * Weights to begin with: of a safetensors file, or of a run (of an unfinished training those of its best or last checkpoint).
 * @throws IstaError FILE_*, SAFETENSORS_*, MODEL_FILE, RUN_*, CHECKPOINT_*
 */
export function readWeights(path: string): Pick<RunModel, "description" | "weights" | "unfinished"> {
  if (!existsSync(path) || !statSync(path).isDirectory()) return { ...readModel(path), unfinished: null };
  const found = readRunModel(RunDirectory.open(path, "read"));
  if (found !== null) return found;
  throw new IstaError(
    "MODEL_FILE",
    `--init-from ${path}: expected a run with a trained network, or a training with a checkpoint, it has neither`,
  );
}

class TrainingWork implements RunWork<"train", Training> {
  readonly kind = "train";
  private description: NetworkDescription | undefined;
  private architecture: Architecture | undefined;
  private model: ModelDescription | undefined;

  /** @param line takes what the user should know of the weights that the training begins with */
  constructor(private readonly line: (text: string) => void) {}

  plan(config: TrainConfig, sources: Sources, resumed: RunDirectory | null): NetworkDescription {
    // What is resumed has its cells with it: the file or run that they came from may be gone.
    const own = resumed === null ? null : join(resumed.path, genotypeFileName);
    const found = firstSays(() => {
      const text = own !== null && existsSync(own) ? own : config.arch!;
      const { space, selection } = resolveArchitecture(text, findSpace(config.space));
      return { space: space.name, selection };
    });
    this.architecture = { space: findSpace(found.space), selection: found.selection };
    const { norms: placements } = this.architecture.space;
    const norms = config.poolBatchNorm ? placements.normalisedEvaluation : placements.plainEvaluation;
    const shape = networkShape(config, sources);
    this.description = evaluationNetwork(this.architecture, shape, norms);
    const { normalisation, picture, classes } = sources;
    this.model = { architecture: this.architecture, shape, norms, normalisation, ...picture, classes };
    return this.description;
  }

  create(config: TrainConfig, sources: Sources, resumed: RunDirectory | null): Training {
    const training = new Training(config, sources, this.description!);
    const begins = resumed === null || !firstSays(() => resumed.hasCheckpoint("last"));
    if (!begins || config.initFrom === null) return training;
    const { initFrom } = config;
    const { weights, unfinished } = firstSays(() => {
      const { weights, unfinished } = readWeights(initFrom);
      return { weights, unfinished };
    });
    const drawn = training.start(weights);
    requireFiniteOutputs(training.network, sources.normalisation, `--init-from ${config.initFrom}`);
    if (unfinished !== null)
      this.line(
        `begins with the weights of ${config.initFrom}, checkpoint \`${unfinished.checkpoint}\` after ${unfinished.epochs} epochs`,
      );
    if (drawn !== null)
      this.line(
        `${config.initFrom} knows ${drawn} classes, the data have ${sources.classes.length}: the classifier is drawn anew, all other weights are taken over`,
      );
    return training;
  }

  begin(_training: Training, run: RunDirectory, config: TrainConfig): void {
    writeTrainingStart(run, this.model!, basename(config.arch!));
  }

  async finish(
    training: Training,
    run: RunDirectory,
    config: TrainConfig,
    sources: Sources,
    { observer }: RunControl,
  ) {
    const best =
      sources.validation === null
        ? null
        : firstSays(() => (run.hasCheckpoint("best") ? run.loadCheckpoint("best") : null));
    if (best !== null) training.takeWeights(best);
    const found = await training.test();
    writeConfusion(run, found, sources.classes);
    writeRunModel(run, { ...this.model!, weights: training.result.stateDict() });
    return {
      ...this.describe(training, run, config),
      // Of the weights that were tested and kept, which need not be those of the last epoch.
      ...(best === null ? {} : { validationAccuracy: scoreOf(best) }),
      ...testFigures(found, (text) => observer.warn(text)),
    };
  }

  describe(_training: Training, run: RunDirectory, config: TrainConfig) {
    const { params, multAdds } = countNetwork(this.description!);
    return {
      arch: basename(config.arch!),
      genotype: genotypeOf(this.architecture!),
      parameters: params,
      multiplyAdds: multAdds,
      validationAccuracy: lastValidationAccuracy(run),
    };
  }
}

/**
 * The split that goes on: of the run that found the cells, or else of the one whose weights are begun with. What was set aside for
 * testing there has not been seen by either.
 */
function splitSeedBefore({ arch, initFrom }: TrainConfig): number {
  for (const path of [arch, initFrom]) {
    if (path === null || !existsSync(join(path, runFileName))) continue;
    const run = RunDirectory.open(path, "read");
    return splitSeedOf(run.config(run.meta.kind));
  }
  return 0;
}

/**
 * Trains a network with fixed cells.
 * @throws IstaError CONFIG_*, GENOTYPE_INVALID, DATA_*, RUN_*, WEIGHTS_MISMATCH and others that name what stopped it
 */
export function runTraining(request: RunRequest<"train">, control: RunControl): Promise<RunResult> {
  const work = new TrainingWork((text) => heard(control.observer).line(text));
  if ("resume" in request) return executeRun(work, request, control);
  const { arch, poolBatchNorm } = request.config;
  if (arch === null) {
    throw new IstaError(
      "CONFIG_VALUE",
      "--arch: expected the cells to train: a run directory, a genotype file, a name such as ISTA_twostage, or random:SEED",
    );
  }
  // The configuration that is kept says it outright: on resumption nothing has to be looked up again.
  const config = firstSays(() => {
    const { norms, space } = resolveArchitecture(arch, findSpace(request.config.space));
    const asSearched = norms?.afterPool ?? false;
    const splitSeed = request.config.splitSeed ?? splitSeedBefore(request.config);
    return { ...request.config, space: space.name, poolBatchNorm: poolBatchNorm ?? asSearched, splitSeed };
  });
  return executeRun(work, { ...request, config }, control);
}
