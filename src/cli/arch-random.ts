// `ista-nas arch random`: cells drawn at random, of a given size where that is wanted.
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { printable } from "../base/terminal.js";
import { formatGenotypeJson } from "../formats/genotype-json.js";
import { randomArchitecture } from "../formats/genotype-resolve.js";
import { candidateSizes, sizeOfSelection } from "../space/counts.js";
import { findSpace, usualSpace } from "../space/registry.js";
import type { Architecture, Space } from "../space/space.js";
import { findArchitecture } from "./find-architecture.js";
import { print, printResult } from "./frame.js";
import { positiveNumber, wholeNumber } from "./model-options.js";
import { addShapeOptions, shapeOf } from "./shape-options.js";

interface RandomOptions {
  seed: number;
  space: string;
  out?: string;
  like?: string;
  within: number;
  minMultAdds?: number;
  maxMultAdds?: number;
}

/** Draws before the bounds are taken to be met by hardly any cells. */
const mostDraws = 100_000;

/** From fewest to most mult-adds; null where no bound is given. @throws IstaError USAGE, GENOTYPE_INVALID */
function boundsOf(command: Command, space: Space): { least: number; most: number } | null {
  const { like, within, minMultAdds, maxMultAdds } = command.opts<RandomOptions>();
  if (like === undefined && minMultAdds === undefined && maxMultAdds === undefined) return null;
  if (like === undefined) {
    const bounds = { least: minMultAdds ?? 0, most: maxMultAdds ?? Number.POSITIVE_INFINITY };
    if (bounds.least > bounds.most)
      throw new IstaError(
        "USAGE",
        `--min-mult-adds: expected at most --max-mult-adds (${bounds.most}), got ${bounds.least}`,
      );
    return bounds;
  }
  if (minMultAdds !== undefined || maxMultAdds !== undefined)
    throw new IstaError("USAGE", "--like: expected no --min-mult-adds and --max-mult-adds beside it");
  const found = findArchitecture(like);
  if (found.space !== space)
    throw new IstaError(
      "USAGE",
      `--like ${like}: expected cells of ${space.name}, got some of ${found.space.name}; give --space ${found.space.name}`,
    );
  const { multAdds } = sizeOfSelection(sizesOf(command, space), found.selection);
  return { least: multAdds * (1 - within), most: multAdds * (1 + within) };
}

const sizesOf = (command: Command, space: Space) =>
  candidateSizes(space, shapeOf(command, space), space.norms.plainEvaluation);

/** The first of the architectures of the seed that is within the bounds. @throws IstaError BUDGET_IMPOSSIBLE */
function drawn(command: Command, space: Space): Architecture {
  const { seed } = command.opts<RandomOptions>();
  const bounds = boundsOf(command, space);
  if (bounds === null) return randomArchitecture(seed, space);
  const sizes = sizesOf(command, space);
  for (let draw = 0; draw < mostDraws; draw++) {
    const one = randomArchitecture(seed, space, draw);
    const { multAdds } = sizeOfSelection(sizes, one.selection);
    if (multAdds >= bounds.least && multAdds <= bounds.most) return one;
  }
  throw new IstaError(
    "BUDGET_IMPOSSIBLE",
    `arch random: expected cells with ${Math.round(bounds.least)} to ${bounds.most} mult-adds, found none in ${mostDraws} draws; widen the bounds, or say the size of the network with --cells, --channels and --image-size`,
  );
}

export function registerRandom(arch: Command): void {
  const random = arch.command("random").description("cells drawn at random, to compare a search with");
  random
    .requiredOption(
      "--seed <n>",
      "which ones; without bounds the same as random:SEED elsewhere",
      wholeNumber("--seed", 0),
    )
    .option("--space <name>", "the search space", usualSpace.name)
    .option("--out <file>", "write the genotype there instead of printing it")
    .option("--like <cells>", "of about as many mult-adds as these: a run, a genotype file, a name")
    .option("--within <share>", "how far from these", positiveNumber("--within"), 0.1)
    .option("--min-mult-adds <n>", "of at least so many mult-adds", positiveNumber("--min-mult-adds"))
    .option("--max-mult-adds <n>", "of at most so many mult-adds", positiveNumber("--max-mult-adds"));
  addShapeOptions(random).action(() => {
    const { seed, out, space } = random.opts<RandomOptions>();
    const text = formatGenotypeJson(drawn(random, findSpace(space)));
    if (out === undefined) print(text);
    else {
      writeFileAtomic(out, text);
      printResult(random, { seed, file: out }, () => printable(out));
    }
  });
}
