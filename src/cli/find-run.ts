// The run that a word on the command line means.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { IstaError } from "../base/errors.js";
import { suggestion } from "../base/nearest.js";
import { listRuns } from "../run/listing.js";

/** The run directory that a word on the command line means: a path, or a name in ./runs. */
export function findRun(name: string): string {
  const inRuns = join("runs", name);
  if (!existsSync(name) && basename(name) === name) {
    if (existsSync(inRuns)) return inRuns;
    const known = listRuns("runs").map((run) => run.name);
    if (known.length > 0) {
      throw new IstaError("RUN_NOT_FOUND", `${name}: no such run; ${suggestion(name, known)}`);
    }
  }
  return name;
}
