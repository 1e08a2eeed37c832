// Folding the architecture's weights into batch norms in NAS-Bench-201, where an edge may be zeros that have none.
import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { scope, Tensor } from "../engine/tensor.js";
import { vectorNames } from "../space/mixture.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { evaluationNetwork, randomSelection, type Selection, superNetwork } from "../space/space.js";
import { tensorList } from "../space/tensors.js";
import { absorbWeights } from "./absorption.js";
import { type ForwardOptions, Network } from "./network.js";

const { choices, norms, texts } = nasBench201;
const [{ parse, format }] = texts;
const shape = {
  cells: 6,
  channels: 3,
  inputChannels: 3,
  classes: 5,
  imageHeight: 12,
  imageWidth: 8,
  stem: "cifar",
  auxiliary: false,
} as const;

const logitsOf = (network: Network, options: Omit<ForwardOptions, "training"> = {}): Float32Array =>
  scope(() => {
    const random = RandomStream.named(1, "images");
    const { inputChannels, imageHeight, imageWidth } = shape;
    const size = [4, inputChannels, imageHeight, imageWidth];
    const pixels = Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => random.normal());
    return network
      .forward(Tensor.from(pixels, size), { training: false, ...options })
      .logits.toFloat32Array();
  });

const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs));

function networks(selection: Selection, seed: number) {
  const description = superNetwork(nasBench201, shape, norms.oneStageSuperNet, selection);
  const superNet = new Network(description, { seed });
  // Lived-in batch norms: fresh ones would hide a factor that goes to the wrong place.
  const random = RandomStream.named(seed, "state");
  for (const { name, kind, shape } of tensorList(description)) {
    if (!["gamma", "beta", "running_mean", "running_var"].includes(kind)) continue;
    const data = Float32Array.from({ length: shape[0] }, () =>
      kind === "gamma" || kind === "running_var" ? 0.5 + random.uniform() : 0.3 * random.normal(),
    );
    superNet.loadStatistics(new Map([[name, { shape, data }]]));
  }
  const values = choices.map(({ kept }) =>
    Float64Array.from({ length: kept }, () => Math.fround(random.normal())),
  );
  const weights = new Map(
    choices.map((choice, index) => [
      vectorNames.candidates(choice),
      Tensor.from(Float32Array.from(values[index])),
    ]),
  );
  const folded = absorbWeights(superNet.stateDict(), description, values);
  const plain = evaluationNetwork({ space: nasBench201, selection }, shape, norms.normalisedEvaluation);
  return { superNet, weights, folded, plain };
}

const drawn = [1, 2, 3, 4, 5, 6].map((seed) =>
  format(randomSelection(nasBench201, RandomStream.named(seed, "cells"))),
);

describe("absorption in NAS-Bench-201", () => {
  it.each([
    "|none~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|skip_connect~2|",
    ...drawn,
  ])("gives the super-net's logits, with exactly the tensors of the plain network: %s", (cell) =>
    scope(() => {
      const { superNet, weights, folded, plain } = networks(parse(cell), 3);
      expect([...folded].map(([name, { shape }]) => `${name} ${shape}`).sort()).toEqual(
        tensorList(plain)
          .map(({ name, shape }) => `${name} ${shape}`)
          .sort(),
      );
      const network = new Network(plain, { seed: 0 });
      network.loadStateDict(folded);
      const [expected, unweighted, found] = [
        logitsOf(superNet, { weights }),
        logitsOf(superNet),
        logitsOf(network),
      ];
      const size = largest(expected);
      expect(size).toBeGreaterThan(0.01);
      expect(largest(found.map((value, i) => value - expected[i])) / size).toBeLessThan(1e-5);
      // Where something passes through the cell, the weights matter.
      const passes = !cell.endsWith("|none~0|none~1|none~2|");
      if (passes)
        expect(largest(unweighted.map((value, i) => value - expected[i])) / size).toBeGreaterThan(0.01);
      superNet.dispose();
      network.dispose();
    }),
  );
});
