// Networks of NAS-Bench-201 against independent PyTorch modules: logits, loss, gradients up to those of b, running statistics.
import { describe, expect, it } from "vitest";
import { awayFromKinks, expectGolden } from "../../../test/support/golden.js";
import { goldenShape, type NetworkFields, type SearchFields } from "../../../test/support/golden-codes.js";
import {
  checkSuperNet,
  goldenRows,
  loadedNetwork,
  passResults,
} from "../../../test/support/golden-networks.js";
import { scope } from "../../engine/tensor.js";
import { countNetwork } from "../counts.js";
import { evaluationNetwork, type NetworkShape } from "../space.js";
import { nasBench201 } from "./space.js";

interface CaseFields extends NetworkFields {
  readonly architecture: string;
  /** Cells of a stage. */
  readonly n: number;
}

interface EvaluationFields extends CaseFields {
  readonly normalised: boolean;
  readonly parameters: number;
  readonly mult_adds: number;
}

interface SuperNetFields extends CaseFields, SearchFields {
  readonly one_stage: boolean;
}

const [{ parse, format }] = nasBench201.texts;
const { norms } = nasBench201;

const shapeOf = (fields: CaseFields, imageSize: number): NetworkShape =>
  goldenShape({ ...fields, cells: 3 * fields.n }, imageSize);

describe("evaluation networks", () => {
  it.each(goldenRows<EvaluationFields>("nas-bench-201", "plain-", "norms-"))("%s", async (_, golden) => {
    const { architecture, normalised, training, parameters, mult_adds } = golden.description;
    const selection = parse(architecture);
    expect(format(selection)).toBe(architecture);
    const description = evaluationNetwork(
      { space: nasBench201, selection },
      shapeOf(golden.description, golden.tensor("input.images").shape[2]),
      normalised ? norms.normalisedEvaluation : norms.plainEvaluation,
    );
    expect(countNetwork(description)).toMatchObject({ params: parameters, multAdds: mult_adds });
    await awayFromKinks(golden, (nudged) => {
      const network = loadedNetwork(nudged, description);
      const results = scope(() => passResults(nudged, network, { training }));
      network.dispose();
      expectGolden(nudged, results);
    });
  });
});

describe("super-nets", () => {
  it.each(goldenRows<SuperNetFields>("nas-bench-201", "two-stage-", "one-stage-"))(
    "%s",
    async (_, golden) => {
      const shape = shapeOf(golden.description, golden.tensor("input.images").shape[2]);
      const { one_stage } = golden.description;
      await checkSuperNet(
        golden,
        nasBench201,
        shape,
        one_stage ? norms.oneStageSuperNet : norms.twoStageSuperNet,
      );
    },
  );
});
