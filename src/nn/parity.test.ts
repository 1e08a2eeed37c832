// Whole networks against independent PyTorch modules: logits of both heads, loss, gradients, running statistics.
import { describe, expect, it } from "vitest";
import { awayFromKinks, expectGolden } from "../../test/support/golden.js";
import { goldenShape, type NetworkFields, type SearchFields } from "../../test/support/golden-codes.js";
import { checkSuperNet, goldenRows, loadedNetwork, passResults } from "../../test/support/golden-networks.js";
import { RandomStream } from "../base/random.js";
import { scope } from "../engine/tensor.js";
import { countNetwork } from "../space/counts.js";
import { darts } from "../space/darts/space.js";
import { evaluationNetwork } from "../space/space.js";

describe("two-stage super-net", () => {
  it.each(goldenRows<SearchFields>("two-stage"))("%s", async (_, golden) => {
    const shape = goldenShape(golden.description, golden.tensor("input.images").shape[2]);
    await checkSuperNet(golden, darts, shape, darts.norms.twoStageSuperNet);
  });
});

describe("one-stage super-net", () => {
  it.each(goldenRows<SearchFields>("one-stage"))("%s", async (_, golden) => {
    const shape = goldenShape(golden.description, golden.tensor("input.images").shape[2]);
    await checkSuperNet(golden, darts, shape, darts.norms.oneStageSuperNet);
  });
});

interface EvaluationFields extends NetworkFields {
  readonly genotype: string;
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
  it.each(goldenRows<EvaluationFields>("evaluation"))("%s", async (_, golden) => {
    const { genotype, norm_pool_and_identity: norms, training, parameters, mult_adds } = golden.description;
    const { selection } = darts.named[genotype];
    const description = evaluationNetwork(
      { space: darts, selection },
      goldenShape(golden.description, golden.tensor("input.images").shape[2]),
      norms ? darts.norms.normalisedEvaluation : darts.norms.plainEvaluation,
    );
    expect(countNetwork(description)).toMatchObject({ params: parameters, multAdds: mult_adds });
    let masks: Float32Array | undefined;
    if (golden.has("input.masks")) {
      // The golden masks of identities are ones that nobody draws.
      const { data, shape } = golden.tensor("input.masks");
      const batch = shape[2];
      const { cells } = description.shape;
      const dropped = Array.from({ length: cells }, (_, cell) => {
        const reduction = cell === Math.floor(cells / 3) || cell === Math.floor((2 * cells) / 3);
        const pairs = (reduction ? selection.slice(4) : selection.slice(0, 4)).flatMap((chosen, node) =>
          chosen.map((index) => darts.choices[node].candidates[index]),
        );
        return pairs.flatMap(({ operation, predecessor }, edge) => {
          const start = (cell * pairs.length + edge) * batch;
          const spared = operation === "skip_connect" && !(reduction && predecessor < 2);
          return spared ? [] : Array.from((data as Float32Array).subarray(start, start + batch));
        });
      }).flat();
      masks = Float32Array.from(dropped);
    }
    await awayFromKinks(golden, (nudged) => {
      const network = loadedNetwork(nudged, description);
      const random = masks && new ReplayedMasks(masks);
      const dropPath = random && { probability: 0.2, random };
      const results = scope(() => passResults(nudged, network, { training, dropPath }));
      network.dispose();
      if (random) expect(random.finished).toBe(true);
      expectGolden(nudged, results);
    });
  });
});
