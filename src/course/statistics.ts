// Running statistics of batch norms, computed again for weights or connections that they were not gathered with.
import type { BatchSource } from "../data/index.js";
import { withoutGradients } from "../engine/autograd.js";
import { scope } from "../engine/tensor.js";
import type { ForwardOptions, Network } from "../nn/network.js";
import { batchTensors, partsOf } from "./batch-step.js";
import { averageStatistics, ownImages, partSizes, withNormsOf } from "./processes.js";

/**
 * Replaces the running means and variances of the network as it is connected now by the means of those of the first batches of the
 * source (from epoch 0 on, into the next ones where it has fewer). What they were before counts for nothing; no weight changes.
 * The event loop gets a turn after each batch.
 * @param batches at least 1
 * @param forward with `microBatch` each part of a batch has statistics of its own, as in a training
 */
export async function recomputeStatistics(
  network: Network,
  source: BatchSource,
  batches: number,
  forward: Pick<ForwardOptions, "weights"> & { readonly microBatch?: number | null } = {},
): Promise<void> {
  if (!(Number.isInteger(batches) && batches >= 1))
    throw new RangeError(`recomputeStatistics: expected at least 1 batch, got ${batches}`);
  let seen = 0;
  for (let index = 0; index < batches; index++) {
    const batch = await source.batch(Math.floor(index / source.batchCount), index % source.batchCount);
    const own = ownImages(batch);
    const shared = own.count < own.partOf.labels.length;
    for (const part of partsOf(own, forward.microBatch ?? null, partSizes(own.partOf.labels.length))) {
      seen += 1;
      const pass = (): void => {
        const { images } = batchTensors(network, part);
        // Share 1 of the first one, 1/2 of the second ...: the plain mean of all.
        network.forward(images, { training: true, weights: forward.weights, momentum: 1 / seen });
      };
      withoutGradients(() => scope(() => withNormsOf(shared, pass)));
    }
    await new Promise(setImmediate);
  }
  averageStatistics(network);
}
