// Genotypes as JSON text: the form of genotype files.

import { IstaError } from "../base/errors.js";
import { type Genotype, type GenotypePair, validateGenotype } from "../space/genotype.js";

/** Characters that no genotype text needs; longer ones are refused unread. */
export const largestGenotypeText = 16_384;

/** Throws GENOTYPE_INVALID for a text longer than any genotype. */
export function requireGenotypeLength(text: string): void {
  if (text.length > largestGenotypeText)
    throw new IstaError(
      "GENOTYPE_INVALID",
      `genotype: expected at most ${largestGenotypeText} characters, got ${text.length}`,
    );
}

/**
 * Reads the JSON form `{"space": "darts", "normal": [["skip_connect", 0], ...], "normalConcat": [2, 3, 4, 5], ...}`.
 * @throws GENOTYPE_INVALID saying what is wrong and where.
 */
export function parseGenotypeJson(text: string): Genotype {
  requireGenotypeLength(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.replace(/[\s\p{Cc}]+/gu, " ");
    throw new IstaError("GENOTYPE_INVALID", `genotype: expected JSON, but ${reason}`, { cause: error });
  }
  return validateGenotype(value);
}

/** The JSON form with a line for each node, ending in a newline. */
export function formatGenotypeJson(genotype: Genotype): string {
  const nodes = (pairs: readonly GenotypePair[]): string =>
    Array.from({ length: pairs.length / 2 }, (_, node) =>
      pairs
        .slice(2 * node, 2 * node + 2)
        .map(([operation, predecessor]) => `["${operation}", ${predecessor}]`)
        .join(", "),
    ).join(",\n    ");
  return `{
  "space": "${genotype.space}",
  "normal": [
    ${nodes(genotype.normal)}
  ],
  "normalConcat": [${genotype.normalConcat.join(", ")}],
  "reduce": [
    ${nodes(genotype.reduce)}
  ],
  "reduceConcat": [${genotype.reduceConcat.join(", ")}]
}
`;
}
