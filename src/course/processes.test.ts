// What of a batch each of several processes takes, and that their parts are the batch of one.
import { describe, expect, it } from "vitest";
import { MemoryBatchSource } from "../data/memory-source.js";
import { ownPart } from "./processes.js";

describe("parts of a batch", () => {
  it.each([
    [16, 4],
    [17, 4],
    [8, 4],
    [6, 3],
    [1000, 7],
  ])("of %i images in %i processes are all of them once, two or more each", (count, size) => {
    const parts = Array.from({ length: size }, (_, rank) => ownPart(count, { rank, size }));
    expect(
      parts.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index)),
    ).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    for (const part of parts) expect(part.count).toBeGreaterThanOrEqual(2);
  });

  it("are all of it for each where there are fewer than two images for each", () => {
    for (const rank of [0, 1, 2, 3])
      expect(ownPart(7, { rank, size: 4 })).toEqual({ first: 0, count: 7, share: 0.25 });
  });

  it("of one process are the batch", () => expect(ownPart(5)).toEqual({ first: 0, count: 5, share: 1 }));
});

it("images of the parts are varied as those of the whole batch", async () => {
  const [count, size] = [23, 3];
  const values = 3 * 8 * 8;
  const set = {
    images: Uint8Array.from({ length: count * values }, (_, index) => (index * 37) % 251),
    labels: Int32Array.from({ length: count }, (_, index) => index % 5),
    count,
    channels: 3,
    height: 8,
    width: 8,
    classes: ["a", "b", "c", "d", "e"],
  };
  const options = {
    batchSize: 10,
    seed: 4,
    shuffle: true,
    normalisation: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.3, 0.4] },
    augmentation: { padding: 2, flip: true, cutout: 3, colourJitter: [0.2, 0.2, 0.2, 0.1] as const },
  };
  const whole = new MemoryBatchSource(set, options);
  for (const index of [0, 2]) {
    const batch = await whole.batch(1, index);
    for (let rank = 0; rank < size; rank++) {
      const part = (images: number) => ownPart(images, { rank, size });
      const { first, count } = part(batch.count);
      const own = await new MemoryBatchSource(set, { ...options, part }).batch(1, index);
      expect(own.images).toEqual(batch.images.slice(first * values, (first + count) * values));
      expect(own.labels).toEqual(batch.labels.slice(first, first + count));
      expect(own.partOf?.labels).toEqual(batch.labels);
    }
  }
});
