import { expect, it } from "vitest";
import { resolveConfig } from "../config/config.js";
import { adviceFor, ChanceWatch, largestShare } from "./chance.js";

it("counts the largest class", () => {
  expect(largestShare([2, 0, 2, 1])).toBe(0.5);
  expect(largestShare(new Int32Array())).toBe(0);
});

it("warns once, after five epochs and forty steps in a row that are not above chance", () => {
  const long = new ChanceWatch(100, 0.25, "something else");
  const said = [0.25, 0.2, 0.25, 0.25, 0.26, 0.25, 0.25, 0.25, 0.1, 0.25, 0.25].map((one) => long.note(one));
  expect(said.findIndex((one) => one !== null)).toBe(9);
  expect(said[9]).toMatch(/^for 5 epochs .* not been above 25.0 %.*, try something else$/);
  expect(said[10]).toBe(null);
  const short = new ChanceWatch(3, 0.25, "something else");
  const later = Array.from({ length: 20 }, () => short.note(0.25)).findIndex((one) => one !== null);
  expect(later).toBe(13);
  const oneClass = new ChanceWatch(100, 1, "");
  expect(Array.from({ length: 20 }, () => oneClass.note(1)).every((one) => one === null)).toBe(true);
});

it("names what to change and its present value", () => {
  const { config } = resolveConfig("search", { flags: { codeLearningRate: 0.01, epochs: 7, batchSize: 8 } });
  expect(adviceFor(config, 2)).toBe(
    "a larger --code-learning-rate (now 0.01), another --learning-rate (now 0.1), a smaller --batch-size (now 8) or more --epochs (now 7 of 2 steps)",
  );
  expect(adviceFor(resolveConfig("train", {}).config, 1)).toMatch(/^another --learning-rate \(now 0.025\)/);
});
