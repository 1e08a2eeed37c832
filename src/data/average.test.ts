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
  const top = [0, 2, 10, 10, 4, 6, 10, 11];
  const bottom = [200, 200, 1, 0, 200, 200, 0, 0];
  const plane = [...top, ...bottom];
  const train = set(2, 4, [...plane, ...plane.map((value) => 255 - value)]);
  const small = averagedTo(train, 2, "folder");
  expect([small.height, small.width, small.count, small.channels]).toEqual([2, 2, 1, 2]);
  // 0.25 rounds to 0, and 10.25 to 10; of the negative, 252, 244.75, 55 and 254.75.
  expect([...small.images]).toEqual([3, 10, 200, 0, 252, 245, 55, 255]);
  expect(small.labels).toBe(train.labels);
  expect(small.preparation).toEqual({ content: { height: 4, width: 4 }, averaged: 2 });
});

it("leaves images of the size as they are", () => {
  const images = set(1, 4, Array(16).fill(7));
  expect(averagedTo(images, 4, "folder")).toBe(images);
});

it.each([3, 8, 16])("refuses a side of %d for images of 4", (side) => {
  const images = set(1, 4, Array(16).fill(7));
  expect(() => averagedTo(images, side, "pictures")).toThrow(IstaError);
  expect(() => averagedTo(images, side, "pictures")).toThrow(/pictures are 4 x 4; take their own size or 2/);
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
