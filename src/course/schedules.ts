// Learning rates and drop-path over the epochs, as pure functions.

/** Half a cosine from `start` at epoch 0 to `end` after the last epoch (Loshchilov and Hutter 2017, without restarts). */
export function cosine(epoch: number, epochs: number, start: number, end: number): number {
  return end + ((start - end) * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2;
}

/** The last epochs of the linear schedule, in which the rate falls five times slower. */
const slowEpochs = 5;

/** The ImageNet schedule of the DARTS family: linear to a fifth of what a slow end of 5 epochs leaves, then slowly to ~0. */
export function linear(epoch: number, epochs: number, start: number): number {
  if (epochs <= slowEpochs) return (start * (epochs - epoch)) / epochs;
  const left = epochs - epoch;
  return left > slowEpochs
    ? (start * (epochs - slowEpochs - epoch)) / (epochs - slowEpochs)
    : (start * left) / ((epochs - slowEpochs) * slowEpochs);
}

/** Factor of the learning rate in the first epochs: (epoch + 1) / warmupEpochs, then 1. */
export function warmup(epoch: number, warmupEpochs: number): number {
  return epoch < warmupEpochs ? (epoch + 1) / warmupEpochs : 1;
}

/** Drop-path probability, rising linearly from 0 towards `final` (Zoph et al. 2018). */
export function dropPathProbability(epoch: number, epochs: number, final: number): number {
  return (final * epoch) / epochs;
}
