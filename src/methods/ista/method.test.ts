// The networks that the memory of a search by trials is estimated of: the shallow one, and the deep one where there is one.
import { expect, it } from "vitest";
import { searchConfig } from "../../../test/support/courses.js";
import { estimateMemory } from "../../course/memory.js";
import { darts } from "../../space/darts/space.js";
import type { NetworkShape } from "../../space/space.js";
import type { SearchContext } from "../method.js";
import { trials } from "./method.js";

const shape: NetworkShape = {
  ...{ cells: 3, channels: 16, inputChannels: 3, classes: 10 },
  ...{ imageHeight: 32, imageWidth: 32, stem: "cifar", auxiliary: false },
};
const others = (flags: object) => {
  const config = searchConfig({ method: "ista-trials", ...flags }) as SearchContext["config"];
  return trials.otherNetworks!(darts, shape, config);
};

it("are the deep network besides, at its own size", () => {
  expect(others({})).toEqual([]);
  const [deep] = others({ deepCells: 20 });
  expect(deep.shape).toEqual({ ...shape, cells: 20 });
  const options = {
    batchSize: 64,
    microBatch: null,
    prefetch: 2,
    sources: 2,
    averaging: false,
    recompute: false,
  };
  const shallow = trials.plan(
    darts,
    shape,
    searchConfig({ method: "ista-trials" }) as SearchContext["config"],
  );
  expect(estimateMemory(deep, options).total).toBeGreaterThan(2 * estimateMemory(shallow, options).total);
  const [pooled] = others({ deepCells: 20, deepPooling: 2 });
  expect(pooled.shape).toMatchObject({ cells: 20, imageHeight: 16, imageWidth: 16 });
});
