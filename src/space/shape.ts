// Checks of a network's size that all spaces share.
import { IstaError } from "../base/errors.js";
import type { NetworkShape } from "./space.js";

export function refuseShape(what: string): never {
  throw new IstaError("NETWORK_SHAPE", `network shape: ${what}`);
}

/** Refuses a value that is no whole number from `least` on. @throws IstaError NETWORK_SHAPE */
export function requireWhole(
  shape: NetworkShape,
  name: "cells" | "channels" | "inputChannels" | "classes" | "imageHeight" | "imageWidth",
  least: number,
): void {
  const value = shape[name];
  // The upper bound keeps all products of sizes exact integers of a double.
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > 65_536)
    refuseShape(`expected ${name} to be a whole number from ${least} to 65536, got ${String(value)}`);
}

function nearestMultiples(value: number, divisor: number): number[] {
  const below = Math.floor(value / divisor) * divisor;
  return [below, below + divisor].filter((side) => side > 0);
}

/** Refuses image sides that do not halve evenly on the way. @throws IstaError NETWORK_SHAPE */
export function requireDivisible(shape: NetworkShape, divisor: number): void {
  for (const side of ["imageHeight", "imageWidth"] as const) {
    requireWhole(shape, side, divisor);
    if (shape[side] % divisor !== 0)
      refuseShape(
        `expected ${side} to be divisible by ${divisor} with the ${shape.stem} stem, got ${shape[side]}; the nearest that are: ${nearestMultiples(shape[side], divisor).join(" and ")}`,
      );
  }
}
