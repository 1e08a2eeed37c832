// From what a user writes for an architecture to the architecture: a name, random:SEED, JSON text, or another text of a space.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { allSpaces, usualSpace } from "../space/registry.js";
import {
  type Architecture,
  type NormPlacement,
  randomSelection,
  type Space,
  type TextForm,
} from "../space/space.js";
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
 * @param named which genotype of a longer text is meant, such as a module with several
 * @throws GENOTYPE_INVALID saying what is wrong, with the known names if it looks like one.
 */
export function resolveGenotype(
  text: string,
  space: Space = usualSpace,
  named: string | null = null,
): ResolvedGenotype {
  const trimmed = text.trim();
  const spaces = [space, ...allSpaces().filter((one) => one !== space)];
  for (const one of named === null ? spaces : []) {
    if (!Object.hasOwn(one.named, trimmed)) continue;
    const { selection, norms } = one.named[trimmed];
    return { space: one, selection, norms, source: "name" };
  }
  const [, place, seed] = /^random:(?:([\w.-]{1,60}):)?(\d{1,15})$/.exec(trimmed) ?? [];
  if (seed !== undefined) {
    const drawn = place === undefined ? space : spaces.find(({ name }) => name === place);
    if (drawn !== undefined)
      return { ...randomArchitecture(Number(seed), drawn), norms: null, source: "random" };
  }
  // JSON names its space; a form that is JSON as well says so by its keys.
  const isOurs = trimmed.startsWith("{") && /"space"\s*:/.test(trimmed);
  for (const one of isOurs ? [] : spaces)
    for (const form of one.texts)
      if (form.recognises(trimmed)) {
        const selection = form.parse(chosenText(form, trimmed, named));
        return { space: one, selection, norms: null, source: form.name };
      }
  if (trimmed.startsWith("{")) return { ...parseGenotypeJson(trimmed), norms: null, source: "json" };
  const names = spaces.flatMap(({ named: known }) => Object.keys(known));
  const examples = new Set(spaces.flatMap(({ texts }) => texts.map(({ example }) => example)));
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: expected a name (${names.join(", ")}), random:SEED, JSON or ${[...examples].join(" or ")}, got ${quote(trimmed)}`,
  );
}

/** The one genotype of a text, or the one with the name. @throws GENOTYPE_INVALID with the names where it is not clear which is meant */
function chosenText(form: TextForm, text: string, named: string | null): string {
  const found = form.find?.(text) ?? [];
  if (found.length === 0 && named === null) return text;
  const meant = found.filter(({ name }) => named === null || name === named);
  const texts = new Set(meant.map((one) => one.text));
  if (texts.size === 1) return meant[0].text;
  const names = [...new Set(found.flatMap(({ name }) => name ?? []))];
  const known = names.length === 0 ? "" : `, named ${names.slice(0, 20).join(", ")}`;
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: expected one ${form.example}${named === null ? "" : ` named ${quote(named)}`}, got ${found.length}${known}; say which with FILE:NAME, or keep that one alone`,
  );
}
