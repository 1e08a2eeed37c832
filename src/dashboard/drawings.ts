// The cells of a run after an epoch, with what is new in them marked.
import { type DrawingOptions, drawSvg } from "../drawing/cells.js";
import { epochName } from "../run/directory.js";
import { architectureOf } from "../space/registry.js";
import type { Architecture } from "../space/space.js";
import { readObjectInside } from "./safe-files.js";

const largestGenotype = 1 << 20;

/** The cells after an epoch (from 0), or those that the run ended with where it is null. Null where there are none, or no known space has them. */
function cellsAfter(folder: string, epoch: number | null): Architecture | null {
  const name = epoch === null ? "genotype.json" : `genotypes/${epochName(epoch)}.json`;
  const genotype = readObjectInside(folder, name, largestGenotype);
  if (genotype === null) return null;
  try {
    // Genotypes of the first versions say no space.
    return architectureOf({ space: "darts", ...genotype });
  } catch {
    return null;
  }
}

/**
 * @param folder real path of the run
 * @param before the epoch that is compared with; null for none
 */
export function drawCells(folder: string, epoch: number | null, before: number | null): string | null {
  const found = cellsAfter(folder, epoch);
  if (found === null) return null;
  const earlier = before === null ? null : cellsAfter(folder, before);
  const options: DrawingOptions = earlier?.space === found.space ? { before: earlier.selection } : {};
  return drawSvg(found, options);
}
