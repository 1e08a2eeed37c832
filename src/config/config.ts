// A run's configuration: defaults < preset < configuration file < flags, checked by one schema; and what may change on resume.
import { join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { readJson } from "../base/files.js";
import { suggestion } from "../base/nearest.js";
import { packageFolder } from "../base/package.js";
import { usefulThreads } from "../base/processors.js";
import { findSpace, usualSpace } from "../space/registry.js";
import type { Space } from "../space/space.js";
import { allMethodOptions, schemaOf, usualMethod } from "./methods.js";
import { formatValue, type Option, optionsOf } from "./options.js";
import { presets } from "./presets.js";
import type { ConfigOf, RunKind } from "./schema.js";

export type { ConfigOf, RunKind, SearchConfig, SearchInput, TrainConfig, TrainInput } from "./schema.js";

/** What `data` is called that ships with the program. */
const bundled = "bundled";

/** Larger configuration files are refused unread. */
const maximumConfigBytes = 1 << 20;

export interface ConfigLayers {
  /** `--preset`; wins over the preset that the file names. */
  preset?: string;
  /** `--config`: path of a JSON object with any of the options. */
  file?: string;
  /** Options given as flags (or by a program), by camel-case name. */
  flags?: Readonly<Record<string, unknown>>;
  /** What was found to fit the data; lies below all that is given. */
  fitted?: Readonly<Record<string, unknown>>;
  /** The space of what was given, where an option other than `space` says it; its usual size lies below presets. */
  spaceOf?: (given: Readonly<Record<string, unknown>>) => Space;
}

export interface ResolvedConfig<Kind extends RunKind> {
  kind: Kind;
  /** Every option with its value; can be fed back through a configuration file. `threads` is never 0. */
  config: ConfigOf[Kind];
  /** Where each option's value comes from: `default`, `preset NAME`, `file PATH` or the flag. */
  sources: Readonly<Record<string, string>>;
  /** What the user should know, such as values of a preset that were left out. */
  notes: readonly string[];
}

type Values = Record<string, unknown>;

/**
 * Puts a configuration together from its layers and checks it.
 * @throws IstaError CONFIG_UNKNOWN for unknown presets and keys, CONFIG_VALUE for bad values (all of them in one
 *   message), CONFIG_FILE where the file holds no JSON object.
 */
export function resolveConfig<Kind extends RunKind>(kind: Kind, layers: ConfigLayers): ResolvedConfig<Kind> {
  const flags = renamed(layers.flags ?? {});
  const file = renamed(layers.file === undefined ? {} : readConfigFile(layers.file));
  const presetName = layers.preset ?? (file.preset as string | null | undefined) ?? null;
  const preset = presetName === null ? {} : presetValues(kind, String(presetName));
  const given: Values = { ...preset, ...file, ...flags };
  const known = optionsOf(kind, methodOf(given));
  checkKeys(kind, file, known, `configuration file ${layers.file}`);
  checkKeys(kind, flags, known, "options");
  const space = layers.spaceOf?.(given) ?? spaceOf(given);
  const { fitted = {} } = layers;
  const usual = { ...usualSize(kind, space), ...fitted };
  // A preset may be of another method or space than the one that is wanted: what that one does not know, and the size that goes
  // with the preset's own space, are left out.
  const otherSpace = (preset.space ?? usualSpace.name) !== space.name;
  const sized = ["cells", "channels", ...(space.hasAuxiliaryHead ? [] : ["auxiliaryWeight"])];
  const fitting = Object.fromEntries(
    Object.entries(preset).filter(
      ([key]) => known.some((one) => one.key === key) && !(otherSpace && sized.includes(key)),
    ),
  );

  const values: Values = { ...usual, ...fitting, ...file, ...flags, preset: presetName };
  if (layers.spaceOf !== undefined) {
    const named = flags.space ?? file.space;
    if (typeof named === "string" && named !== space.name)
      throw new IstaError(
        "CONFIG_VALUE",
        `--space ${named}: expected ${space.name}, the space of the architecture, or no --space`,
      );
    values.space = space.name;
  }
  const notes = [
    ...leftOut(preset, fitting, presetName),
    ...unscaledRates(fitting, { ...file, ...flags }, presetName),
  ];
  const sources: Record<string, string> = {};
  for (const { key, flag } of known) {
    sources[key] =
      key in flags
        ? `--${flag}`
        : key in file
          ? `file ${layers.file}`
          : key in fitting
            ? `preset ${presetName}`
            : key in usual
              ? key in fitted
                ? "fitted to the data"
                : "usual in the space"
              : "default";
  }
  if (layers.preset !== undefined) sources.preset = "--preset";
  const config = check(kind, values, (key) => sources[key]);
  return { kind, config, sources, notes };
}

/** `mode` is the old name of `method`; a file that has it may hold options of the other mode, which never had an effect. */
function renamed(values: Readonly<Record<string, unknown>>): Values {
  if (!("mode" in values)) return { ...values };
  const { mode, ...rest } = values;
  const method = `ista-${String(mode)}`;
  if ("method" in rest && rest.method !== method)
    throw new IstaError(
      "CONFIG_VALUE",
      `--mode: expected it without --method, which it is the old name of, got both`,
    );
  const foreign = mode === "two-stage" ? ["trainEpochs", "freezeTolerance"] : [];
  return { ...Object.fromEntries(Object.entries(rest).filter(([key]) => !foreign.includes(key))), method };
}

const methodOf = ({ method }: Values): string => (typeof method === "string" ? method : usualMethod);

const spaceOf = ({ space }: Values): Space => (typeof space === "string" ? findSpace(space) : usualSpace);

function leftOut(preset: Values, fitting: Values, name: unknown): string[] {
  const keys = Object.keys(preset).filter((key) => !(key in fitting) && key !== "method");
  if (keys.length === 0) return [];
  return [`preset ${name}: left out ${keys.join(", ")}, which go with its own method and space`];
}

/** The learning rates of a preset go with its batch size, and stay as they are where that is changed: what was asked for is what runs. */
function unscaledRates(preset: Values, given: Values, name: unknown): string[] {
  const { batchSize, learningRate } = preset;
  const size = given.batchSize;
  if (typeof batchSize !== "number" || typeof learningRate !== "number") return [];
  if (typeof size !== "number" || size === batchSize || "learningRate" in given || !(size > 0)) return [];
  const scaled = Number(((learningRate * size) / batchSize).toPrecision(3));
  return [
    `preset ${name}: its learning rate ${learningRate} is for batches of ${batchSize} and is not scaled to ${size}; --learning-rate ${scaled} would be in proportion`,
  ];
}

/** What is usual in a space other than the one that the defaults are for. */
function usualSize(kind: RunKind, space: Space): Values {
  if (space === usualSpace) return {};
  return { ...space.usualSize[kind], ...(space.hasAuxiliaryHead ? {} : { auxiliaryWeight: 0 }) };
}

/**
 * Checks a complete or partial set of values, for instance a run's `config.json`, and fills in the defaults.
 * @throws IstaError CONFIG_UNKNOWN, CONFIG_VALUE; the message begins with `where`.
 */
export function checkConfig<Kind extends RunKind>(
  kind: Kind,
  values: unknown,
  where: string,
): ConfigOf[Kind] {
  if (values === null || typeof values !== "object" || Array.isArray(values)) {
    throw new IstaError("CONFIG_FILE", `${where}: expected a JSON object with options`);
  }
  const known = renamed(values as Values);
  checkKeys(kind, known, optionsOf(kind, methodOf(known)), where);
  return check(kind, known, () => where);
}

function check<Kind extends RunKind>(
  kind: Kind,
  values: Values,
  source: (key: string) => string,
): ConfigOf[Kind] {
  const result = schemaOf(kind, methodOf(values)).safeParse(values);
  if (!result.success) {
    const problems = new Map<string, string>();
    for (const issue of result.error.issues) {
      const key = String(issue.path[0]);
      const option = optionsOf(kind, methodOf(values)).find((one) => one.key === key);
      const wish = issue.code === "custom" ? issue.message : `expected ${option?.expected ?? issue.message}`;
      const got = issue.code === "custom" ? "" : `, got ${JSON.stringify(values[key])}`;
      problems.set(key, `${key} (${source(key)}): ${wish}${got}`);
    }
    throw new IstaError("CONFIG_VALUE", [...problems.values()].join("; "));
  }
  const config = result.data as ConfigOf[Kind];
  // A run is gone on with, and its network evaluated, from other folders as well.
  if (config.data !== null && config.data !== bundled) config.data = resolve(config.data);
  if (config.threads === 0) config.threads = usefulThreads();
  return config;
}

function checkKeys(kind: RunKind, values: Values, options: readonly Option[], where: string): void {
  const known = options.map((option) => option.key);
  for (const key of Object.keys(values)) {
    if (known.includes(key)) continue;
    const owners = kind === "search" ? allMethodOptions().filter((method) => key in method.options) : [];
    const way =
      owners.length === 0
        ? suggestion(key, known)
        : `it is an option of ${owners.map(({ name }) => name).join(", ")}, not of the method that was chosen`;
    throw new IstaError("CONFIG_UNKNOWN", `${where}: unknown key ${JSON.stringify(key)} for ${kind}; ${way}`);
  }
}

function presetValues(kind: RunKind, name: string): Values {
  const ofKind = Object.keys(presets).filter((one) => presets[one].kind === kind);
  if (!ofKind.includes(name)) {
    const other = Object.hasOwn(presets, name) ? ` (it is a preset of \`${presets[name].kind}\`)` : "";
    throw new IstaError(
      "CONFIG_UNKNOWN",
      `--preset: no preset ${JSON.stringify(name)} for ${kind}${other}; ${suggestion(name, ofKind)}`,
    );
  }
  return presets[name].values as Values;
}

/** The options in a configuration file, unchecked. @throws IstaError CONFIG_FILE, FILE_* */
export function readConfigFile(path: string): Record<string, unknown> {
  const value = readJson(path, maximumConfigBytes);
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new IstaError(
      "CONFIG_FILE",
      `${path}: expected a JSON object with options, such as {"epochs": 10}`,
    );
  }
  return value as Values;
}

/** Options that may be given anew when a run goes on; all others stay as the run began. */
export const resumableKeys: readonly string[] = [
  "epochs",
  "trainEpochs",
  "threads",
  "recompute",
  "microBatch",
  "device",
  "saveEvery",
  "keepCheckpoints",
  "logEvery",
  "prefetch",
  "pictureCache",
  // These decide nothing.
  "table",
  "rankedArchitectures",
];

/** Whether an option leaves something open that a run settles by itself when it starts, and records. */
export const isLeftOpen = (key: string, value: unknown): boolean =>
  value === null && (key === "codeLearningRate" || key === "microBatch");

/**
 * The configuration with which a run goes on: its own, with the flags that may change.
 * @param saved the run's `config.json`.
 * @param flags the options given on resume, by camel-case name.
 * @returns the configuration, and a sentence for each option that changed.
 * @throws IstaError CONFIG_RESUME naming every option that was given another value and must not have one.
 */
export function configForResume<Kind extends RunKind>(
  kind: Kind,
  saved: ConfigOf[Kind],
  flags: Readonly<Record<string, unknown>>,
): { config: ConfigOf[Kind]; changes: string[] } {
  const before = saved as unknown as Values;
  const options = optionsOf(kind, methodOf(before));
  const given = renamed(flags);
  checkKeys(kind, given, options, "options");
  const flagOf = (key: string): string => `--${options.find((option) => option.key === key)!.flag}`;
  // Checked as a run of its own method; whether another one was given is seen below.
  const { method, ...others } = given;
  const wanted = check(kind, { ...saved, ...others }, flagOf) as unknown as Values;
  if (method !== undefined) wanted.method = method;
  const changes: string[] = [];
  const refused: string[] = [];
  for (const key of Object.keys(given)) {
    if (JSON.stringify(wanted[key]) === JSON.stringify(before[key])) continue;
    const step = `${flagOf(key)} ${formatValue(wanted[key])} instead of ${formatValue(before[key])}`;
    if (resumableKeys.includes(key)) changes.push(`goes on with ${step}`);
    else refused.push(step);
  }
  if (refused.length > 0) {
    const may = resumableKeys.filter((key) => key in before).map(flagOf);
    throw new IstaError(
      "CONFIG_RESUME",
      `--resume: the run keeps its own values, got ${refused.join("; ")}; only ${may.join(", ")} may change; start a new run for the rest`,
    );
  }
  return { config: wanted as unknown as ConfigOf[Kind], changes };
}

/**
 * The folder that `data` of a configuration stands for: `bundled` is the subset of Fashion-MNIST in the package.
 * @throws IstaError CONFIG_VALUE where no data was named.
 */
export function dataFolder(data: string | null): string {
  if (data === null) {
    throw new IstaError(
      "CONFIG_VALUE",
      "--data DIR: expected a folder with images, none was named; try --data bundled",
    );
  }
  return data === bundled ? join(packageFolder, "assets", "fashion-mnist-small") : data;
}
