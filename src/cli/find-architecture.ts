// The architecture that a word on the command line means.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { IstaError } from "../base/errors.js";
import { type FoundArchitecture, resolveArchitecture } from "../run/architecture.js";
import { epochName } from "../run/directory.js";
import { requirePlain } from "../run/plain.js";

export const cellsArgument = "run directory (or its name in ./runs), genotype file, name, or random:SEED";

/** The cells that a word means; of a search also those after one of its epochs, counted from 1. */
export function findArchitecture(word: string, epoch?: number): FoundArchitecture {
  const inRuns = join("runs", word);
  const isRunName = !existsSync(word) && basename(word) === word && existsSync(inRuns);
  const place = isRunName ? inRuns : word;
  if (epoch === undefined) return resolveArchitecture(place);
  if (existsSync(place)) requirePlain(place);
  const file = join(place, "genotypes", `${epochName(epoch - 1)}.json`);
  if (!existsSync(file)) {
    throw new IstaError(
      "FILE_NOT_FOUND",
      `--epoch ${epoch}: expected ${file}, there is none; is ${word} a search, and that far?`,
    );
  }
  return { ...resolveArchitecture(file), name: `${word}, epoch ${epoch}` };
}
