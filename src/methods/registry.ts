// The search methods that the program knows: the built-in ones, and those that plug-ins add. Loading this loads no tensors.
import { IstaError } from "../base/errors.js";
import { registerMethodOptions } from "../config/methods.js";
import { darts } from "./darts/method.js";
import { oneStage, trials, twoStage } from "./ista/method.js";
import type { Method } from "./method.js";
import { pcDarts } from "./pc-darts/method.js";
import { random } from "./random/method.js";
import { spos } from "./spos/method.js";

const methods = new Map<string, Method>();

/** Adds a method. @throws IstaError PLUGIN_INVALID where its name or that of an option is taken */
export function registerMethod(method: Method): void {
  registerMethodOptions(method);
  for (const part of ["plan", "load"] as const)
    if (typeof method[part] !== "function")
      throw new IstaError(
        "PLUGIN_INVALID",
        `method ${method.name}: expected a function ${part}, got ${typeof method[part]}`,
      );
  methods.set(method.name, method);
}

for (const method of [twoStage, oneStage, trials, darts, pcDarts, spos, random]) registerMethod(method);

export const allMethods = (): Method[] => [...methods.values()];

/** The method of a configuration, whose schema has made sure that there is one. */
export const methodOf = ({ method }: { readonly method: string }): Method => methods.get(method)!;
