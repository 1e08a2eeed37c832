// Whole networks against independent PyTorch modules: logits of both heads, loss, gradients, running statistics.
import { describe, expect, it } from "vitest";
import {
  expectGolden,
  type GoldenCase,
  goldenCases,
  gradientResults,
  type Results,
} from "../../test/support/golden.js";
import {
  goldenCodes,
  goldenShape,
  isCodeKey,
  type NetworkFields,
  type SearchFields,
} from "../../test/support/golden-codes.js";
import { RandomStream } from "../base/random.js";
import { operators } from "../engine/operators.js";
import { scope, Tensor } from "../engine/tensor.js";
import { countNetwork } from "../space/counts.js";
import { connectionAt } from "../space/darts.js";
import {
  evaluationNetwork,
  type NetworkDescription,
  type NormPlacement,
  normPlacements,
  superNetwork,
} from "../space/layout.js";
import { type GenotypeName, namedGenotypes } from "../space/named-genotypes.js";
import { listNodes, mapNodes, supportsOf, weightsOf } from "../sparse/codes.js";
import { compressedGradient } from "../sparse/weights.js";
import { type ForwardOptions, Network } from "./network.js";
import type { StateDict, StoredTensor } from "./parameters.js";

const auxiliaryWeight = 0.4;

/** The network with the weights of the case, which must be exactly the tensors that it has. */
function loadedNetwork(golden: GoldenCase, description: NetworkDescription): Network {
  const network = new Network(description, { seed: 0 });
  const weights: StateDict = new Map();
  for (const prefix of ["parameter.", "buffer."])
    for (const key of golden.keys(prefix))
      if (!isCodeKey(key)) weights.set(key.slice(prefix.length), golden.tensor(key) as StoredTensor);
  network.loadStateDict(weights);
  return network;
}

const crossEntropy = (logits: Tensor, labels: Tensor): Tensor =>
  operators.crossEntropy(logits, labels, null, 1, -100, 0);

/** One pass through the network; `extra` are further leaves, by a key of the caller's. */
function passResults(
  golden: GoldenCase,
  network: Network,
  options: ForwardOptions,
  extra: ReadonlyMap<string, Tensor> = new Map(),
): Results {
  const { data, shape } = golden.tensor("input.images");
  const images = Tensor.from(data as Float32Array, shape).setRequiresGrad(true);
  const labels = Tensor.from(golden.tensor("input.labels").data as BigInt64Array);
  const { logits, auxiliaryLogits } = network.forward(images, options);
  const main = crossEntropy(logits, labels);
  const loss =
    auxiliaryLogits === null
      ? main
      : operators.add(main, operators.scale(crossEntropy(auxiliaryLogits, labels), auxiliaryWeight));
  const leaves = new Map([["input.images", images], ...extra]);
  for (const [name, tensor] of network.trainable) leaves.set(`parameter.${name}`, tensor);
  const results = gradientResults(loss, leaves);
  results.set("output.logits", logits.toFloat32Array());
  results.set("output.loss", [loss.item()]);
  if (auxiliaryLogits !== null) results.set("output.auxiliary_logits", auxiliaryLogits.toFloat32Array());
  for (const [name, { data }] of network.stateDict()) {
    if (data instanceof BigInt64Array) expect(data[0], name).toBe(options.training ? 1n : 0n);
    else if (golden.has(`buffer.${name}`)) results.set(`after.buffer.${name}`, data);
  }
  return results;
}

function checkSuperNet(golden: GoldenCase<SearchFields>, norms: NormPlacement): void {
  const { description } = golden;
  const codes = goldenCodes(golden);
  expect(supportsOf(codes)).toEqual(description.supports);
  const imageSize = golden.tensor("input.images").shape[2];
  const connections = mapNodes(supportsOf(codes), (support) => support.map(connectionAt));
  const network = loadedNetwork(
    golden,
    superNetwork(goldenShape(description, imageSize), norms, connections),
  );
  scope(() => {
    const weights = weightsOf(codes);
    const nodeWeights = mapNodes(codes, ({ frozen }, { group, node }) =>
      Tensor.from(Float32Array.from(weights[group][node])).setRequiresGrad(!frozen),
    );
    const active = listNodes(nodeWeights).filter(({ group, node }) => !codes[group][node].frozen);
    const leaves = new Map(active.map(({ group, node, value }) => [`${group}.${node}`, value]));
    const results = passResults(golden, network, { training: description.training, nodeWeights }, leaves);
    for (const { group, node, value } of listNodes(weights)) results.set(`output.${group}.w.${node}`, value);
    // From the gradient of w to that of b, as a search does it.
    for (const { group, node } of active) {
      const slope = results.get(`gradient.${group}.${node}`);
      results.delete(`gradient.${group}.${node}`);
      if (slope === undefined) continue;
      const { measurement, recovery } = codes[group][node];
      const gradient = compressedGradient(measurement, recovery.support, Float64Array.from(slope));
      results.set(`gradient.parameter.${group}.b.${node}`, gradient);
    }
    expectGolden(golden, results);
  });
  network.dispose();
}

const line = <Fields>(family: string): [string, GoldenCase<Fields>][] =>
  goldenCases<Fields>(family).map((golden) => [golden.name, golden]);

describe("two-stage super-net", () => {
  it.each(line<SearchFields>("two-stage"))("%s", (_, golden) => {
    checkSuperNet(golden, normPlacements.twoStageSuperNet);
  });
});

describe("one-stage super-net", () => {
  it.each(line<SearchFields>("one-stage"))("%s", (_, golden) => {
    checkSuperNet(golden, normPlacements.oneStageSuperNet);
  });
});

interface EvaluationFields extends NetworkFields {
  readonly genotype: GenotypeName;
  readonly norm_pool_and_identity: boolean;
  readonly parameters: number;
  readonly mult_adds: number;
}

/** Draws below the probability where the golden mask is 0, in the order in which a forward pass asks. */
class ReplayedMasks extends RandomStream {
  private position = 0;

  constructor(private readonly masks: Float32Array) {
    super([0, 0, 0, 1]);
  }

  override uniform(): number {
    return this.masks[this.position++] === 0 ? 0 : 0.999;
  }

  get finished(): boolean {
    return this.position === this.masks.length;
  }
}

describe("evaluation networks of published cells", () => {
  it.each(line<EvaluationFields>("evaluation"))("%s", (_, golden) => {
    const { genotype, norm_pool_and_identity: norms, training, parameters, mult_adds } = golden.description;
    const imageSize = golden.tensor("input.images").shape[2];
    const description = evaluationNetwork(
      namedGenotypes[genotype].genotype,
      goldenShape(golden.description, imageSize),
      norms ? normPlacements.normalisedEvaluation : normPlacements.plainEvaluation,
    );
    expect(countNetwork(description)).toMatchObject({ params: parameters, multAdds: mult_adds });
    const network = loadedNetwork(golden, description);
    let random: ReplayedMasks | undefined;
    if (golden.has("input.masks")) {
      // The golden masks of identities are ones that nobody draws.
      const { data, shape } = golden.tensor("input.masks");
      const batch = shape[2];
      const dropped = network.layout.cells.flatMap(({ edges }, cell) =>
        edges.flatMap(({ operation, stride }, edge) => {
          const start = (cell * edges.length + edge) * batch;
          const spared = operation === "skip_connect" && stride === 1;
          return spared ? [] : Array.from((data as Float32Array).subarray(start, start + batch));
        }),
      );
      random = new ReplayedMasks(Float32Array.from(dropped));
    }
    const dropPath = random && { probability: 0.2, random };
    scope(() => expectGolden(golden, passResults(golden, network, { training, dropPath })));
    if (random) expect(random.finished).toBe(true);
    network.dispose();
  });
});
