// Control runs: searches that can learn nothing, to stand beside one that should. See also `withShuffledLabels` in sources.ts.
import { RandomStream } from "../base/random.js";
import type { SearchConfig } from "../config/config.js";

type Controlled = Pick<SearchConfig, "control" | "seed">;

/** Where in a run something is learnt from: each place has a noise of its own. */
type Place = string | { readonly epoch: number; readonly index: number };

const streamOf = ({ seed }: Controlled, place: Place): RandomStream => {
  const name = typeof place === "string" ? place : `epoch-${place.epoch}/step-${place.index}`;
  return RandomStream.named(seed, `control/random-gradients/${name}`);
};

/** The gradients that an architecture learns from; with random gradients, normal noise of the same length each. */
export function controlledGradients(
  config: Controlled,
  gradients: readonly Float32Array[],
  place: Place,
): readonly Float32Array[] {
  if (config.control !== "random-gradients") return gradients;
  const stream = streamOf(config, place);
  return gradients.map((gradient) => {
    const noise = gradient.map(() => stream.normal());
    const factor = Math.hypot(...gradient) / (Math.hypot(...noise) || 1);
    return noise.map((value) => value * factor);
  });
}

/** A figure by which architectures are judged; with random gradients, noise: uniform from 0 to 1, as accuracies are. */
export const controlledScore = (config: Controlled, score: number, place: Place): number =>
  config.control === "random-gradients" ? streamOf(config, place).uniform() : score;
