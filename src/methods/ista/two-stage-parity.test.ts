// Steps of the two-stage search in both spaces against the same steps in PyTorch, and Adam on b.
import { describe, it } from "vitest";
import { expectGolden, goldenCases, type Results } from "../../../test/support/golden.js";
import { goldenShape } from "../../../test/support/golden-codes.js";
import { checkTrajectory, type TrajectoryFields } from "../../../test/support/golden-trajectory.js";
import { darts } from "../../space/darts/space.js";
import { nasBench201 } from "../../space/nas-bench-201/space.js";
import { adamStep, initialAdamState } from "../../sparse/adam.js";

/** NAS-Bench-201 counts the cells of a stage. */
interface CaseFields extends TrajectoryFields {
  readonly n?: number;
}

describe.each([
  [darts, "trajectory"],
  [nasBench201, "nas-bench-201"],
] as const)("steps of the two-stage search in $name", (space, family) => {
  const cases = goldenCases<CaseFields>(family)
    .filter(({ name }) => family === "trajectory" || name.startsWith("trajectory-"))
    .map((golden) => [golden.name, golden] as const);
  it.each(cases)("%s", async (_, golden) => {
    const { description } = golden;
    const { n } = description;
    const imageSize = golden.tensor("input.training.images.0").shape[2];
    const cells = n === undefined ? description.cells : 3 * n;
    await checkTrajectory(golden, space, goldenShape({ ...description, cells }, imageSize));
  });
});

interface AdamFields {
  readonly optimiser: string;
  readonly learning_rates: readonly number[];
  readonly betas: readonly [number, number];
  readonly weight_decay: number;
  readonly eps: number;
}

describe("Adam on b", () => {
  const cases = goldenCases<AdamFields>("optimisers")
    .filter(({ description }) => description.optimiser === "Adam")
    .map((golden) => [golden.name, golden] as const);
  it.each(cases)("%s", (_, golden) => {
    const { learning_rates, betas, weight_decay: weightDecay, eps: epsilon } = golden.description;
    const results: Results = new Map();
    const squares = learning_rates.map(() => 0);
    for (const key of golden.keys("parameter.")) {
      let parameters: Float64Array = Float64Array.from(golden.floats(key));
      let state = initialAdamState(parameters.length);
      for (const [step, learningRate] of learning_rates.entries()) {
        const gradient = Float64Array.from(
          golden.floats(`input.gradient.${step}.${key.slice("parameter.".length)}`),
        );
        squares[step] += gradient.reduce((sum, value) => sum + value ** 2, 0);
        ({ parameters, state } = adamStep(parameters, gradient, state, {
          learningRate,
          betas,
          weightDecay,
          epsilon,
        }));
        results.set(`after.${step}.${key}`, parameters);
      }
    }
    for (const [step, square] of squares.entries()) results.set(`output.norm.${step}`, [Math.sqrt(square)]);
    expectGolden(golden, results, 1e-6);
  });
});
