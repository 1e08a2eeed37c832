// Codes from losses: against the dual form of ridge regression, by draws, and on losses whose best network is known.
import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { fitLossModel, measure, rankScores, type Supports } from "./loss-model.js";
import { drawMeasurement, withSharedKinds } from "./measurement.js";
import { recover } from "./recovery.js";

const columns = [6, 9];
const rows = 4;
const measurements = columns.map((count, index) =>
  drawMeasurement("frame", rows, count, RandomStream.named(index, "measurement")),
);

const stream = RandomStream.named(3, "networks");
const drawn = (): Supports =>
  columns.map((count) =>
    stream
      .shuffle(Array.from({ length: count }, (_, index) => index))
      .slice(0, 2)
      .sort((a, b) => a - b),
  );

/** Solves M x = y by elimination with pivots. */
function solve(matrix: number[][], y: number[]): number[] {
  const work = matrix.map((row, index) => [...row, y[index]]);
  for (let column = 0; column < work.length; column++) {
    const pivot = work.reduce(
      (best, row, index) =>
        index >= column && Math.abs(row[column]) > Math.abs(work[best][column]) ? index : best,
      column,
    );
    [work[column], work[pivot]] = [work[pivot], work[column]];
    for (const [index, row] of work.entries()) {
      if (index === column) continue;
      const factor = row[column] / work[column][column];
      for (let k = column; k <= work.length; k++) row[k] -= factor * work[column][k];
    }
  }
  return work.map((row, index) => row[work.length] / row[index]);
}

function problem(count: number) {
  const networks = Array.from({ length: count }, drawn);
  const scores = rankScores(networks.map(() => stream.normal()));
  const features = networks.map((one) => Array.from(measure(measurements, one)));
  const centre = features[0].map((_, i) => features.reduce((sum, row) => sum + row[i], 0) / count);
  return { networks, scores, features: features.map((row) => row.map((value, i) => value - centre[i])) };
}

const innerProducts = (features: number[][], shift: number): number[][] =>
  features.map((a, i) =>
    features.map((b, j) => a.reduce((sum, value, k) => sum + value * b[k], 0) + (i === j ? shift : 0)),
  );

describe("the model", () => {
  it.each([5, 30])("is ridge regression of %d losses: the same as by its dual form", (count) => {
    const { networks, scores, features } = problem(count);
    const model = fitLossModel(measurements, networks, scores);
    const dual = solve(innerProducts(features, model.noiseRatio), Array.from(scores));
    const expected = features[0].map((_, i) => features.reduce((sum, row, k) => sum + row[i] * dual[k], 0));
    for (const [i, value] of model.mean.flatMap((one) => [...one]).entries())
      expect(value).toBeCloseTo(expected[i], 9);
    const network = drawn();
    const score = measure(measurements, network).reduce((sum, value, i) => sum + value * expected[i], 0);
    expect(model.score(network)).toBeCloseTo(score, 9);
  });

  it("perturbs codes by their posterior covariance", () => {
    const { networks, scores, features } = problem(20);
    const model = fitLossModel(measurements, networks, scores);
    const mean = model.mean.flatMap((one) => [...one]);
    const draws = 20_000;
    const squares = mean.map(() => 0);
    const normals = RandomStream.named(1, "draws");
    for (let draw = 0; draw < draws; draw++)
      for (const [i, value] of model
        .perturbed(2, normals)
        .flatMap((one) => [...one])
        .entries())
        squares[i] += ((value - mean[i]) / 2) ** 2 / draws;
    // t^2 (I - F^T (F F^T + r I)^-1 F), with t^2 = y^T (F F^T + r I)^-1 y / n.
    const inner = innerProducts(features, model.noiseRatio);
    const dual = solve(inner, Array.from(scores));
    const variance = dual.reduce((sum, value, k) => sum + value * scores[k], 0) / scores.length;
    for (const [i, square] of squares.entries()) {
      const column = features.map((row) => row[i]);
      const share = solve(inner, column).reduce((sum, value, k) => sum + value * column[k], 0);
      expect(square / (variance * (1 - share))).toBeCloseTo(1, 1);
    }
    expect(model.perturbed(0, normals)).toEqual(model.mean);
  });

  it("takes more for noise where there is more", () => {
    const truth = measurements.map(() => Float64Array.from({ length: rows }, () => stream.normal()));
    const networks = Array.from({ length: 200 }, drawn);
    const ratioOf = (noise: number): number => {
      const scores = networks.map((one) => {
        const value = measure(measurements, one).reduce(
          (sum, v, i) => sum + v * truth[Math.floor(i / rows)][i % rows],
          0,
        );
        return value + noise * stream.normal();
      });
      return fitLossModel(measurements, networks, Float64Array.from(scores)).noiseRatio;
    };
    expect(ratioOf(0.3)).toBeLessThan(ratioOf(3));
    expect(ratioOf(3)).toBeLessThan(ratioOf(100));
  });

  it("finds the candidates that lower the loss, also those it has seen together with bad ones only", () => {
    const worth = columns.map((count) => Array.from({ length: count }, () => stream.normal()));
    const lossOf = (network: Supports): number =>
      -network.reduce(
        (sum, one, choice) => sum + one.reduce((part, index) => part + worth[choice][index], 0),
        0,
      );
    const networks = Array.from({ length: 150 }, drawn);
    const losses = networks.map((one) => lossOf(one) + 0.5 * stream.normal());
    const model = fitLossModel(measurements, networks, rankScores(losses));
    const found = model.mean.map(
      (code, choice) =>
        recover(measurements[choice], code, {
          method: "path",
          sparsity: 2,
          lambda: 0,
          nonnegative: true,
        }).support,
    );
    const everywhere = Array.from({ length: 2000 }, drawn).map(lossOf);
    expect(everywhere.filter((loss) => loss < lossOf(found)).length).toBeLessThan(100);
  });
});

describe("rows that choices share", () => {
  const kinds = [
    [0, 1, 2, 0, 1, 2],
    [0, 1, 2, 0, 1, 2, 0, 1, 2],
  ];
  const sharing = measurements.map((one, index) =>
    withSharedKinds(one, { kinds: kinds[index], count: 3, share: 0.8, group: "cell" }),
  );

  it("leave columns as long as they were, and those of a kind close together", () => {
    for (const [index, { rows: m, columns: n, data }] of sharing.entries()) {
      expect([m, n]).toEqual([3 + rows, columns[index]]);
      const column = (i: number): number[] => Array.from({ length: m }, (_, row) => data[row * n + i]);
      const product = (i: number, j: number): number =>
        column(i).reduce((sum, value, row) => sum + value * column(j)[row], 0);
      expect(product(0, 0)).toBeCloseTo(1, 9);
      expect(product(0, 3)).toBeGreaterThan(0.8 - 0.2);
      expect(Math.abs(product(0, 1))).toBeLessThanOrEqual(0.2 + 1e-9);
    }
  });

  it("are one unknown for all: the measure of a network counts its kinds", () => {
    const supports = [
      [0, 1],
      [0, 5],
    ];
    const found = measure(sharing, supports);
    expect(found).toHaveLength(3 + 2 * rows);
    expect([...found.subarray(0, 3)].map((value) => value / Math.sqrt(0.8))).toEqual(
      [2, 1, 1].map((value) => expect.closeTo(value, 9)),
    );
    const codes = fitLossModel(
      sharing,
      Array.from({ length: 9 }, drawn),
      rankScores([4, 2, 7, 1, 9, 3, 8, 6, 5]),
    ).mean;
    expect([...codes[0].subarray(0, 3)]).toEqual([...codes[1].subarray(0, 3)]);
    expect(codes.map(({ length }) => length)).toEqual([3 + rows, 3 + rows]);
  });

  it("tell of one choice what was learnt in another", () => {
    // Kind 2 is good; the second choice is only ever seen with kind 0.
    const supports = Array.from({ length: 30 }, (_, index) => [
      [index % 6, (index + 1 + (index % 4)) % 6],
      [0, 3],
    ]);
    const losses = supports.map(([first]) => -first.filter((candidate) => kinds[0][candidate] === 2).length);
    const { score } = fitLossModel(sharing, supports, rankScores(losses));
    const [bad, good] = [
      [1, 4],
      [2, 8],
    ].map((second) => score([[0, 1], second]));
    expect(good).toBeGreaterThan(bad + 0.5);
  });
});

describe("scores by rank", () => {
  it("are quantiles of the normal distribution, the lowest loss the highest", () => {
    const scores = rankScores([3, 1e9, 2, -5]);
    const outer = 1.1503493803760079;
    const inner = 0.3186393639643752;
    for (const [index, value] of [-inner, -outer, inner, outer].entries())
      expect(scores[index]).toBeCloseTo(value, 6);
  });

  it("that are all equal leave the codes at 0, and perturbed ones anywhere", () => {
    const model = fitLossModel(measurements, Array.from({ length: 9 }, drawn), rankScores(Array(9).fill(1)));
    expect(model.mean.flatMap((code) => [...code])).toEqual(Array(columns.length * rows).fill(0));
    const norms = model.perturbed(1, stream).map((code) => Math.hypot(...code));
    expect(Math.min(...norms)).toBeGreaterThan(0.01);
  });

  it("are equal for equal losses, and their sum is 0 all the same", () => {
    const scores = rankScores([7, 1, 7, 7, 0]);
    expect([scores[2], scores[3]]).toEqual([scores[0], scores[0]]);
    // Ranks 3 to 5 of those that differ.
    const [a, , b, c] = rankScores([7, 1, 8, 9, 0]);
    expect(scores[0]).toBeCloseTo((a + b + c) / 3, 12);
    expect(scores.reduce((sum, score) => sum + score)).toBeCloseTo(0, 9);
  });

  it("depend on nothing but the order", () => {
    const losses = Array.from({ length: 30 }, () => stream.normal());
    expect(rankScores(losses.map(Math.exp))).toEqual(rankScores(losses));
  });
});
