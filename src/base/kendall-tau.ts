// Kendall's rank correlation tau-b, in n log n (Knight 1966).

/** How many pairs a run of `count` equal entries has. */
const pairs = (count: number): number => (count * (count - 1)) / 2;

/** Pairs of neighbours that are equal, over all runs of equal entries. */
function tiedPairs(length: number, equal: (index: number) => boolean): number {
  let [tied, run] = [0, 1];
  for (let index = 1; index <= length; index++) {
    if (index < length && equal(index)) run += 1;
    else {
      tied += pairs(run);
      run = 1;
    }
  }
  return tied;
}

/** Sorts the values by merging and counts the pairs that stood the wrong way round. */
function sortCounting(values: Float64Array<ArrayBuffer>): number {
  const { length } = values;
  let swaps = 0;
  let [from, to] = [values, new Float64Array(length)];
  for (let width = 1; width < length; width *= 2) {
    for (let start = 0; start < length; start += 2 * width) {
      const middle = Math.min(start + width, length);
      const end = Math.min(start + 2 * width, length);
      for (let left = start, right = middle, at = start; at < end; at++) {
        if (left < middle && (right >= end || from[left] <= from[right])) to[at] = from[left++];
        else {
          swaps += middle - left;
          to[at] = from[right++];
        }
      }
    }
    [from, to] = [to, from];
  }
  values.set(from);
  return swaps;
}

/**
 * tau-b of two lists of equal length: (concordant - discordant pairs) / sqrt(pairs not tied in x * pairs not tied in y), -1 to 1.
 * Null where a list has no two different values.
 */
export function kendallTau(x: readonly number[], y: readonly number[]): number | null {
  if (x.length !== y.length)
    throw new RangeError(`kendallTau: expected two lists of one length, got ${x.length} and ${y.length}`);
  const { length } = x;
  const order = [...x.keys()].sort((a, b) => x[a] - x[b] || y[a] - y[b]);
  const [xs, ys] = [order.map((index) => x[index]), Float64Array.from(order, (index) => y[index])];
  const tiedX = tiedPairs(length, (index) => xs[index] === xs[index - 1]);
  const tiedBoth = tiedPairs(length, (index) => xs[index] === xs[index - 1] && ys[index] === ys[index - 1]);
  // Among equal x the y ascend: what is swapped is discordant.
  const discordant = sortCounting(ys);
  const tiedY = tiedPairs(length, (index) => ys[index] === ys[index - 1]);
  const all = pairs(length);
  const scale = Math.sqrt(all - tiedX) * Math.sqrt(all - tiedY);
  return scale === 0 ? null : (all - tiedX - tiedY + tiedBoth - 2 * discordant) / scale;
}
