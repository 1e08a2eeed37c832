// What a report needs of the finished runs of a study, as a few small files that can be kept, sent or committed.
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { jsonText, makeFolder, readJson, writeFileAtomic } from "../base/files.js";
import { trainingPath } from "../run/go-on.js";
import { isStudy, readPlan, runIsFinished, runsOf, type Study, studyOf, writePlan } from "./directory.js";
import type { Options, StudyPlan } from "./plan.js";

const maximumFileBytes = 64 << 20;

/** Of each run; its checkpoints, weights and records of epochs stay where they are. */
const keptFiles = ["config.json", "meta.json", "summary.json", "genotype.json"] as const;

/** Options whose paths say where things lie on one machine; images are compared by their identity, whatever their path. */
const pathOptions = ["data", "table"];

/** Options without the folders of this machine. */
const portable = (options: Options): Options =>
  Object.fromEntries(
    Object.entries(options).map(([key, value]) =>
      pathOptions.includes(key) && typeof value === "string" ? [key, basename(value)] : [key, value],
    ),
  );

/** A file of a run without what belongs to this machine. */
function portableFile(name: (typeof keptFiles)[number], value: Options): Options {
  if (name === "config.json") return portable(value);
  if (name === "summary.json") return { ...value, dataset: basename(String(value.dataset ?? "")) };
  if (name !== "meta.json") return value;
  // Command lines hold paths; their options are in the configuration.
  const { name: _, ...host } = (value.host ?? {}) as Options;
  const resumed = Array.isArray(value.resumed) ? (value.resumed as Options[]) : [];
  return {
    ...value,
    command: [],
    resumed: resumed.map((one) => ({ ...one, command: [] })),
    host: { ...host, name: "" },
  };
}

function keepRun(from: string, to: string): void {
  makeFolder(to);
  // The summary comes last: with it the run counts as finished.
  for (const name of [...keptFiles.filter((one) => one !== "summary.json"), "summary.json"] as const) {
    const source = join(from, name);
    if (!existsSync(source)) continue;
    const value = readJson(source, maximumFileBytes) as Options;
    writeFileAtomic(join(to, name), jsonText(portableFile(name, value)));
  }
}

/**
 * Adds the finished runs of a study to an archive, or begins one. What is there already stays as it is.
 * @returns how many runs were added, and how many the archive holds
 * @throws IstaError CONFIG_RESUME where the archive is of a study with other arms, STUDY_EMPTY where no run is finished
 */
export function archiveStudy(study: Study, out: string): { added: number; runs: number } {
  const finished = runsOf(study).filter(runIsFinished);
  if (finished.length === 0)
    throw new IstaError(
      "STUDY_EMPTY",
      `${study.path}: expected finished runs to archive, there are none yet`,
    );
  const earlier = isStudy(out) ? readPlan(out).seeds : [];
  const seeds = [...new Set([...earlier, ...finished.map(({ seed }) => seed)])].sort((a, b) => a - b);
  const plan: StudyPlan = {
    ...study.plan,
    common: portable(study.plan.common),
    arms: Object.fromEntries(Object.entries(study.plan.arms).map(([arm, one]) => [arm, portable(one)])),
    seeds,
    plugins: study.plan.plugins.map((path) => basename(path)),
  };
  makeFolder(out);
  writePlan(out, plan, []);
  let added = 0;
  for (const { arm, seed, path } of finished) {
    const place = join(resolve(out), arm, `seed-${seed}`);
    if (existsSync(join(place, "summary.json"))) continue;
    const training = trainingPath(path);
    if (existsSync(training)) keepRun(training, trainingPath(place));
    keepRun(path, place);
    added += 1;
  }
  return { added, runs: runsOf(studyOf(out, plan)).filter(runIsFinished).length };
}
