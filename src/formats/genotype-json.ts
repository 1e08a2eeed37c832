// Architectures as JSON text: the form of genotype files, of every space.

import { IstaError } from "../base/errors.js";
import { architectureOf } from "../space/registry.js";
import type { Architecture } from "../space/space.js";
import { requireGenotypeLength } from "../space/text.js";

/**
 * Reads the JSON form, an object whose `space` names the space, such as
 * `{"space": "darts", "normal": [["skip_connect", 0], ...], "normalConcat": [2, 3, 4, 5], ...}`.
 * @throws GENOTYPE_INVALID saying what is wrong and where.
 */
export function parseGenotypeJson(text: string): Architecture {
  requireGenotypeLength(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.replace(/[\s\p{Cc}]+/gu, " ");
    throw new IstaError("GENOTYPE_INVALID", `genotype: expected JSON, but ${reason}`, { cause: error });
  }
  return architectureOf(value);
}

/** The JSON form, ending in a newline. */
export const formatGenotypeJson = ({ space, selection }: Architecture): string =>
  space.formatGenotype(selection);
