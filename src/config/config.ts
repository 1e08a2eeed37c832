// A run's configuration: defaults < preset < configuration file < flags, checked by one schema; and what may change on resume.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { IstaError } from "../base/errors.js";
import { readJson } from "../base/files.js";
import { suggestion } from "../base/nearest.js";
import { packageFolder } from "../base/package.js";
import { formatValue, options } from "./options.js";
import { presets } from "./presets.js";
import { type ConfigOf, type RunKind, schemas } from "./schema.js";

export type { ConfigOf, RunKind, SearchConfig, SearchInput, TrainConfig, TrainInput } from "./schema.js";

/** Larger configuration files are refused unread. */
const maximumConfigBytes = 1 << 20;

export interface ConfigLayers {
  /** `--preset`; wins over the preset that the file names. */
  preset?: string;
  /** `--config`: path of a JSON object with any of the options. */
  file?: string;
  /** Options given as flags (or by a program), by camel-case name. */
  flags?: Readonly<Record<string, unknown>>;
}

export interface ResolvedConfig<Kind extends RunKind> {
  kind: Kind;
  /** Every option with its value; can be fed back through a configuration file. `threads` is never 0. */
  config: ConfigOf[Kind];
  /** Where each option's value comes from: `default`, `preset NAME`, `file PATH` or the flag. */
  sources: Readonly<Record<string, string>>;
}

type Values = Record<string, unknown>;

/**
 * Puts a configuration together from its layers and checks it.
 * @throws IstaError CONFIG_UNKNOWN for unknown presets and keys, CONFIG_VALUE for bad values (all of them in one
 *   message), CONFIG_FILE where the file holds no JSON object.
 */
export function resolveConfig<Kind extends RunKind>(kind: Kind, layers: ConfigLayers): ResolvedConfig<Kind> {
  const flags = layers.flags ?? {};
  const file = layers.file === undefined ? {} : readConfigFile(layers.file);
  checkKeys(kind, file, `configuration file ${layers.file}`);
  checkKeys(kind, flags, "options");
  const presetName = layers.preset ?? (file.preset as string | null | undefined) ?? null;
  const preset = presetName === null ? {} : presetValues(kind, String(presetName));

  const values: Values = { ...preset, ...file, ...flags, preset: presetName };
  const sources: Record<string, string> = {};
  for (const { key, flag } of options[kind]) {
    sources[key] =
      key in flags
        ? `--${flag}`
        : key in file
          ? `file ${layers.file}`
          : key in preset
            ? `preset ${presetName}`
            : "default";
  }
  if (layers.preset !== undefined) sources.preset = "--preset";
  const config = check(kind, values, (key) => sources[key]);
  return { kind, config, sources };
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
  checkKeys(kind, values as Values, where);
  return check(kind, values as Values, () => where);
}

function check<Kind extends RunKind>(
  kind: Kind,
  values: Values,
  source: (key: string) => string,
): ConfigOf[Kind] {
  const result = schemas[kind].safeParse(values);
  if (!result.success) {
    const problems = new Map<string, string>();
    for (const issue of result.error.issues) {
      const key = String(issue.path[0]);
      const option = options[kind].find((one) => one.key === key);
      const wish = issue.code === "custom" ? issue.message : `expected ${option?.expected ?? issue.message}`;
      const came = issue.code === "custom" ? "" : `, came ${JSON.stringify(values[key])}`;
      problems.set(key, `${key} (${source(key)}): ${wish}${came}`);
    }
    throw new IstaError("CONFIG_VALUE", [...problems.values()].join("; "));
  }
  const config = result.data as ConfigOf[Kind];
  if (config.threads === 0) config.threads = availableParallelism();
  return config;
}

function checkKeys(kind: RunKind, values: Values, where: string): void {
  const known = options[kind].map((option) => option.key);
  for (const key of Object.keys(values)) {
    if (!known.includes(key)) {
      throw new IstaError(
        "CONFIG_UNKNOWN",
        `${where}: unknown key ${JSON.stringify(key)} for ${kind}; ${suggestion(key, known)}`,
      );
    }
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

function readConfigFile(path: string): Values {
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
  "device",
  "saveEvery",
  "keepCheckpoints",
  "prefetch",
];

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
  checkKeys(kind, flags, "options");
  const flagOf = (key: string): string => `--${options[kind].find((option) => option.key === key)!.flag}`;
  const wanted = check(kind, { ...saved, ...flags }, flagOf) as unknown as Values;
  const before = saved as unknown as Values;
  const changes: string[] = [];
  const refused: string[] = [];
  for (const key of Object.keys(flags)) {
    if (JSON.stringify(wanted[key]) === JSON.stringify(before[key])) continue;
    const step = `${flagOf(key)} ${formatValue(wanted[key])} instead of ${formatValue(before[key])}`;
    if (resumableKeys.includes(key)) changes.push(`goes on with ${step}`);
    else refused.push(step);
  }
  if (refused.length > 0) {
    const may = resumableKeys.filter((key) => key in before).map(flagOf);
    throw new IstaError(
      "CONFIG_RESUME",
      `--resume: the run keeps its own values, came ${refused.join("; ")}; only ${may.join(", ")} may change; start a new run for the rest`,
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
  return data === "bundled" ? join(packageFolder, "assets", "fashion-mnist-small") : data;
}
