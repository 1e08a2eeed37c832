// Small networks with random weights and lived-in batch norms, as a training would leave them, for tests of what uses them.
import { RandomStream } from "../../src/base/random.js";
import { randomArchitecture } from "../../src/formats/genotype-resolve.js";
import { type Model, type ModelDescription, usableNetwork } from "../../src/formats/model-file.js";
import { Network } from "../../src/nn/network.js";
import type { StateDict } from "../../src/nn/tensor-store.js";
import { type Architecture, evaluationNetwork, type NetworkShape } from "../../src/space/space.js";

export interface ModelOptions {
  readonly architecture?: Architecture;
  readonly normalised?: boolean;
  readonly shape?: Partial<NetworkShape>;
  readonly classes?: readonly string[];
  readonly resizeRatio?: number;
  readonly seed?: number;
}

/** A fresh network's statistics would make folding trivial: every batch norm gets values of its own. */
function livedIn(weights: StateDict, seed: number): StateDict {
  return new Map(
    [...weights].map(([name, { shape, data }]) => {
      const random = RandomStream.named(seed, `lived in/${name}`);
      const isNorm = weights.has(name.replace(/\.\w+$/, ".running_var"));
      if (!isNorm || data instanceof BigInt64Array) return [name, { shape, data }];
      const value: () => number = /(weight|running_var)$/.test(name)
        ? () => 0.5 + random.uniform()
        : () => 0.3 * random.normal();
      return [name, { shape, data: data.map(value) }];
    }),
  );
}

export function makeModel(options: ModelOptions = {}): Model {
  const { seed = 1, normalised = false, resizeRatio = 1 } = options;
  const channels = options.shape?.inputChannels ?? 3;
  const classes =
    options.classes ?? Array.from({ length: options.shape?.classes ?? 4 }, (_, i) => `class ${i}`);
  const architecture = options.architecture ?? randomArchitecture(seed);
  const { norms: placements } = architecture.space;
  const description: ModelDescription = {
    architecture,
    shape: {
      cells: 3,
      channels: 4,
      inputChannels: 3,
      imageHeight: 16,
      imageWidth: 16,
      stem: "cifar",
      auxiliary: false,
      ...options.shape,
      classes: classes.length,
    },
    norms: normalised ? placements.normalisedEvaluation : placements.plainEvaluation,
    normalisation: {
      mean: [0.5, 0.45, 0.4].slice(0, channels),
      std: [0.25, 0.24, 0.26].slice(0, channels),
    },
    resizeRatio,
    classes,
  };
  const { shape, norms } = description;
  const network = new Network(
    shape.auxiliary ? evaluationNetwork(architecture, shape, norms) : usableNetwork(description),
    { seed },
  );
  const weights = livedIn(network.stateDict(), seed);
  network.dispose();
  return { ...description, weights };
}
