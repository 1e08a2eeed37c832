// A run from start or resumption to its end: what searches and trainings have in common around their loops.
import { cpuUsage, resourceUsage } from "node:process";
import { IstaError } from "../base/errors.js";
import { type ConfigOf, configForResume, type RunKind } from "../config/config.js";
import { Device, engineInformation, setThreads, vectorCode } from "../engine/device.js";
import type { Checkpoint } from "../run/checkpoint.js";
import { RunDirectory } from "../run/directory.js";
import { configOfBeginning } from "../run/new-folder.js";
import type { RunSummary, SummaryInput } from "../run/summary.js";
import { layersWithWeights } from "../space/graph.js";
import type { NetworkDescription } from "../space/space.js";
import { Board } from "./board.js";
import { adviceFor, ChanceWatch } from "./chance.js";
import { writeFigures } from "./figures.js";
import { type Course, type Observer, readPosition, runCourse, startPosition } from "./loop.js";
import { checkMemory, chooseMicroBatch, memoryOfProcess } from "./memory.js";
import {
  anyProcess,
  firstSays,
  heard,
  isFirst,
  partSizes,
  processCount,
  requireSame,
  synchroniseNorms,
} from "./processes.js";
import { openSources, type Sources } from "./sources.js";

const plainObject = (value: unknown): Readonly<Record<string, unknown>> =>
  value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {};

/** A new run with its configuration and place, or one that goes on with the flags that may change. */
export type RunRequest<Kind extends RunKind> =
  | { readonly config: ConfigOf[Kind]; readonly out?: string; readonly root?: string; readonly name?: string }
  | { readonly resume: string; readonly flags: Readonly<Record<string, unknown>> };

export interface RunControl {
  readonly observer: Observer;
  /** Whether the user asked to stop; looked at after every step. */
  readonly stop: () => boolean;
}

/** A course that can take its state back, and be ended. */
export interface ResumableCourse extends Course {
  /** Groups of tensors that `save` makes and `restore` takes. */
  readonly tensorGroups: readonly string[];
  restore(checkpoint: Checkpoint, state: Readonly<Record<string, unknown>>): void;
  dispose(): void;
}

export interface RunResult {
  readonly path: string;
  readonly status: "finished" | "interrupted";
  readonly summary: RunSummary;
}

type SummaryPart = Partial<RunSummary> & Pick<RunSummary, "arch">;

/** What a kind of run adds: its course, and what it makes of it in the end. */
export interface RunWork<Kind extends RunKind, Work extends ResumableCourse> {
  readonly kind: Kind;
  /** The configuration with what the data decide in it, of a new run, and a line that says so; null where nothing is left to decide. */
  settle?(
    config: ConfigOf[Kind],
    sources: Sources,
  ): { readonly config: ConfigOf[Kind]; readonly line: string } | null;
  /**
   * The largest network that the run trains. Called first.
   * @param resumed the directory of a run that goes on
   * @throws IstaError for what cannot work, before anything large is made
   */
  plan(config: ConfigOf[Kind], sources: Sources, resumed: RunDirectory | null): NetworkDescription;
  /** Networks that it trains besides, not at the same time. @throws IstaError NETWORK_SHAPE */
  otherNetworks?(config: ConfigOf[Kind], sources: Sources): readonly NetworkDescription[];
  /** @throws IstaError for what cannot work, before anything is written */
  create(config: ConfigOf[Kind], sources: Sources, resumed: RunDirectory | null): Promise<Work> | Work;
  /** Writes what a run's directory should have from the start, where it is not there. */
  begin(work: Work, run: RunDirectory, config: ConfigOf[Kind]): void;
  /**
   * Called after the last epoch: evaluates, writes the results into the run directory, and gives its part of the summary. Null when
   * `control.stop` asked to end: it is called again on resumption.
   */
  finish(
    work: Work,
    run: RunDirectory,
    config: ConfigOf[Kind],
    sources: Sources,
    control: RunControl,
  ): Promise<SummaryPart | null>;
  /** The part of the summary of a run that is not at its end. */
  describe(work: Work, run: RunDirectory, config: ConfigOf[Kind]): SummaryPart;
}

/**
 * Carries a run out. On failure the run directory keeps its last checkpoint, and a summary that says `failed`.
 *
 * Where several processes compute the run, all call this; the first one's request counts, and it alone reads and writes the directory.
 * @throws IstaError whatever stops the run
 */
export async function executeRun<Kind extends RunKind, Work extends ResumableCourse>(
  work: RunWork<Kind, Work>,
  asked: RunRequest<Kind>,
  control: RunControl,
): Promise<RunResult> {
  const usedBefore = cpuUsage();
  const observer = heard(control.observer);
  const stop = (): boolean => anyProcess(control.stop());
  const warn = (text: string): void => observer.warn(text);
  const request = firstSays<RunRequest<Kind>>(() =>
    "resume" in asked ? (neverBegun(work.kind, asked.resume, asked.flags) ?? asked) : asked,
  );
  const opened =
    "resume" in request ? directoryOf(() => RunDirectory.open(request.resume, "write", warn)) : null;
  let run = opened;
  let sources: Sources | null = null;
  let course: Work | null = null;
  try {
    let { config, changes }: { config: ConfigOf[Kind]; changes: string[] } =
      "resume" in request
        ? firstSays(() => configForResume(work.kind, opened!.config(work.kind), request.flags))
        : { config: request.config, changes: [] };
    requireOneDevice(config.device);
    synchroniseNorms(config.syncBatchNorm);
    const device = Device.named(config.device);
    setThreads(config.threads);
    sources = await openSources(config);
    const { split, classes } = sources;
    requireSame("images", JSON.stringify([split, classes]), "give all of them the same --data");
    for (const note of sources.notes) observer.line(note);
    for (const warning of sources.warnings) observer.warn(warning);
    const settled = opened === null ? (work.settle?.(config, sources) ?? null) : null;
    if (settled !== null) {
      config = settled.config;
      observer.line(settled.line);
    }
    if (opened !== null) requireSameData(opened, config.data, sources);
    if (config.validationFraction > 0 && sources.validation === null)
      throw new IstaError(
        "CONFIG_VALUE",
        `--validation-fraction ${config.validationFraction}: expected images to be held out, of so few training images (${sources.training.exampleCount}) that is none; use a larger share or more images`,
      );
    const networks = [work.plan(config, sources, opened), ...(work.otherNetworks?.(config, sources) ?? [])];
    if (sources.classes.length === 1)
      observer.warn(
        `the data have one class, ${sources.classes[0]}: there is nothing to tell apart, and every accuracy is 100 %; put pictures of other classes beside it`,
      );
    if (device.isHost) {
      const { microBatch, prefetch, recompute } = config;
      const batchSize = partSizes(config.batchSize).most;
      const averaging = "weightAveraging" in config && config.weightAveraging > 0;
      const kinds = sources.codes === null ? 1 : 2;
      const options = { batchSize, microBatch, prefetch, recompute, averaging, sources: kinds };
      // A run that goes on has what it was given at its beginning.
      const chosen =
        opened === null ? firstSays(() => chooseMicroBatch(networks, options, memoryOfProcess())) : null;
      if (chosen !== null) {
        config = { ...config, microBatch: chosen.microBatch };
        observer.line(chosen.line);
      }
      const warning = checkMemory(networks, { ...options, microBatch: config.microBatch }, memoryOfProcess());
      if (warning !== null) observer.warn(warning);
    }
    for (const description of networks) requireSeveralValues(description, config);
    course = await work.create(config, sources, opened);

    let position = startPosition();
    const kernels = vectorCode().used;
    if ("resume" in request) {
      const { kernels: before = kernels } = opened!.meta.versions;
      if (before !== kernels)
        observer.warn(
          `the run began with kernels for ${before} and goes on with those for ${kernels}: it differs by rounding from one without interruption (ISTA_NAS_VECTOR=${before} where the processor has it)`,
        );
      position = resume(opened!, course, observer);
      for (const change of changes) observer.line(change);
      opened!.noteResumed(config, changes);
      work.begin(course, opened!, config);
    } else {
      const { out, root, name } = request;
      const { libtorchVersion, blasLibrary } = engineInformation();
      const versions = { libtorch: libtorchVersion, blas: blasLibrary, kernels };
      const { split, identity, contents } = sources;
      run = directoryOf(() =>
        RunDirectory.create({
          ...{ kind: work.kind, config, out, root, name, versions, split, warn },
          ...{ dataIdentity: identity(), dataContents: contents() },
        }),
      );
      work.begin(course, run, config);
      observer.line(`run directory ${run.path}`);
    }
    const processorBefore = position.processorSeconds;
    const processorSeconds = (): number | null => {
      const { user, system } = cpuUsage(usedBefore);
      return processorBefore === null ? null : processorBefore + (user + system) / 1e6;
    };
    const summary = (status: RunSummary["status"], part: SummaryPart): SummaryInput => ({
      ...part,
      status,
      method: "method" in config ? config.method : null,
      space: config.space,
      seed: config.seed,
      epochs: position.epoch,
      seconds: position.totalSeconds,
      processorSeconds: processorSeconds(),
      peakMemoryBytes: resourceUsage().maxRSS * 1024,
      preset: config.preset,
      dataset: config.data ?? "",
    });
    try {
      const { saveEvery, keepCheckpoints, logEvery } = config;
      const board = isFirst() ? new Board(run!) : null;
      const { genotype = null } = work.describe(course, run!, config);
      await board?.begin(config, work.kind === "train" ? genotype : null);
      const ended = await runCourse(course, position, {
        run: run!,
        observer,
        stop,
        saveEvery,
        keepCheckpoints,
        board,
        logEvery,
        processorSeconds,
        // A control can learn nothing.
        watch:
          sources.validation === null || ("control" in config && config.control !== "none")
            ? null
            : new ChanceWatch(course.stepCount, sources.validationShare, adviceFor(config, course.stepCount)),
      });
      const started = performance.now();
      const part =
        ended === "finished" ? await work.finish(course, run!, config, sources, { observer, stop }) : null;
      position.totalSeconds += (performance.now() - started) / 1000;
      for (const warning of sources.skipped()) observer.warn(warning);
      const status = part === null ? "interrupted" : "finished";
      if (isFirst()) writeFigures(run!);
      run!.writeSummary(summary(status, part ?? work.describe(course, run!, config)));
      run!.requireWritten();
      return { path: run!.path, status, summary: firstSays(() => run!.summary()!) };
    } catch (error) {
      // The reason counts, not whether a summary could still be written.
      if (!(error instanceof IstaError && error.code === "RUN_GONE")) {
        quietly(() => run!.requireWritten());
        quietly(() => run!.writeLastSummary(summary("failed", work.describe(course!, run!, config))));
      }
      throw error;
    }
  } finally {
    course?.dispose();
    await sources?.close();
    run?.close();
  }
}

/** The directory that the first process opens or makes; the others follow it. */
function directoryOf(open: () => RunDirectory): RunDirectory {
  let own: RunDirectory | null = null;
  const { path, meta } = firstSays(() => {
    own = open();
    return { path: own.path, meta: own.meta };
  });
  return own ?? RunDirectory.follow(path, meta);
}

/** @throws IstaError CONFIG_VALUE */
function requireOneDevice(device: string): void {
  if (processCount() === 1 || device === Device.cpu.name) return;
  throw new IstaError(
    "CONFIG_VALUE",
    `--device ${device}: expected cpu, as several processes exchange what lies in the machine's own memory; run on ${device} in one process`,
  );
}

/** What can be written is; an error that the user could act on is another one than the one that is on its way. */
function quietly(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof IstaError)) throw error;
  }
}

/**
 * Batch norms of one value per channel cannot be trained: those of an auxiliary head, whose maps are 1 x 1, with a batch of one.
 * @throws IstaError CONFIG_VALUE
 */
function requireSeveralValues(
  description: NetworkDescription,
  { batchSize, microBatch }: { readonly batchSize: number; readonly microBatch: number | null },
): void {
  if (batchSize > 1 && microBatch !== 1) return;
  const small = layersWithWeights(description.space.graph(description)).find(
    ({ kind, output }) => kind === "norm" && output.height * output.width === 1,
  );
  if (small === undefined) return;
  throw new IstaError(
    "CONFIG_VALUE",
    `${batchSize > 1 ? "--micro-batch" : "--batch-size"} 1: expected at least 2, because the batch norm ${small.name} has maps of 1 x 1 and needs more than one value of each channel; use larger batches or images, or --auxiliary-weight 0 where it is the auxiliary head's`,
  );
}

/**
 * A run goes on with the images that it began with: with others, or with classes in another order, its figures would mean nothing.
 * @throws IstaError DATA_CHANGED
 */
function requireSameData({ meta, path }: RunDirectory, data: string | null, sources: Sources): void {
  // Runs of an earlier program do not say what they began with.
  if (meta.dataIdentity === null) return;
  const refuse = (what: string): never => {
    throw new IstaError(
      "DATA_CHANGED",
      `--resume: expected the images and the classes that ${path} began with, ${what}; put them back as they were, or start a new run`,
    );
  };
  if (sources.identity() !== meta.dataIdentity)
    refuse(
      `those in ${data} are others (now ${sources.classes.length} classes: ${sources.classes.slice(0, 10).join(", ")})`,
    );
  if (meta.dataContents !== null && sources.contents() !== meta.dataContents)
    refuse(`pictures in ${data} were replaced by others under the same names`);
}

/**
 * A run that was killed when no more of it was there than its configuration: it is begun again, with that. Null for any other folder.
 * @throws IstaError CONFIG_*
 */
function neverBegun<Kind extends RunKind>(
  kind: Kind,
  path: string,
  flags: Readonly<Record<string, unknown>>,
): RunRequest<Kind> | null {
  const saved = configOfBeginning(kind, path);
  return saved && { config: configForResume(kind, saved, flags).config, out: path };
}

/** Takes the state of the last checkpoint; a run that was ended before its first one begins again. */
function resume(run: RunDirectory, course: ResumableCourse, observer: Observer) {
  const checkpoint = firstSays(() => run.resume(course.tensorGroups));
  if (checkpoint === null) {
    observer.warn(`${run.path} has no checkpoint yet: the run begins again`);
    return startPosition();
  }
  if (checkpoint.warning !== null) observer.warn(checkpoint.warning);
  const state = plainObject(checkpoint.state);
  const position = readPosition(state.position);
  course.restore(checkpoint, plainObject(state.course));
  if (position.epoch > course.epochCount || (position.epoch === course.epochCount && position.step > 0)) {
    throw new IstaError(
      "CONFIG_RESUME",
      `--resume: expected at least as many epochs as there are (${position.epoch}, ${position.step} steps), got ${course.epochCount}`,
    );
  }
  if (position.step > course.stepCount) {
    throw new IstaError(
      "CHECKPOINT_DAMAGED",
      `checkpoint: expected a step of ${course.stepCount} in position, got ${position.step}; are the images still the same?`,
    );
  }
  observer.line(`goes on after epoch ${position.epoch}, step ${position.step}`);
  return position;
}
