import { expect, it } from "vitest";
import { resolveConfig } from "../../config/config.js";
import { methodOf } from "../registry.js";
import { usualCodeLearningRate } from "./code-rate.js";

it("is the paper's in the paper's search, larger in shorter ones, and never beyond what codes can follow", () => {
  expect([4900, 100_000, 390, 100, 10].map(usualCodeLearningRate)).toEqual([6e-4, 6e-4, 7.5e-3, 0.029, 0.03]);
});

it("is settled where none is named, and then alone", () => {
  const settled = (flags: Record<string, unknown>, preset?: string) => {
    const { config } = resolveConfig("search", { flags, preset });
    return methodOf(config).settle?.(config as never, 10) ?? null;
  };
  for (const method of ["ista-two-stage", "ista-one-stage"]) {
    const found = settled({ method, epochs: 50 });
    expect(found?.values).toEqual({ codeLearningRate: 5.9e-3 });
    expect(found?.line).toContain("0.0059, because the search has 500 steps");
    expect(settled({ method, codeLearningRate: 0.5 })).toBe(null);
  }
  for (const preset of [
    "cifar10-two-stage",
    "cifar10-one-stage",
    "imagenet-one-stage",
    "demo",
    "demo-one-stage",
  ])
    expect(settled({}, preset)).toBe(null);
  expect(settled({ method: "spos" })).toBe(null);
});
