// How long a step of the search takes here, where the time goes, and how near it is to what the machine can do.
import { resourceUsage } from "node:process";
import { median } from "../base/format.js";
import type { SearchConfig } from "../config/config.js";
import { withoutGradients } from "../engine/autograd.js";
import { setThreads } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { matrixProductRate } from "../engine/speed.js";
import { scope, Tensor } from "../engine/tensor.js";
import { TwoStageSearch } from "../methods/ista/two-stage.js";
import type { NetworkShape } from "../space/layout.js";
import { noiseSources } from "./noise-sources.js";

/** One kind of work of our operators (native/ops/profile.h). */
export interface OperatorTime {
  readonly name: string;
  readonly calls: number;
  readonly seconds: number;
  /** Floating-point operations and bytes that the work needs at least. */
  readonly gigaflop: number;
  readonly gigabytes: number;
}

export interface StepMeasurement {
  /** One entry a step. */
  readonly seconds: readonly number[];
  readonly imagesPerSecond: number;
  /** Floating-point operations of the convolutions and linear layers of a step. */
  readonly gigaflop: number;
  /** Measured rate of matrix products with the same threads, GFLOP/s. */
  readonly matrixRate: number;
  readonly peakMemoryBytes: number;
  /** With `profile`: time per kind of operator over all steps, the longest first. */
  readonly operators?: readonly OperatorTime[];
  /** With `profile`: seconds of a forward pass per stem, cell and head. */
  readonly forward?: readonly { readonly name: string; readonly seconds: number }[];
}

/** The two passes of a step: forward and gradients to the inputs for the codes, and these and the weights' for the weights. */
const passesOfStep = 2 + 3;

/**
 * Measures steps of a two-stage search on random images of 3 channels.
 * @param size height and width of the images, pixels
 */
export async function measureSearchStep(
  config: SearchConfig,
  { size, steps, profile }: { size: number; steps: number; profile: boolean },
): Promise<StepMeasurement> {
  setThreads(config.threads);
  operators.setRecompute(config.recompute);
  const classes = 10;
  const sources = noiseSources({ batchSize: config.batchSize, channels: 3, size, classes });
  const shape: NetworkShape = {
    cells: config.cells,
    channels: config.channels,
    inputChannels: 3,
    classes,
    imageHeight: size,
    imageWidth: size,
    stem: config.stem,
    auxiliary: false,
  };
  const search = new TwoStageSearch(config, sources, shape);
  const matrixRate = matrixProductRate();
  const turn = (index: number): Promise<unknown> => search.step(0, index % sources.training.batchCount);
  for (let warm = 0; warm < 2; warm++) await turn(warm);
  if (profile) operators.profileStart();
  const seconds: number[] = [];
  for (let index = 0; index < steps; index++) {
    const started = performance.now();
    await turn(index);
    seconds.push((performance.now() - started) / 1000);
  }
  const measured = {
    seconds,
    imagesPerSecond: config.batchSize / median(seconds),
    gigaflop: (2 * passesOfStep * search.size.multAdds * config.batchSize) / 1e9,
    matrixRate,
    peakMemoryBytes: resourceUsage().maxRSS * 1024,
  };
  if (!profile) return measured;
  const report = JSON.parse(operators.profileReport()) as OperatorTime[];
  return {
    ...measured,
    operators: report,
    forward: forwardTimes(search, await sources.training.batch(0, 0)),
  };
}

/** Operators run one after another, so that the time between two results belongs to what made the second. */
function forwardTimes(search: TwoStageSearch, batch: { images: Float32Array; count: number }) {
  const { channels, height, width } = search.network.inputSize;
  const times = new Map<string, number>();
  withoutGradients(() =>
    scope(() => {
      const images = Tensor.from(batch.images, [batch.count, channels, height, width]);
      let before = performance.now();
      const inspect = (name: string): void => {
        const now = performance.now();
        const part = /^cells\.\d+/.exec(name)?.[0] ?? name;
        times.set(part, (times.get(part) ?? 0) + (now - before) / 1000);
        before = now;
      };
      search.network.forward(images, { training: true, inspect });
    }),
  );
  return [...times].map(([name, seconds]) => ({ name, seconds }));
}
