// One command that may be given again and again: what it means for the run directory that it names.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ConfigOf, configForResume, isLeftOpen, type RunKind } from "../config/config.js";
import { RunDirectory } from "./directory.js";
import { type RunSummary, readSummary } from "./summary.js";

/** How long a run goes on; only a change of these gives a finished one something to do. */
const lengths = ["epochs", "trainEpochs"];

/** A run that is to be begun, one that goes on, or one that is finished already. */
export type Standing =
  | { readonly state: "new" }
  | { readonly state: "begun"; readonly flags: Readonly<Record<string, unknown>> }
  | { readonly state: "finished"; readonly summary: RunSummary };

/** Where the training lies that follows a search with --then-train. */
export const trainingPath = (search: string): string => `${search}-train`;

/** @throws IstaError RUN_VERSION, RUN_DAMAGED */
export const isFinished = (path: string): boolean => readSummary(path)?.status === "finished";

/**
 * How the run at `path` stands to the configuration that it is wanted with.
 * @throws IstaError CONFIG_RESUME where it was begun with another one; RUN_*, FILE_*
 */
export function standingOf<Kind extends RunKind>(kind: Kind, config: ConfigOf[Kind], path: string): Standing {
  if (!existsSync(join(path, "meta.json"))) return { state: "new" };
  const run = RunDirectory.open(path, "read");
  const saved = run.config(kind);
  const { splitSeed, ...rest } = config;
  const others = Object.fromEntries(Object.entries(rest).filter(([key, value]) => !isLeftOpen(key, value)));
  // What was begun by an earlier program keeps its split.
  const flags: Readonly<Record<string, unknown>> =
    saved.splitSeed === null && splitSeed === 0 ? others : { ...others, splitSeed };
  const { config: wanted } = configForResume(kind, saved, flags);
  const before = saved as unknown as Readonly<Record<string, unknown>>;
  const after = wanted as unknown as Readonly<Record<string, unknown>>;
  const longer = lengths.some((key) => after[key] !== before[key]);
  const summary = run.summary();
  return summary?.status === "finished" && !longer
    ? { state: "finished", summary }
    : { state: "begun", flags };
}
