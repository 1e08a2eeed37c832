// Published cells, by name.
import type { NormPlacement, NormPlacements } from "../space.js";
import type { GenotypePair } from "./genotype.js";

/** Where the four kinds of network have batch norms (Yang et al. 2020, arXiv 2010.06176). */
export const normPlacements = {
  plainEvaluation: { afterPool: false, afterSkip: false, affine: true },
  normalisedEvaluation: { afterPool: true, afterSkip: true, affine: true },
  twoStageSuperNet: { afterPool: true, afterSkip: false, affine: false },
  oneStageSuperNet: { afterPool: true, afterSkip: true, affine: true },
} as const satisfies NormPlacements;

export interface PublishedCells {
  readonly description: string;
  readonly cells: readonly [normal: readonly GenotypePair[], reduction: readonly GenotypePair[]];
  /** Where the published network has batch norms: after pooling and identity only in one-stage networks. */
  readonly norms: NormPlacement;
}

/** Those called ISTA are the cells of Yang et al. 2020 (arXiv 2010.06176). */
export const publishedCells = {
  ISTA_twostage: {
    description: "two-stage search on CIFAR-10",
    cells: [
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
    ],
    norms: normPlacements.plainEvaluation,
  },
  ISTA_onestage: {
    description: "one-stage search on CIFAR-10",
    cells: [
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
    ],
    norms: normPlacements.normalisedEvaluation,
  },
  ISTA_ImageNet: {
    description: "search on ImageNet",
    cells: [
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
    ],
    norms: normPlacements.plainEvaluation,
  },
  DARTS_V2: {
    description: "DARTS, second order, on CIFAR-10 (Liu et al. 2019)",
    cells: [
      [
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 1],
        ["skip_connect", 0],
        ["skip_connect", 0],
        ["dil_conv_3x3", 2],
      ],
      [
        ["max_pool_3x3", 0],
        ["max_pool_3x3", 1],
        ["skip_connect", 2],
        ["max_pool_3x3", 1],
        ["max_pool_3x3", 0],
        ["skip_connect", 2],
        ["skip_connect", 2],
        ["max_pool_3x3", 1],
      ],
    ],
    norms: normPlacements.plainEvaluation,
  },
  PC_DARTS_cifar: {
    description: "PC-DARTS on CIFAR-10 (Xu et al. 2020)",
    cells: [
      [
        ["sep_conv_3x3", 1],
        ["skip_connect", 0],
        ["sep_conv_3x3", 0],
        ["dil_conv_3x3", 1],
        ["sep_conv_5x5", 0],
        ["sep_conv_3x3", 1],
        ["avg_pool_3x3", 0],
        ["dil_conv_3x3", 1],
      ],
      [
        ["sep_conv_5x5", 1],
        ["max_pool_3x3", 0],
        ["sep_conv_5x5", 1],
        ["sep_conv_5x5", 2],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 3],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 2],
      ],
    ],
    norms: normPlacements.plainEvaluation,
  },
} as const satisfies Record<string, PublishedCells>;
