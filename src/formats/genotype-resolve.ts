// From what a user writes for a genotype to the genotype: a name, random:SEED, the text of a JSON file, or the Python form.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { type Genotype, quote } from "../space/genotype.js";
import type { NormPlacement } from "../space/layout.js";
import { type GenotypeName, namedGenotypes } from "../space/named-genotypes.js";
import { randomGenotype } from "../space/random-genotype.js";
import { parseGenotypeJson } from "./genotype-json.js";
import { parseGenotypePython } from "./genotype-python.js";

export interface ResolvedGenotype {
  readonly genotype: Genotype;
  /** Where the published network has batch norms; null where the text does not say. */
  readonly norms: NormPlacement | null;
  /** How it was given. */
  readonly source: "name" | "random" | "json" | "python";
}

/** The random cells of a seed, the same everywhere in the program. */
export const randomGenotypeOfSeed = (seed: number): Genotype =>
  randomGenotype(RandomStream.named(seed, "random-genotype"));

/**
 * Reads a genotype from a name, `random:SEED`, JSON text or Python text. No file is touched.
 * @throws GENOTYPE_INVALID saying what is wrong, with the known names if it looks like one.
 */
export function resolveGenotype(text: string): ResolvedGenotype {
  const trimmed = text.trim();
  if (Object.hasOwn(namedGenotypes, trimmed)) {
    const { genotype, norms } = namedGenotypes[trimmed as GenotypeName];
    return { genotype, norms, source: "name" };
  }
  const seed = /^random:(\d{1,15})$/.exec(trimmed)?.[1];
  if (seed !== undefined)
    return { genotype: randomGenotypeOfSeed(Number(seed)), norms: null, source: "random" };
  if (trimmed.startsWith("{")) return { genotype: parseGenotypeJson(trimmed), norms: null, source: "json" };
  if (/\bGenotype\s*\(/.test(trimmed))
    return { genotype: parseGenotypePython(trimmed), norms: null, source: "python" };
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: expected a name (${Object.keys(namedGenotypes).join(", ")}), random:SEED, JSON or Genotype(...), got ${quote(trimmed)}`,
  );
}
