// The options of search methods: each method adds its own to those that every search has.
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { suggestion } from "../base/nearest.js";
import { type RunKind, type SearchConfig, searchOptions, trainSchema } from "./schema.js";

/** A rule that no single option can state. */
export type Refuse = (key: string, message: string) => void;

export interface MethodOptions {
  /** Word for `--method`. */
  readonly name: string;
  readonly description: string;
  /** Its own options, each with a default and a description. */
  readonly options: z.ZodRawShape;
  /** Defaults of options that every search has, where this method wants others. */
  readonly defaults?: Partial<SearchConfig>;
  /** Whether the search itself trains a network for use, into whose batch norms the weights of candidates are folded. */
  readonly trainsNetwork?: boolean;
  /** Calls `refuse` for values that do not go together. */
  check?(config: SearchConfig & Readonly<Record<string, unknown>>, refuse: Refuse): void;
}

export const usualMethod = "ista-two-stage";

const methods = new Map<string, MethodOptions>();
const searchSchemas = new Map<string, z.ZodType>();

/** @throws IstaError PLUGIN_INVALID where the name is taken, or an option has the name of one that every search has */
export function registerMethodOptions(method: MethodOptions): void {
  const refuse = (what: string): never => {
    throw new IstaError("PLUGIN_INVALID", `method ${String(method?.name)}: ${what}`);
  };
  if (typeof method?.name !== "string" || !/^[\w.-]{1,60}$/.test(method.name))
    refuse("expected a name of letters, digits, dots and dashes");
  if (typeof method.options !== "object" || method.options === null)
    refuse(`expected options (an object of zod types), got ${typeof method.options}`);
  for (const [key, option] of Object.entries(method.options))
    if (!(option instanceof z.ZodDefault))
      refuse(`expected option ${key} to be a zod type with a default, got another value`);
  for (const key of Object.keys(method.defaults ?? {}))
    if (!(key in searchOptions)) refuse(`expected defaults of options that every search has, got ${key}`);
  const known = methods.get(method.name);
  if (known === method) return;
  if (known !== undefined) refuse("expected a name of its own, there is one of that name");
  for (const key of Object.keys(method.options))
    if (key in searchOptions || key === "method" || key === "mode")
      refuse(`expected options with names of their own, ${key} is one of every search`);
  methods.set(method.name, method);
}

export const allMethodOptions = (): MethodOptions[] => [...methods.values()];

/** @throws IstaError CONFIG_VALUE for an unknown name */
export function findMethodOptions(name: string): MethodOptions {
  const found = methods.get(name);
  if (found === undefined)
    throw new IstaError(
      "CONFIG_VALUE",
      `--method: expected a known search method, got ${JSON.stringify(name)}; ${suggestion(name, [...methods.keys()])} (--plugin FILE adds others)`,
    );
  return found;
}

function searchSchema({ name, options, defaults = {}, check }: MethodOptions): z.ZodType {
  const shape: Record<string, z.ZodType> = { ...searchOptions };
  for (const [key, value] of Object.entries(defaults)) {
    const described = searchOptions[key as keyof typeof searchOptions] as z.ZodDefault<z.ZodType>;
    const changed = described.unwrap().default(value);
    // A description inside of the default stays there by itself.
    shape[key] = described.description === undefined ? changed : changed.describe(described.description);
  }
  const schema = z.strictObject({
    method: z.literal(name).default(name).describe("how architectures are searched"),
    ...shape,
    ...options,
  });
  if (check === undefined) return schema;
  return schema.superRefine((config, context) =>
    check(config as unknown as Parameters<typeof check>[0], (key, message) =>
      context.addIssue({ code: "custom", path: [key], message }),
    ),
  );
}

/** The schema of a kind of run. @param method of a search */
export function schemaOf(kind: RunKind, method: string): z.ZodType {
  if (kind === "train") return trainSchema;
  const found = searchSchemas.get(method) ?? searchSchema(findMethodOptions(method));
  searchSchemas.set(method, found);
  return found;
}
