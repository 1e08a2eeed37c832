// Plug-ins: modules of the user's that add spaces, operations and methods (`--plugin FILE`).
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { IstaError } from "../base/errors.js";
import { registerSpace } from "../space/registry.js";
import type { Space } from "../space/space.js";
import type { Method } from "./method.js";
import { registerMethod } from "./registry.js";

interface Plugin {
  readonly spaces?: readonly Space[];
  readonly methods?: readonly Method[];
}

const asList = (value: unknown, name: string, path: string): readonly unknown[] => {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw new IstaError("PLUGIN_INVALID", `${path}: expected ${name} to be a list, got ${typeof value}`);
};

/**
 * Loads a module and adds what it exports as `spaces` and `methods`.
 * @throws IstaError FILE_NOT_FOUND, PLUGIN_INVALID
 */
export async function loadPlugin(path: string): Promise<void> {
  const absolute = resolve(path);
  if (!existsSync(absolute))
    throw new IstaError(
      "FILE_NOT_FOUND",
      `--plugin ${path}: expected a JavaScript module, there is no such file`,
    );
  let plugin: Plugin;
  try {
    plugin = (await import(pathToFileURL(absolute).href)) as Plugin;
  } catch (cause) {
    if (cause instanceof IstaError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    const way = /Cannot find package 'ista-nas'/.test(message)
      ? "; put it into a folder where ista-nas is installed (npm install), or below this package"
      : "";
    throw new IstaError("PLUGIN_INVALID", `--plugin ${path}: it does not load: ${message}${way}`, { cause });
  }
  const spaces = asList(plugin.spaces, "spaces", path) as readonly Space[];
  const methods = asList(plugin.methods, "methods", path) as readonly Method[];
  if (spaces.length + methods.length === 0)
    throw new IstaError(
      "PLUGIN_INVALID",
      `--plugin ${path}: expected it to export spaces or methods, it exports neither`,
    );
  for (const space of spaces) registerSpace(space);
  for (const method of methods) registerMethod(method);
}

/** The plug-ins that a command line names, which must be there before its flags can be understood. */
export function pluginsIn(words: readonly string[]): string[] {
  return words.flatMap((word, index) => {
    if (word.startsWith("--plugin=")) return [word.slice("--plugin=".length)];
    return word === "--plugin" && words[index + 1] !== undefined ? [words[index + 1]] : [];
  });
}
