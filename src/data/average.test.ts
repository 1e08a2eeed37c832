// Images made smaller by averaging: against means by hand, and what does not divide.
import { expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { averagedSource, averagedTo } from "./average.js";

const set = (channels: number, side: number, images: number[]) => ({
  channels,
  height: side,
  width: side,
  count: images.length / (channels * side * side),
  classes: ["a", "b"],
  images: Uint8Array.from(images),
  labels: Int32Array.of(1),
});

it("takes the mean of every square, in every plane", () => {
  const plane = [...[0, 2, 10, 10, 4, 6, 10, 11], ...[200, 200, 1, 0, 200, 200, 0, 0]];
  const around = Array.from({ length: 64 }, (_, i) => {
    const [y, x] = [Math.floor(i / 8), i % 8];
    return y < 4 && x < 4 ? plane[4 * y + x] : 100;
  });
  const train = set(2, 8, [...around, ...around.map((value) => 255 - value)]);
  const small = averagedTo(train, 4, "folder");
  expect([small.height, small.width, small.count, small.channels]).toEqual([4, 4, 1, 2]);
  const corner = (plane: number) => [0, 1, 4, 5].map((index) => small.images[16 * plane + index]);
  // 0.25 rounds to 0, and 10.25 to 10; of the negative, 252, 244.75, 55 and 254.75.
  expect([corner(0), corner(1)]).toEqual([
    [3, 10, 200, 0],
    [252, 245, 55, 255],
  ]);
  expect(small.labels).toBe(train.labels);
  expect(small.preparation).toEqual({ content: { height: 8, width: 8 }, averaged: 2 });
});

it("puts zeros around a size that does not halve twice before anything is averaged", () => {
  const small = averagedTo(set(1, 20, Array(400).fill(8)), 10, "folder");
  expect([small.height, small.width]).toEqual([12, 12]);
  expect(small.preparation).toEqual({ content: { height: 20, width: 20 }, averaged: 2 });
  expect([...small.images.subarray(0, 12)]).toEqual(Array(12).fill(0));
  expect([...small.images.subarray(12, 24)]).toEqual([0, ...Array(10).fill(8), 0]);
  // 5 of 15, which have a zero around them already: their own size counts.
  const padded = {
    ...set(1, 16, Array(256).fill(9)),
    preparation: { content: { height: 15, width: 15 }, averaged: 1 },
  };
  const third = averagedTo(padded, 5, "folder");
  expect([third.height, third.preparation]).toEqual([8, { content: { height: 15, width: 15 }, averaged: 3 }]);
  expect(averagedTo(padded, 15, "folder")).toBe(padded);
  expect(averagedTo(padded, 16, "folder")).toBe(padded);
});

it("leaves images of the size as they are", () => {
  const images = set(1, 4, Array(16).fill(7));
  expect(averagedTo(images, 4, "folder")).toBe(images);
});

it.each([3, 8, 16])("refuses a side of %d for images of 4", (side) => {
  const images = set(1, 4, Array(16).fill(7));
  expect(() => averagedTo(images, side, "pictures")).toThrow(IstaError);
  expect(() => averagedTo(images, side, "pictures")).toThrow(
    /pictures are 4 x 4; take their own size \(no --image-size\) or 2/,
  );
});

it("averages batches, and refuses sides that are no multiples", async () => {
  const source = {
    ...{ batchCount: 1, exampleCount: 2, channels: 1, height: 2, width: 4, classes: ["a", "b"] },
    batch: async () => ({
      images: Float32Array.from([0, 1, 4, 5, 2, 3, 6, 7, -1, -1, 0.5, 0.5, -1, -1, 0.5, 1.5]),
      labels: Int32Array.of(1, 0),
      count: 2,
    }),
    close: async () => {},
  };
  const small = averagedSource(source, 2);
  expect([small.height, small.width, small.batchCount]).toEqual([1, 2, 1]);
  const { images, labels, count } = await small.batch(0, 0);
  expect([...images]).toEqual([1.5, 5.5, -1, 0.75]);
  expect([[...labels], count]).toEqual([[1, 0], 2]);
  expect(averagedSource(source, 1)).toBe(source);
  expect(() => averagedSource(source, 4)).toThrow("multiples of it, got 2 x 4");
});
