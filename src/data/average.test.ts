// Images made smaller by averaging: against means by hand, and what does not divide.
import { expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { averagedTo } from "./average.js";

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
