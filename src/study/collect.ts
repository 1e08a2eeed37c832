// The runs of one or several studies, and runs that belong to none, gathered from wherever they lie.
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { loadPlugin } from "../methods/plugins.js";
import { RunDirectory } from "../run/directory.js";
import { trainingPath } from "../run/go-on.js";
import { describeRun, listRuns } from "../run/listing.js";
import { family, type RunSummary, readSummary } from "../run/summary.js";
import { isStudy, readPlan, runsOf, type Study, studyOf } from "./directory.js";
import type { Options } from "./plan.js";

/** A finished run. */
export interface CollectedRun {
  readonly arm: string;
  readonly seed: number;
  readonly path: string;
  readonly kind: RunSummary["kind"];
  readonly config: Options;
  /** Of the program that began it. */
  readonly version: string;
  readonly dataIdentity: string | null;
  readonly summary: RunSummary;
  /** Of the training that followed a search with --then-train. */
  readonly training: RunSummary | null;
}

/** A run that gives no figures. */
export interface MissingRun {
  readonly arm: string;
  readonly seed: number | null;
  readonly path: string;
  readonly reason: string;
}

export interface Collection {
  readonly name: string | null;
  /** In the order in which they are reported. */
  readonly arms: readonly string[];
  readonly runs: readonly CollectedRun[];
  readonly missing: readonly MissingRun[];
  readonly studies: readonly Study[];
  /** The arm that a study names as the one to compare with. */
  readonly baseline: string | null;
}

/** Looks at a run; null where it is not finished, with the reason in `missing`. */
function collectRun(path: string, given: string | null, missing: MissingRun[]): CollectedRun | null {
  const { status, summary, problem } = describeRun(path);
  const lack = (arm: string | null, seed: number | null, reason: string): null => {
    missing.push({ arm: given ?? arm ?? "?", seed, path, reason });
    return null;
  };
  if (problem !== null) return lack(null, null, problem);
  const { meta, ...run } = openRun(path);
  const arm = given ?? summary?.method ?? (summary === null ? meta.kind : family(summary.arch));
  if (status !== "finished" || summary === null)
    return lack(arm, meta.seed, summary === null ? status : `${status} after ${summary.epochs} epochs`);
  const trains = run.config.thenTrain === true;
  const training = trains ? readSummary(trainingPath(path)) : null;
  if (trains && training?.status !== "finished")
    return lack(arm, meta.seed, "the training that follows it is not finished");
  const { kind, seed, dataIdentity } = meta;
  return {
    arm,
    seed,
    path,
    kind,
    ...run,
    version: meta.versions["ista-nas"],
    dataIdentity,
    summary,
    training,
  };
}

function openRun(path: string): { meta: RunDirectory["meta"]; config: Options } {
  const run = RunDirectory.open(path, "read");
  return { meta: run.meta, config: run.config(run.meta.kind) as unknown as Options };
}

/** "ARM=PATH" names the arm of what lies there, unless there is a file of the whole name. */
function placeOf(word: string): { arm: string | null; path: string } {
  const at = word.indexOf("=");
  return at <= 0 || existsSync(word)
    ? { arm: null, path: word }
    : { arm: word.slice(0, at), path: word.slice(at + 1) };
}

/**
 * Everything that lies in places: folders of studies, run directories, folders of these.
 * @param places paths, or ARM=PATH for runs outside of a study; without ARM, a search belongs to the arm called as its method
 * @throws IstaError RUN_NOT_FOUND for a place without runs, USAGE, RUN_*, CONFIG_*, PLUGIN_INVALID, FILE_*
 */
export async function collectRuns(places: readonly string[]): Promise<Collection> {
  const runs = new Map<string, CollectedRun>();
  const missing: MissingRun[] = [];
  const studies: Study[] = [];
  const arms = new Set<string>();
  const add = (path: string, arm: string | null): void => {
    const run = collectRun(path, arm, missing);
    // A run may be named twice: by itself and with its study, which knows its arm.
    if (run !== null && !runs.has(realpathSync(path))) runs.set(realpathSync(path), run);
    if (run !== null) arms.add(run.arm);
  };
  const found = places.map(placeOf);
  for (const { arm, path } of found.filter((place) => isStudy(place.path))) {
    if (arm !== null)
      throw new IstaError("USAGE", `${arm}=${path}: expected no name for a study, whose arms have their own`);
    const plan = readPlan(path);
    for (const plugin of plan.plugins) await loadPlugin(plugin);
    const study = studyOf(path, plan);
    studies.push(study);
    for (const name of Object.keys(plan.arms)) arms.add(name);
    for (const run of runsOf(study))
      if (existsSync(join(run.path, "meta.json"))) add(run.path, run.arm);
      else missing.push({ arm: run.arm, seed: run.seed, path: run.path, reason: "not begun" });
  }
  for (const { arm, path } of found.filter((place) => !isStudy(place.path))) {
    if (existsSync(join(path, "meta.json"))) {
      add(path, arm);
      continue;
    }
    const inside = listRuns(path);
    if (inside.length === 0)
      throw new IstaError(
        "RUN_NOT_FOUND",
        `${path}: expected a study, a run directory or a folder of them, found none there`,
      );
    for (const run of inside) add(run.path, arm);
  }
  return {
    name: studies.find(({ plan }) => plan.name !== null)?.plan.name ?? null,
    arms: [...arms].filter((arm) => [...runs.values()].some((run) => run.arm === arm)),
    runs: [...runs.values()],
    missing,
    studies,
    baseline: studies.find(({ plan }) => plan.baseline !== null)?.plan.baseline ?? null,
  };
}
