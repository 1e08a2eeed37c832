// Published cells, by name.

import { concatenatedNodes } from "./darts.js";
import { type Genotype, type GenotypePair, validateGenotype } from "./genotype.js";
import { type NormPlacement, normPlacements } from "./layout.js";

export interface NamedGenotype {
  readonly description: string;
  readonly genotype: Genotype;
  /** Where the published evaluation network has batch norms: after pooling and identity only in one-stage networks. */
  readonly norms: NormPlacement;
}

function darts(normal: readonly GenotypePair[], reduce: readonly GenotypePair[]): Genotype {
  return validateGenotype({
    space: "darts",
    normal,
    normalConcat: concatenatedNodes,
    reduce,
    reduceConcat: concatenatedNodes,
  });
}

/** The cells of Yang et al. 2020 (arXiv 2010.06176). */
export const namedGenotypes = {
  ISTA_twostage: {
    description: "two-stage search on CIFAR-10",
    genotype: darts(
      [
        ["skip_connect", 0],
        ["dil_conv_3x3", 1],
        ["sep_conv_5x5", 0],
        ["dil_conv_3x3", 2],
        ["dil_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 2],
        ["skip_connect", 0],
      ],
      [
        ["avg_pool_3x3", 0],
        ["sep_conv_5x5", 1],
        ["dil_conv_5x5", 2],
        ["max_pool_3x3", 1],
        ["dil_conv_5x5", 3],
        ["sep_conv_3x3", 1],
        ["dil_conv_5x5", 4],
        ["sep_conv_5x5", 1],
      ],
    ),
    norms: normPlacements.plainEvaluation,
  },
  ISTA_onestage: {
    description: "one-stage search on CIFAR-10",
    genotype: darts(
      [
        ["skip_connect", 0],
        ["dil_conv_3x3", 1],
        ["sep_conv_3x3", 1],
        ["dil_conv_5x5", 2],
        ["avg_pool_3x3", 3],
        ["sep_conv_3x3", 1],
        ["sep_conv_5x5", 1],
        ["sep_conv_3x3", 2],
      ],
      [
        ["avg_pool_3x3", 0],
        ["max_pool_3x3", 1],
        ["skip_connect", 0],
        ["max_pool_3x3", 1],
        ["sep_conv_5x5", 1],
        ["avg_pool_3x3", 0],
        ["max_pool_3x3", 0],
        ["dil_conv_5x5", 2],
      ],
    ),
    norms: normPlacements.normalisedEvaluation,
  },
  ISTA_ImageNet: {
    description: "search on ImageNet",
    genotype: darts(
      [
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["skip_connect", 2],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["dil_conv_5x5", 4],
      ],
      [
        ["skip_connect", 0],
        ["sep_conv_3x3", 1],
        ["dil_conv_5x5", 2],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 0],
        ["skip_connect", 2],
        ["sep_conv_3x3", 2],
        ["skip_connect", 3],
      ],
    ),
    norms: normPlacements.plainEvaluation,
  },
} as const satisfies Record<string, NamedGenotype>;

export type GenotypeName = keyof typeof namedGenotypes;
