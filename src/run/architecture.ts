// From what a user writes for an architecture to its cells: a run directory, a genotype file, a name, or random:SEED.
import { existsSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { readFileLimited } from "../base/files.js";
import { largestGenotypeText } from "../formats/genotype-json.js";
import { resolveGenotype } from "../formats/genotype-resolve.js";
import type { Genotype } from "../space/genotype.js";
import { type NormPlacement, normPlacements } from "../space/layout.js";
import { RunDirectory } from "./directory.js";

export interface Architecture {
  readonly genotype: Genotype;
  /** Where the evaluation network has batch norms; null where nothing says. */
  readonly norms: NormPlacement | null;
  /** For tables and summaries: the given name, or the file's or the run's. */
  readonly name: string;
}

/** @throws IstaError GENOTYPE_INVALID, RUN_*, FILE_* */
export function resolveArchitecture(text: string): Architecture {
  if (!existsSync(text)) return { ...resolveGenotype(text), name: text };
  const path = resolve(text);
  if (!statSync(path).isDirectory()) {
    const content = readFileLimited(path, largestGenotypeText).toString("utf8");
    return { ...resolveGenotype(content), name: basename(path) };
  }
  const run = RunDirectory.open(path, "read");
  const file = join(path, "genotype.json");
  if (!existsSync(file)) {
    throw new IstaError(
      "GENOTYPE_INVALID",
      `${text}: the run has no genotype.json yet; let it finish, or name one of ${join(text, "genotypes")}`,
    );
  }
  const { genotype } = resolveGenotype(readFileLimited(file, largestGenotypeText).toString("utf8"));
  return { genotype, norms: normsOfRun(run), name: run.name };
}

/** A one-stage cell has batch norms after pool and skip; a trained network has them where it was told to. */
function normsOfRun(run: RunDirectory): NormPlacement | null {
  if (run.meta.kind === "search") {
    const { mode } = run.config("search");
    return mode === "one-stage" ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation;
  }
  const { poolBatchNorm } = run.config("train");
  if (poolBatchNorm === null) return null;
  return poolBatchNorm ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation;
}
