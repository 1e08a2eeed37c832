// From what a user writes for an architecture to the architecture: a name, random:SEED, JSON text, or another text of a space.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { allSpaces, usualSpace } from "../space/registry.js";
import { type Architecture, type NormPlacement, randomSelection, type Space } from "../space/space.js";
import { quote } from "../space/text.js";
import { parseGenotypeJson } from "./genotype-json.js";

export interface ResolvedGenotype extends Architecture {
  /** Where the published network has batch norms; null where the text does not say. */
  readonly norms: NormPlacement | null;
  /** How it was given: by name, at random, as JSON, or in a space's own form. */
  readonly source: string;
}

/**
 * The random architecture of a seed, the same everywhere in the program.
 * @param draw others of that seed, from 1
 */
export const randomArchitecture = (seed: number, space: Space = usualSpace, draw = 0): Architecture => ({
  space,
  selection: randomSelection(
    space,
    RandomStream.named(seed, draw === 0 ? "random-genotype" : `random-genotype/${draw}`),
  ),
});

/**
 * Reads an architecture from a name, `random:SEED`, `random:SPACE:SEED`, JSON text or a text of one of the spaces. No file is touched.
 * @param space the space of `random:SEED`, and the first one whose names and texts are tried
 * @throws GENOTYPE_INVALID saying what is wrong, with the known names if it looks like one.
 */
export function resolveGenotype(text: string, space: Space = usualSpace): ResolvedGenotype {
  const trimmed = text.trim();
  const spaces = [space, ...allSpaces().filter((one) => one !== space)];
  for (const one of spaces) {
    if (!Object.hasOwn(one.named, trimmed)) continue;
    const { selection, norms } = one.named[trimmed];
    return { space: one, selection, norms, source: "name" };
  }
  const [, named, seed] = /^random:(?:([\w.-]{1,60}):)?(\d{1,15})$/.exec(trimmed) ?? [];
  if (seed !== undefined) {
    const drawn = named === undefined ? space : spaces.find(({ name }) => name === named);
    if (drawn !== undefined)
      return { ...randomArchitecture(Number(seed), drawn), norms: null, source: "random" };
  }
  if (trimmed.startsWith("{")) return { ...parseGenotypeJson(trimmed), norms: null, source: "json" };
  for (const one of spaces)
    for (const form of one.texts)
      if (form.recognises(trimmed))
        return { space: one, selection: form.parse(trimmed), norms: null, source: form.name };
  const names = spaces.flatMap(({ named: known }) => Object.keys(known));
  const examples = new Set(spaces.flatMap(({ texts }) => texts.map(({ example }) => example)));
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: expected a name (${names.join(", ")}), random:SEED, JSON or ${[...examples].join(" or ")}, got ${quote(trimmed)}`,
  );
}
