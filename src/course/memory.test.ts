// Tests of the memory estimate: against what runs were measured to need, how it grows, and what it says.
import { describe, expect, it } from "vitest";
import { failure } from "../../test/support/failure.js";
import { IstaError } from "../base/errors.js";
import { presets } from "../config/presets.js";
import { countNetwork } from "../space/counts.js";
import { darts } from "../space/darts/space.js";
import { evaluationNetwork, type NetworkShape } from "../space/space.js";
import {
  checkMemory,
  chooseMicroBatch,
  estimateMemory,
  imagesTogether,
  type MemoryOptions,
  machineMemory,
  memoryOfUse,
  requireMemoryForUse,
} from "./memory.js";

const shape: NetworkShape = {
  cells: 20,
  channels: 36,
  inputChannels: 3,
  classes: 10,
  imageHeight: 32,
  imageWidth: 32,
  stem: "cifar",
  auxiliary: true,
};
const options: MemoryOptions = {
  batchSize: 96,
  microBatch: null,
  prefetch: 2,
  sources: 1,
  averaging: false,
  recompute: false,
};
const { selection } = darts.named.ISTA_twostage;
const network = (change: Partial<NetworkShape> = {}) =>
  evaluationNetwork({ space: darts, selection }, { ...shape, ...change });
const gibibyte = 2 ** 30;

describe("the estimate", () => {
  it("is proportional to the batch, and grows with the network", () => {
    const one = estimateMemory(network(), options);
    const two = estimateMemory(network(), { ...options, batchSize: 192 });
    expect(two.activations).toBeCloseTo(2 * one.activations, 0);
    expect(two.weights).toBe(one.weights);
    for (const change of [{ channels: 40 }, { cells: 21 }, { imageHeight: 36 }, { classes: 100 }])
      expect(estimateMemory(network(change), options).total).toBeGreaterThan(one.total);
    expect(estimateMemory(network(), { ...options, averaging: true }).weights).toBeGreaterThan(one.weights);
    expect(one.total).toBe(one.weights + one.activations + one.batches);
  });

  it("of parts of a batch has the activations of a part, the images of all, and one more gradient", () => {
    const whole = estimateMemory(network(), options);
    const parts = estimateMemory(network(), { ...options, microBatch: 24 });
    expect(parts.activations).toBe(estimateMemory(network(), { ...options, batchSize: 24 }).activations);
    expect(parts.batches).toBe(whole.batches);
    const { params } = countNetwork(network());
    expect(parts.weights - estimateMemory(network(), { ...options, batchSize: 24 }).weights).toBeGreaterThan(
      4 * params,
    );
    expect(estimateMemory(network(), { ...options, microBatch: 200 })).toEqual(whole);
  });

  it("knows that only some results are kept", () => {
    // All of the normal cell's operations are max pooling, the first candidate on each predecessor.
    const pools = selection.map((chosen, choice) => {
      const { group, candidates } = darts.choices[choice];
      return group === "normal" ? chosen.map((index) => 7 * candidates[index].predecessor) : chosen;
    });
    const cheap = estimateMemory(evaluationNetwork({ space: darts, selection: pools }, shape), options);
    expect(cheap.activations).toBeLessThan(estimateMemory(network(), options).activations);
  });
});

describe("parts of a batch that are chosen", () => {
  // ImageNet with the paper's preset.
  const { values } = presets["imagenet-train"];
  const large = network({
    ...{ cells: 14, channels: 48, classes: 1000, imageHeight: 224, imageWidth: 224, stem: "imagenet" },
  });
  const wanted = { ...options, batchSize: values.batchSize! };
  const machine = { total: 24 * gibibyte, free: 20 * gibibyte, used: gibibyte };

  it("are the largest with which the run fits", () => {
    expect(failure(() => checkMemory([large], wanted, machine)).code).toBe("MEMORY_NEEDED");
    const { microBatch, line } = chooseMicroBatch([large], wanted, machine)!;
    expect(microBatch).toBe(512);
    expect(line).toMatch(
      /^batches of 1024 images would take about [\d.]+ GiB of memory, the machine has 24\.0 GiB: .*\(--micro-batch 512, about [\d.]+ GiB\)/,
    );
    expect(checkMemory([large], { ...wanted, microBatch }, machine)).toBeNull();
    const smaller = { total: 8 * gibibyte, free: 7 * gibibyte, used: gibibyte };
    expect(chooseMicroBatch([large], wanted, smaller)!.microBatch).toBe(128);
  });

  it("are none where the run fits, was told, or would not fit either", () => {
    expect(chooseMicroBatch([network()], options, machine)).toBeNull();
    expect(chooseMicroBatch([large], { ...wanted, microBatch: 1024 }, machine)).toBeNull();
    expect(chooseMicroBatch([large], wanted, { total: gibibyte, free: 0, used: gibibyte / 2 })).toBeNull();
  });

  it("fit the largest of several networks", () => {
    expect(chooseMicroBatch([network(), large], wanted, machine)!.microBatch).toBe(512);
    expect(failure(() => checkMemory([network(), large], wanted, machine)).message).toContain(
      "--micro-batch 512, a smaller --batch-size (512 fits)",
    );
  });
});

describe("the comparison with the machine", () => {
  const machine = { total: 64 * gibibyte, free: 60 * gibibyte, used: gibibyte / 4 };

  it("is silent when there is enough", () => {
    expect(checkMemory([network()], options, machine)).toBeNull();
  });

  it("warns when enough is there but not free", () => {
    const warning = checkMemory([network()], options, { ...machine, free: gibibyte });
    expect(warning).toMatch(
      /^the run needs about [\d.]+ GiB of memory .* 1\.0 GiB are free now: .*--batch-size \(\d+ fits\)/,
    );
  });

  it("refuses what can never fit, with both numbers and a batch that fits", () => {
    const error = failure(() => checkMemory([network()], { ...options, batchSize: 8192 }, machine));
    expect(error.code).toBe("MEMORY_NEEDED");
    const fits = Number(
      /needs about [\d.]+ GiB .* the machine has 64\.0 GiB; .*--batch-size \((\d+) fits\)/.exec(
        error.message,
      )?.[1],
    );
    const idle = { ...machine, free: machine.total - machine.used };
    expect(checkMemory([network()], { ...options, batchSize: fits }, idle)).toBeNull();
    expect(() => checkMemory([network()], { ...options, batchSize: 2 * fits }, idle)).toThrow(IstaError);
    expect(error.message).not.toContain("\n");
  });

  it("offers to compute again where that is enough", () => {
    const { total } = estimateMemory(network(), options);
    const warning = checkMemory([network()], options, { ...machine, free: total - 1 });
    expect(warning).toContain("use --recompute, --micro-batch 48, a smaller --batch-size (48 fits),");
    expect(
      checkMemory([network()], { ...options, recompute: true }, { ...machine, free: total - 1 }),
    ).toBeNull();
    expect(checkMemory([network()], options, { ...machine, free: gibibyte })).not.toContain("--recompute");
  });

  it("names other ways out when no batch would fit", () => {
    const error = failure(() => checkMemory([network({ channels: 20_000 })], options, machine));
    expect(error.message).toContain("use fewer --channels or --cells or smaller images");
  });

  it("reads the machine", () => {
    const { total, free, used } = machineMemory();
    expect(total).toBeGreaterThan(free);
    expect(free).toBeGreaterThan(0);
    expect(used).toBeGreaterThan(10 * 2 ** 20);
    expect(total).toBeLessThan(2 ** 50);
  });
});

describe("using a network", () => {
  const large = network({ imageHeight: 2048, imageWidth: 2048, auxiliary: false });
  const { weights, perImage } = memoryOfUse(large);
  const machine = { total: 64 * gibibyte, free: weights + 3 * perImage, used: gibibyte / 4 };

  it("takes memory that grows with the area of the images", () => {
    const half = memoryOfUse(network({ imageHeight: 1024, imageWidth: 2048, auxiliary: false }));
    expect(perImage / half.perImage).toBeCloseTo(2, 5);
    expect(half.weights).toBe(weights);
    // Three feature maps of the stem alone, of 108 channels.
    expect(perImage).toBeGreaterThan(4 * 108 * 2048 ** 2);
  });

  it("is refused before anything is made where that is not free", () => {
    requireMemoryForUse(large, "x.safetensors", 3, machine);
    const many = failure(() => requireMemoryForUse(large, "x.safetensors", 4, machine));
    expect([many.code, many.message]).toEqual([
      "MEMORY_NEEDED",
      expect.stringMatching(
        /^x\.safetensors: 4 images of 2048 x 2048 take about .*GiB.* smaller --batch-size/,
      ),
    ]);
    const one = failure(() => requireMemoryForUse(large, "x", 1, { ...machine, free: gibibyte }));
    expect(one.message).toMatch(/one image of 2048 x 2048 .* 1\.0 GiB are free; use a smaller --image-size/);
  });

  it("goes by 16 images where they are small, and one by one where they are large", () => {
    expect(imagesTogether(network({ auxiliary: false }), 16)).toBe(16);
    expect(imagesTogether(large, 16)).toBe(1);
  });
});
