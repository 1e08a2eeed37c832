// The folder of a study: study.json, a configuration for each arm, an ordinary run directory for each seed, and the report.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { jsonText, makeFolder, onFile, removeUnfinished, writeFileAtomic } from "../base/files.js";
import { packageVersion } from "../base/package.js";
import type { SearchConfig } from "../config/config.js";
import { isFinished, trainingPath } from "../run/go-on.js";
import { takeLock } from "../run/lock.js";
import { newFolder } from "../run/new-folder.js";
import { requirePlain } from "../run/plain.js";
import { formatVersion, parseRunFile } from "../run/summary.js";
import {
  changeOfPlan,
  planSchema,
  type ResolvedArm,
  requireArmNames,
  resolveArms,
  type StudyPlan,
} from "./plan.js";

export const studyFileName = "study.json";

const studySchema = planSchema.extend({
  formatVersion: z.int(),
  created: z.string(),
  /** The command line, without the program. */
  command: z.array(z.string()),
  version: z.string(),
});

export interface Study {
  /** Absolute path of its folder. */
  readonly path: string;
  readonly plan: StudyPlan;
  readonly arms: ReadonlyMap<string, ResolvedArm>;
}

/** One run of a study. */
export interface StudyRun {
  readonly arm: string;
  readonly seed: number;
  readonly config: SearchConfig;
  /** Its run directory. */
  readonly path: string;
  /** Configuration file of its arm. */
  readonly configPath: string;
  /** What it writes to standard error. */
  readonly logPath: string;
}

export const isStudy = (path: string): boolean => existsSync(join(path, studyFileName));

/**
 * The plan of the study in a folder.
 * @throws IstaError RUN_NOT_FOUND, RUN_VERSION, RUN_DAMAGED, FILE_JSON, FILE_LINK, CONFIG_VALUE
 */
export function readPlan(folder: string): StudyPlan {
  if (!isStudy(folder))
    throw new IstaError(
      "RUN_NOT_FOUND",
      `${folder}: expected the folder of a study, it has no ${studyFileName}`,
    );
  requirePlain(folder);
  const file = join(folder, studyFileName);
  const plan = planSchema.parse(parseRunFile(file, studySchema));
  // It may be somebody else's, and names of arms become paths.
  requireArmNames(Object.keys(plan.arms), file);
  return plan;
}

/** The study of a plan that lies in a folder. @throws IstaError CONFIG_* */
export const studyOf = (folder: string, plan: StudyPlan): Study => ({
  path: resolve(folder),
  plan,
  arms: resolveArms(plan),
});

/** The runs in the order in which they are made: all arms of a seed before the next seed, so that what is there can be compared. */
export function runsOf({ path, plan, arms }: Study): StudyRun[] {
  return plan.seeds.flatMap((seed) =>
    [...arms].map(([arm, { config }]) => {
      const folder = join(path, arm);
      const run = join(folder, `seed-${seed}`);
      return {
        arm,
        seed,
        config: { ...config, seed },
        path: run,
        configPath: join(folder, "config.json"),
        logPath: `${run}.log`,
      };
    }),
  );
}

/** Whether a run has come to its end, its training included. @throws IstaError RUN_VERSION, RUN_DAMAGED */
export const runIsFinished = ({ path, config }: StudyRun): boolean =>
  isFinished(path) && (!config.thenTrain || isFinished(trainingPath(path)));

/** A study that is worked on: no other process writes its plan and its report meanwhile. */
export interface OpenedStudy extends Study {
  /** Gives the lock back. */
  close(): void;
}

/**
 * Begins a study, or goes on with the one in the folder where it has the same plan; arms and seeds may be added to it.
 * @param place its folder, or where null the name of a new one in ./runs: kind and time where that is null too
 * @throws IstaError CONFIG_RESUME where the study there has another plan, RUN_EXISTS, RUN_LOCKED, CONFIG_*, FILE_*
 */
export function openStudy(plan: StudyPlan, place: { out: string | null; name: string | null }): OpenedStudy {
  const arms = resolveArms(plan);
  const named = place.out ?? (place.name === null ? null : join("runs", place.name));
  const path =
    named !== null && isStudy(named) ? resolve(named) : newFolder({ kind: "study", out: named ?? undefined });
  requirePlain(path, [...arms.keys()]);
  const release = takeLock(path, "study");
  try {
    onFile("clean up", path, () => removeUnfinished(path));
    writePlan(path, plan);
    for (const [name, { options }] of arms) {
      const folder = join(path, name);
      makeFolder(folder);
      writeFileAtomic(join(folder, "config.json"), jsonText(options));
    }
    return { path, plan, arms, close: release };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Writes study.json, or leaves it where it says the same.
 * @param command the command line, without the program
 * @throws IstaError CONFIG_RESUME where another plan is there
 */
export function writePlan(
  path: string,
  plan: StudyPlan,
  command: readonly string[] = process.argv.slice(2),
): void {
  let created = new Date().toISOString();
  if (isStudy(path)) {
    const before = readPlan(path);
    if (JSON.stringify(before) === JSON.stringify(plan)) return;
    const change = changeOfPlan(before, plan);
    if (change !== null)
      throw new IstaError(
        "CONFIG_RESUME",
        `${path}: expected the plan of the study there, got another one: it differs in ${change}; arms and seeds may be added; choose another --out for a new study`,
      );
    created = parseRunFile(join(path, studyFileName), studySchema).created;
  }
  const study = {
    formatVersion,
    created,
    command,
    version: packageVersion,
    ...plan,
  };
  writeFileAtomic(join(path, studyFileName), jsonText(study));
}
