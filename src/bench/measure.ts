// How long a step of the search takes here, where the time goes, and how near it is to what the machine can do.
import process, { resourceUsage } from "node:process";
import { median } from "../base/format.js";
import type { SearchConfig } from "../config/config.js";
import type { SearchCourse } from "../course/search.js";
import { withoutGradients } from "../engine/autograd.js";
import { setThreads } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { matrixProductRate } from "../engine/speed.js";
import { scope, Tensor } from "../engine/tensor.js";
import { methodOf } from "../methods/registry.js";
import { createSearch } from "../methods/run-search.js";
import { countNetwork } from "../space/counts.js";
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
  /** Processor time of each step, of all threads together: what others do on the machine hardly counts in it. */
  readonly processorSeconds: readonly number[];
  readonly imagesPerSecond: number;
  /** Floating-point operations of the convolutions and linear layers of a step. */
  readonly gigaflop: number;
  /** Measured rate of matrix products with the same threads, GFLOP/s. */
  readonly matrixRate: number;
  readonly peakMemoryBytes: number;
  /** Patterns of layers without a fused kernel: they run as compositions, slower. */
  readonly compositions: readonly string[];
  /** With `profile`: time per kind of operator over all steps, the longest first. */
  readonly operators?: readonly OperatorTime[];
  /** With `profile`: seconds of a forward pass per stem, cell and head. */
  readonly forward?: readonly { readonly name: string; readonly seconds: number }[];
}

/**
 * Measures steps of a search on random images of 3 channels.
 * @param size height and width of the images, pixels
 */
export async function measureSearchStep(
  config: SearchConfig,
  { size, steps, profile }: { size: number; steps: number; profile: boolean },
): Promise<StepMeasurement> {
  setThreads(config.threads);
  const classes = 10;
  const sources = noiseSources({ batchSize: config.batchSize, channels: 3, size, classes });
  const course = await createSearch({ ...config, auxiliaryWeight: 0 }, sources);
  const matrixRate = matrixProductRate();
  // In the first epochs some methods spare a part of the step.
  const epoch = course.epochCount - 1;
  const turn = (index: number): Promise<unknown> => course.step(epoch, index % sources.training.batchCount);
  for (let warm = 0; warm < 2; warm++) await turn(warm);
  if (profile) operators.profileStart();
  const seconds: number[] = [];
  const processorSeconds: number[] = [];
  for (let index = 0; index < steps; index++) {
    const started = performance.now();
    const before = process.cpuUsage();
    await turn(index);
    seconds.push((performance.now() - started) / 1000);
    const { user, system } = process.cpuUsage(before);
    processorSeconds.push((user + system) / 1e6);
  }
  const { multAdds } = countNetwork(course.search.network.description);
  const measured = {
    seconds,
    processorSeconds,
    imagesPerSecond: config.batchSize / median(seconds),
    gigaflop: (2 * methodOf(config).passesPerStep * multAdds * config.batchSize) / 1e9,
    matrixRate,
    peakMemoryBytes: resourceUsage().maxRSS * 1024,
    compositions: course.search.network.compositions,
  };
  if (!profile) return measured;
  const report = JSON.parse(operators.profileReport()) as OperatorTime[];
  return {
    ...measured,
    operators: report,
    forward: forwardTimes(course, await sources.training.batch(0, 0)),
  };
}

/** Operators run one after another, so that the time between two results belongs to what made the second. */
function forwardTimes({ search }: SearchCourse, batch: { images: Float32Array; count: number }) {
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
