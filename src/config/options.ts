// The options of a run read off their schema: name, flag, type, default, and what a value must be, in words.
import { z } from "zod";
import { IstaError } from "../base/errors.js";
import { allMethodOptions, type MethodOptions, schemaOf } from "./methods.js";
import { type RunKind, searchOptions } from "./schema.js";

export interface Option {
  /** Name in configuration files, camel case. */
  readonly key: string;
  /** Name on the command line, kebab case, without the dashes. */
  readonly flag: string;
  readonly type: "boolean" | "integer" | "number" | "numbers" | "string";
  /** May be null, written `none` on the command line. */
  readonly nullable: boolean;
  /** The allowed words, where only some are allowed. */
  readonly choices: readonly string[] | null;
  readonly default: unknown;
  readonly description: string;
  /** What a value must be, to follow "expected". */
  readonly expected: string;
}

interface Property {
  type?: string | string[];
  anyOf?: Property[];
  enum?: string[];
  default?: unknown;
  description?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minItems?: number;
  pattern?: string;
}

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function expectation(type: Option["type"], property: Property, nullable: boolean): string {
  const bounds: string[] = [];
  if (property.exclusiveMinimum !== undefined) bounds.push(`above ${property.exclusiveMinimum}`);
  if (property.minimum !== undefined) bounds.push(`at least ${property.minimum}`);
  if (property.exclusiveMaximum !== undefined) bounds.push(`below ${property.exclusiveMaximum}`);
  if (property.maximum !== undefined && property.maximum !== Number.MAX_SAFE_INTEGER) {
    bounds.push(`at most ${property.maximum}`);
  }
  if (property.multipleOf !== undefined) bounds.push(`divisible by ${property.multipleOf}`);
  const words = {
    boolean: "true or false",
    integer: "a whole number",
    number: "a number",
    numbers: `${property.minItems} numbers in the allowed range`,
    string: property.enum ? `one of ${property.enum.join(", ")}` : "text as the help describes",
  }[type];
  return `${[words, ...bounds].join(", ")}${nullable ? ", or none" : ""}`;
}

function readOption(key: string, property: Property): Option {
  const alternatives = (property.anyOf ?? [property]).flatMap((one) =>
    (Array.isArray(one.type) ? one.type : [one.type]).map((type) => ({ ...one, type })),
  );
  const nullable = alternatives.some((one) => one.type === "null");
  const main = { ...property, ...alternatives.find((one) => one.type !== "null") };
  const type = (main.type === "array" ? "numbers" : main.type) as Option["type"];
  return {
    key,
    flag: kebab(key),
    type,
    nullable,
    choices: main.enum ?? null,
    default: property.default,
    description: main.description ?? "",
    expected: expectation(type, main, nullable),
  };
}

const known = new Map<string, readonly Option[]>();

/** The options of a training, or of a search by one method, in the order of the help. */
export function optionsOf(kind: RunKind, method: string): readonly Option[] {
  const name = kind === "train" ? kind : `${kind} ${method}`;
  const found = known.get(name);
  if (found !== undefined) return found;
  const { properties } = z.toJSONSchema(schemaOf(kind, method), { io: "input" });
  const read = Object.entries(properties as Record<string, Property>).map(([key, value]) =>
    readOption(key, value),
  );
  known.set(name, read);
  return read;
}

/** Options under a heading; the first group, without one, is what every run of the kind has. */
export interface OptionGroup {
  readonly heading: string | null;
  readonly options: readonly Option[];
}

/** The description of an option that every search has, with the defaults that some methods have instead. */
function withOtherDefaults({ key, description }: Option, methods: readonly MethodOptions[]): string {
  const others = methods.flatMap(({ name, defaults = {} }) =>
    Object.hasOwn(defaults, key)
      ? [`${formatValue(defaults[key as keyof typeof defaults])} with ${name}`]
      : [],
  );
  return [description, ...(others.length === 0 ? [] : [others.join(", ")])].join("; ");
}

/** Every option that some run of this kind has: for a search those of all methods, each once. */
export function optionGroups(kind: RunKind): OptionGroup[] {
  if (kind === "train") return [{ heading: null, options: optionsOf(kind, "") }];
  const methods = allMethodOptions();
  const common = optionsOf(kind, methods[0].name)
    .filter(({ key }) => key in searchOptions)
    .map((option) => ({ ...option, description: withOtherDefaults(option, methods) }));
  const method: Option = {
    key: "method",
    flag: "method",
    type: "string",
    nullable: false,
    choices: methods.map(({ name }) => name),
    default: methods[0].name,
    description: "how architectures are searched",
    expected: `one of ${methods.map(({ name }) => name).join(", ")}`,
  };
  const owners = new Map<string, { option: Option; methods: string[]; others: string[] }>();
  for (const { name, options: own } of methods)
    for (const option of optionsOf(kind, name)) {
      if (!(option.key in own)) continue;
      const owner = owners.get(option.key) ?? { option, methods: [], others: [] };
      const value = formatValue(option.default);
      if (value !== formatValue(owner.option.default)) owner.others.push(`${value} with ${name}`);
      owner.methods.push(name);
      owners.set(option.key, owner);
    }
  const headings = new Map<string, Option[]>();
  for (const { option, methods: names, others } of owners.values()) {
    const description = [option.description, ...others].join("; ");
    headings.set(names.join(", "), [...(headings.get(names.join(", ")) ?? []), { ...option, description }]);
  }
  return [
    { heading: null, options: [method, ...common] },
    ...[...headings].map(([names, options]) => ({ heading: `Options of ${names}`, options })),
  ];
}

/** The value as it is written on the command line and in help texts. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "none";
  return Array.isArray(value) ? value.join(",") : String(value);
}

/**
 * The value that `text` stands for after `--flag`.
 * @throws IstaError CONFIG_VALUE where the text cannot be read as the option's type; the range is checked with the rest.
 */
export function parseFlagValue(option: Option, text: string): unknown {
  const number = (part: string): number => {
    const value = Number(part);
    if (part.trim() === "" || !Number.isFinite(value)) {
      throw new IstaError(
        "CONFIG_VALUE",
        `--${option.flag}: expected ${option.expected}, got ${JSON.stringify(text)}`,
      );
    }
    return value;
  };
  if (option.nullable && text === "none") return null;
  switch (option.type) {
    case "integer":
    case "number":
      return number(text);
    case "numbers":
      return text.split(",").map(number);
    default:
      return text;
  }
}
