// From what a user writes for an architecture to the architecture: a run directory, a genotype file (FILE:NAME where it has several), a
// name, or random:SEED.
import { existsSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { readFileLimited } from "../base/files.js";
import { findMethodOptions } from "../config/methods.js";
import { resolveGenotype } from "../formats/genotype-resolve.js";
import { findSpace, usualSpace } from "../space/registry.js";
import type { Architecture, NormPlacement, Space } from "../space/space.js";
import { largestGenotypeText } from "../space/text.js";
import { RunDirectory } from "./directory.js";

/** Bytes of a file with a genotype in it, which may be a log or a module of a program. */
const largestFile = 4 << 20;

export interface FoundArchitecture extends Architecture {
  /** Where the evaluation network has batch norms; null where nothing says. */
  readonly norms: NormPlacement | null;
  /** For tables and summaries: the given name, or the file's or the run's. */
  readonly name: string;
}

/**
 * @param space of random:SEED, and the one whose names and texts are tried first
 * @throws IstaError GENOTYPE_INVALID, RUN_*, FILE_*
 */
export function resolveArchitecture(text: string, space: Space = usualSpace): FoundArchitecture {
  if (!existsSync(text)) {
    const [, file, named] = /^(.+):([A-Za-z_]\w*)$/.exec(text) ?? [];
    if (file === undefined || !statSync(file, { throwIfNoEntry: false })?.isFile())
      return { ...resolveGenotype(text, space), name: text };
    const content = readFileLimited(file, largestFile).toString("utf8");
    return { ...resolveGenotype(content, space, named), name: named };
  }
  const path = resolve(text);
  if (!statSync(path).isDirectory()) {
    const content = readFileLimited(path, largestFile).toString("utf8");
    return { ...resolveGenotype(content, space), name: basename(path) };
  }
  const run = RunDirectory.open(path, "read");
  const file = join(path, "genotype.json");
  if (!existsSync(file)) {
    throw new IstaError(
      "GENOTYPE_INVALID",
      `${text}: expected a run with a genotype.json, it has none yet; let it finish, or name one of ${join(text, "genotypes")}`,
    );
  }
  const found = resolveGenotype(readFileLimited(file, largestGenotypeText).toString("utf8"), space);
  return { ...found, norms: normsOfRun(run, found.space), name: run.name };
}

/** The space of the architecture that a training is given; for `resolveConfig`. @throws IstaError as resolveArchitecture */
export function spaceOfTraining({ arch, space }: Readonly<Record<string, unknown>>): Space {
  const named = typeof space === "string" ? findSpace(space) : usualSpace;
  return typeof arch === "string" ? resolveArchitecture(arch, named).space : named;
}

/** A network that a search trained on has batch norms after pool and skip; a trained one has them where it was told to. */
function normsOfRun(run: RunDirectory, space: Space): NormPlacement | null {
  if (run.meta.kind === "search") {
    return findMethodOptions(run.config("search").method).trainsNetwork
      ? space.norms.normalisedEvaluation
      : space.norms.plainEvaluation;
  }
  const { poolBatchNorm } = run.config("train");
  if (poolBatchNorm === null) return null;
  return poolBatchNorm ? space.norms.normalisedEvaluation : space.norms.plainEvaluation;
}
