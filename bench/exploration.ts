// The mechanisms of search alone, without networks: how much of a known best support do they find, on a loss of that support and noise?
//
// Every candidate i of a choice has a worth u_i. A network that keeps S has the loss 1/2 sum over i outside S of u_i^2 once it is trained, and
// 1/2 sum over i in S of (w_i - u_i)^2 more with weights w: the best support keeps the candidates of the greatest worth. Derivatives come
// with noise, losses of trials with noise of the size of the differences between networks.
//
//     npm run bench exploration [SEEDS] [NOISE]
import { z } from "zod";
import { RandomStream } from "../src/base/random.js";
import { trialOptions } from "../src/methods/ista/options.js";
import { type Trial, TrialPlan } from "../src/methods/ista/trial-plan.js";
import { darts } from "../src/space/darts/space.js";
import { randomSelection, type Selection } from "../src/space/space.js";
import {
  initialCodes,
  recoverCodes,
  recoveryOptions,
  stepCodes,
  supportsOf,
  weightsOf,
} from "../src/sparse/codes.js";
import type { MeasurementKind } from "../src/sparse/measurement.js";
import type { RecoveryMethod } from "../src/sparse/recovery.js";

const seeds = Number(process.argv[2] ?? 10);
const noise = Number(process.argv[3] ?? 1);
if (!(seeds >= 1 && noise >= 0)) {
  console.error("bench exploration: expected a number of seeds and a size of the noise, such as 10 1");
  process.exit(2);
}
const { choices } = darts;
/** As many steps as the paper's search has on CIFAR-10, and as many networks as a search by trials trains. */
const [epochs, stepsPerEpoch, trials] = [50, 98, 150];

/** Worth of every candidate; the best of each predecessor alone, so that all mechanisms can have the best support. */
function landscape(seed: number) {
  const stream = RandomStream.named(seed, "worth");
  const worth = choices.map(({ candidates }) => candidates.map(() => Math.abs(stream.normal())));
  const best = choices.map(({ candidates, kept }, choice) => {
    const falling = [...candidates.keys()].sort((a, b) => worth[choice][b] - worth[choice][a]);
    const taken = new Set<number>();
    return falling
      .filter(
        (index) => !taken.has(candidates[index].predecessor) && taken.add(candidates[index].predecessor),
      )
      .slice(0, kept);
  });
  const gain = (selection: Selection): number =>
    selection.reduce(
      (sum, kept, choice) => sum + kept.reduce((part, i) => part + worth[choice][i] ** 2 / 2, 0),
      0,
    );
  const drawn = Array.from({ length: 2000 }, () => gain(randomSelection(darts, stream)));
  const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
  const deviation = Math.sqrt(drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / drawn.length);
  return {
    worth,
    stream,
    /** As a trial would measure it. */
    noisyLoss: (selection: Selection): number => -gain(selection) + noise * deviation * stream.normal(),
    /** Shares of the best support that is found, and of networks drawn evenly that are worse. */
    judge: (selection: Selection) => ({
      found:
        selection.reduce(
          (sum, kept, choice) => sum + kept.filter((i) => best[choice].includes(i)).length,
          0,
        ) / 16,
      better: drawn.filter((value) => value < gain(selection)).length / drawn.length,
    }),
  };
}

interface Outcome {
  readonly found: number;
  readonly better: number;
  /** Share of all candidates that any network had. */
  readonly tried: number;
}

const triedShare = (supports: Iterable<Selection>): number => {
  const seen = new Set<string>();
  for (const support of supports)
    for (const [choice, kept] of support.entries()) for (const i of kept) seen.add(`${choice}/${i}`);
  return seen.size / choices.reduce((sum, { candidates }) => sum + candidates.length, 0);
};

/** As the paper searches: derivatives of the chosen candidates, Adam on b, recovery at the end of an epoch. */
function byDerivatives(seed: number, measurement: MeasurementKind, method: RecoveryMethod): Outcome {
  const { worth, stream, judge } = landscape(seed);
  const coded = choices.map(({ id, candidates, kept }) => ({
    id,
    predecessors: candidates.map(({ predecessor }) => predecessor),
    kept,
    distinctPredecessors: false,
  }));
  const recovery = { method, lambda: 1e-5 };
  const options = coded.map((choice) => recoveryOptions(choice, recovery));
  let codes = initialCodes({ seed, measurement, compressedLength: 7, choices: coded, recovery });
  const supports = [supportsOf(codes)];
  const adam = { learningRate: 6e-4, betas: [0.5, 0.999], weightDecay: 1e-3 } as const;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let step = 0; step < stepsPerEpoch; step++) {
      const weights = weightsOf(codes);
      const gradients = codes.map(({ recovery: { support } }, choice) =>
        Float64Array.from(support, (i, k) => weights[choice][k] - worth[choice][i] + noise * stream.normal()),
      );
      codes = stepCodes(codes, gradients, adam);
    }
    const recovered = recoverCodes(codes, options);
    codes = codes.map((code, choice) => ({ ...code, recovery: recovered[choice] }));
    supports.push(supportsOf(codes));
  }
  return { ...judge(supportsOf(codes)), tried: triedShare(supports) };
}

function byTrials(seed: number, flags: z.input<z.ZodObject<typeof trialOptions>>): Outcome {
  const { noisyLoss, judge } = landscape(seed);
  const plan = new TrialPlan(
    { space: darts, seed, epochs: trials, fits: () => true, multiplyAdds: () => 0 },
    z.object(trialOptions).parse(flags),
  );
  const history: Trial[] = [];
  while (history.length < plan.trialCount) {
    const selection = plan.next(history);
    history.push({ selection, losses: [noisyLoss(selection)] });
  }
  return { ...judge(plan.answer(history)), tried: triedShare(history.map(({ selection }) => selection)) };
}

/** The best of as many networks, drawn evenly. */
function byChance(seed: number): Outcome {
  const { stream, noisyLoss, judge } = landscape(seed);
  const drawn = Array.from({ length: trials }, () => randomSelection(darts, stream));
  const losses = drawn.map(noisyLoss);
  return { ...judge(drawn[losses.indexOf(Math.min(...losses))]), tried: triedShare(drawn) };
}

const mechanisms: readonly [string, (seed: number) => Outcome][] = [
  [
    "one network drawn evenly",
    (seed) => ({
      ...landscape(seed).judge(randomSelection(darts, RandomStream.named(seed, "one"))),
      tried: 0,
    }),
  ],
  [`the best of ${trials} drawn evenly`, byChance],
  ["derivatives, uniform, top-s", (seed) => byDerivatives(seed, "uniform", "top-s")],
  ["derivatives, gaussian, path", (seed) => byDerivatives(seed, "gaussian", "path")],
  ["derivatives, frame, path", (seed) => byDerivatives(seed, "frame", "path")],
  [`${trials} trials, frame, m = 12`, (seed) => byTrials(seed, {})],
  ["  m = 7", (seed) => byTrials(seed, { compressedLength: 7 })],
  ["  m = 20", (seed) => byTrials(seed, { compressedLength: 20 })],
  ["  gaussian", (seed) => byTrials(seed, { measurement: "gaussian" })],
  ["  uniform", (seed) => byTrials(seed, { measurement: "uniform" })],
  ["  not perturbed", (seed) => byTrials(seed, { perturbation: 0 })],
  ["  even to the end", (seed) => byTrials(seed, { warmupTrials: trials })],
];

console.log(`${seeds} seeds, noise ${noise}: means (standard deviations over seeds)`);
console.log(
  `${"mechanism".padEnd(34)}${"best found".padStart(16)}${"better than".padStart(16)}${"tried".padStart(9)}${"seconds".padStart(9)}`,
);
for (const [name, search] of mechanisms) {
  const started = performance.now();
  const outcomes = Array.from({ length: seeds }, (_, seed) => search(seed));
  const spread = (pick: (one: Outcome) => number): string => {
    const values = outcomes.map(pick);
    const mean = values.reduce((sum, value) => sum + value, 0) / seeds;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const deviation = seeds > 1 ? Math.sqrt(squares / (seeds - 1)) : 0;
    return `${(100 * mean).toFixed(0)} % (${(100 * deviation).toFixed(0)})`.padStart(16);
  };
  const tried = outcomes.reduce((sum, one) => sum + one.tried, 0) / seeds;
  const seconds = (performance.now() - started) / 1000 / seeds;
  console.log(
    `${name.padEnd(34)}${spread((one) => one.found)}${spread((one) => one.better)}${`${(100 * tried).toFixed(0)} %`.padStart(9)}${seconds.toFixed(2).padStart(9)}`,
  );
}
