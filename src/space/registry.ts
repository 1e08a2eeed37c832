// The spaces that the program knows: the built-in ones, and those that plug-ins add.
import { IstaError } from "../base/errors.js";
import { suggestion } from "../base/nearest.js";
import { checkSpace } from "./check.js";
import { darts } from "./darts/space.js";
import { nasBench201 } from "./nas-bench-201/space.js";
import type { Architecture, Space } from "./space.js";
import { refuseGenotype } from "./text.js";

const spaces = new Map<string, Space>([darts, nasBench201].map((space) => [space.name, space]));

/** The space that is meant where nothing says which. */
export const usualSpace: Space = darts;

/** Adds a space. @throws IstaError PLUGIN_INVALID where the name is taken by another one, or the space is none (see check.ts) */
export function registerSpace(space: Space): void {
  checkSpace(space);
  const known = spaces.get(space.name);
  if (known !== undefined && known !== space)
    throw new IstaError(
      "PLUGIN_INVALID",
      `space ${space.name}: expected a name of its own, there is one of that name`,
    );
  spaces.set(space.name, space);
}

export const allSpaces = (): Space[] => [...spaces.values()];

/** @throws IstaError CONFIG_VALUE for an unknown name */
export function findSpace(name: string): Space {
  const found = spaces.get(name);
  if (found === undefined)
    throw new IstaError(
      "CONFIG_VALUE",
      `--space: expected a known search space, got ${JSON.stringify(name)}; ${suggestion(name, [...spaces.keys()])} (--plugin FILE adds others)`,
    );
  return found;
}

/**
 * The architecture of a JSON form, of whichever space it names.
 * @throws IstaError GENOTYPE_INVALID with the JSON path of the first thing wrong
 */
export function architectureOf(genotype: unknown): Architecture {
  if (typeof genotype !== "object" || genotype === null || Array.isArray(genotype))
    refuseGenotype("$", "an object", genotype);
  const name = (genotype as { space?: unknown }).space;
  const space = typeof name === "string" ? spaces.get(name) : undefined;
  if (space === undefined)
    return refuseGenotype(
      "$.space",
      `${[...spaces.keys()].map((one) => JSON.stringify(one)).join(" or ")} (--plugin FILE adds others)`,
      name,
    );
  return { space, selection: space.fromGenotype(genotype) };
}
