// What a study runs: arms (each a way to search, by its options) times seeds, from a file or from a list of methods.
import { resolve } from "node:path";
import { z } from "zod";
import { type ErrorCode, IstaError } from "../base/errors.js";
import { readJson, safeFileName } from "../base/files.js";
import { suggestion } from "../base/nearest.js";
import { resolveConfig, type SearchConfig } from "../config/config.js";
import { allMethodOptions, findMethodOptions, usualMethod } from "../config/methods.js";
import { optionsOf } from "../config/options.js";
import { presets } from "../config/presets.js";

/** Options as a configuration file has them. */
export type Options = Readonly<Record<string, unknown>>;

const largestSeed = Number.MAX_SAFE_INTEGER;
const mostRuns = 10_000;
const maximumFileBytes = 1 << 20;

const optionsSchema = z.record(z.string(), z.unknown());

export const planSchema = z.object({
  name: z.string().nullable(),
  /** Of every arm; those of single methods go to the arms of these methods. */
  common: optionsSchema,
  /** By name, in the order of reports; what an arm says wins over what is common. */
  arms: z.record(z.string(), optionsSchema),
  seeds: z.array(z.int().min(0).max(largestSeed)),
  /** The arm that the others are compared with; null for `random`, where there is one, or the first. */
  baseline: z.string().nullable(),
  /** Absolute paths of plug-ins that runs need. */
  plugins: z.array(z.string()),
});

export type StudyPlan = z.output<typeof planSchema>;

const fileSchema = z.strictObject({
  name: z
    .string()
    .refine((name) => name !== "" && safeFileName(name) === name)
    .optional(),
  common: optionsSchema.default({}),
  arms: z.record(z.string(), optionsSchema),
  seeds: z.union([z.string(), z.array(z.number())]),
  table: z.string().min(1).optional(),
  baseline: z.string().optional(),
});

const expectations: Readonly<Record<string, string>> = {
  name: "letters, digits, dots, dashes and underscores",
  common: 'an object with options of a search, such as {"epochs": 10}',
  arms: 'an object with options for each arm, such as {"spos": {"method": "spos"}}',
  seeds: '"0..9", "3,5,7" or a list of whole numbers',
  table: "the path of a file with known accuracies",
  baseline: "the name of an arm",
};

/**
 * "0..9", "3,5,7", "0..4,10", or a list of seeds.
 * @throws IstaError CONFIG_VALUE; the message begins with `where`
 */
export function parseSeeds(given: string | readonly number[], where: string): number[] {
  const refuse = (got: string): never => {
    throw new IstaError(
      "CONFIG_VALUE",
      `${where}: expected seeds of 0 to ${largestSeed}, each once, such as 0..9 or 3,5,7, got ${got}`,
    );
  };
  const parts = typeof given === "string" ? given.split(",") : given.map(String);
  const seeds = parts.flatMap((part) => {
    const [, first, last = first] = /^\s*(\d+)(?:\.\.(\d+))?\s*$/.exec(part) ?? refuse(JSON.stringify(given));
    const [low, high] = [Number(first), Number(last)];
    if (high < low || high > largestSeed || high - low >= mostRuns) refuse(JSON.stringify(part));
    return Array.from({ length: high - low + 1 }, (_, index) => low + index);
  });
  const twice = seeds.find((seed, index) => seeds.indexOf(seed) !== index);
  if (twice !== undefined) refuse(`${twice} twice`);
  return seeds;
}

/** Relative paths would mean other files where a run is started from another folder. */
function withAbsolutePaths(options: Options): Options {
  const absolute = (value: unknown): unknown =>
    typeof value === "string" && value !== "bundled" ? resolve(value) : value;
  return Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key,
      key === "data" || key === "table" ? absolute(value) : value,
    ]),
  );
}

/**
 * Arms are folders of the study.
 * @throws IstaError CONFIG_VALUE for what is no plain name of one; the message begins with `where`
 */
export function requireArmNames(names: readonly string[], where: string): void {
  for (const name of names) {
    const isPlain = safeFileName(name) === name && /^[\p{L}\p{N}]/u.test(name);
    if (isPlain && !/\.(json|md|csv|svg)$/i.test(name)) continue;
    throw new IstaError(
      "CONFIG_VALUE",
      `${where}: expected a name of letters, digits, dots, dashes and underscores for an arm, got ${JSON.stringify(name)}`,
    );
  }
}

/** @throws IstaError CONFIG_VALUE for names of arms that are no names of folders, for a baseline that is no arm, and for no arms */
function makePlan(plan: Omit<StudyPlan, "plugins">, where: string): StudyPlan {
  const names = Object.keys(plan.arms);
  const refuse = (message: string): never => {
    throw new IstaError("CONFIG_VALUE", `${where}: ${message}`);
  };
  if (names.length === 0) refuse("expected at least one arm, got none");
  requireArmNames(names, where);
  if (plan.baseline !== null && !names.includes(plan.baseline))
    refuse(
      `baseline: expected one of the arms, got ${JSON.stringify(plan.baseline)}; ${suggestion(plan.baseline, names)}`,
    );
  if (names.length * plan.seeds.length > mostRuns)
    refuse(`expected at most ${mostRuns} runs, got ${names.length} arms of ${plan.seeds.length} seeds`);
  return {
    ...plan,
    common: withAbsolutePaths(plan.common),
    arms: Object.fromEntries(names.map((name) => [name, withAbsolutePaths(plan.arms[name])])),
    plugins: [],
  };
}

/** What the command line says of a study instead of its file. */
interface Overrides {
  readonly seeds?: string;
  readonly baseline?: string;
  readonly data?: string;
  readonly table?: string;
}

/**
 * A plan from its file.
 * @throws IstaError CONFIG_FILE, CONFIG_UNKNOWN, CONFIG_VALUE, FILE_*
 */
export function readStudyFile(path: string, overrides: Overrides = {}): StudyPlan {
  const value = readJson(path, maximumFileBytes);
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw new IstaError("CONFIG_FILE", `${path}: expected a JSON object with arms and seeds`);
  const found = fileSchema.safeParse(value);
  if (!found.success) {
    const [issue] = found.error.issues;
    if (issue.code === "unrecognized_keys") {
      const [key] = issue.keys;
      throw new IstaError(
        "CONFIG_UNKNOWN",
        `${path}: unknown key ${JSON.stringify(key)} for a study; ${suggestion(key, Object.keys(expectations))}`,
      );
    }
    const key = String(issue.path[0]);
    const got = JSON.stringify((value as Options)[key])?.slice(0, 60) ?? "nothing";
    throw new IstaError("CONFIG_VALUE", `${path}: ${key}: expected ${expectations[key]}, got ${got}`);
  }
  const { name = null, common, arms, seeds } = found.data;
  const table = overrides.table ?? found.data.table;
  const beside = {
    ...(overrides.data === undefined ? {} : { data: overrides.data }),
    ...(table === undefined ? {} : { table }),
  };
  return makePlan(
    {
      name,
      common: { ...common, ...beside },
      arms,
      seeds:
        overrides.seeds === undefined
          ? parseSeeds(seeds, `${path}: seeds`)
          : parseSeeds(overrides.seeds, "--seeds"),
      baseline: overrides.baseline ?? found.data.baseline ?? null,
    },
    path,
  );
}

/** A plan with one arm for each method. @throws IstaError CONFIG_VALUE */
export function studyOfMethods(
  methods: readonly string[],
  common: Options,
  seeds: number[],
  baseline: string | null,
): StudyPlan {
  const where = "--methods";
  for (const name of methods) findMethodOptions(name);
  const twice = methods.find((name, index) => methods.indexOf(name) !== index);
  if (twice !== undefined)
    throw new IstaError("CONFIG_VALUE", `${where}: expected every method once, got ${twice} twice`);
  const arms = Object.fromEntries(methods.map((method) => [method, { method }]));
  return makePlan({ name: null, common, arms, seeds, baseline }, where);
}

function methodOfArm({ common, arms }: StudyPlan, name: string): string {
  const preset = arms[name].preset ?? common.preset;
  const ofPreset = typeof preset === "string" && Object.hasOwn(presets, preset) ? presets[preset].values : {};
  return String(arms[name].method ?? common.method ?? ("method" in ofPreset ? ofPreset.method : usualMethod));
}

/** The options of an arm: the common ones, without those that only methods of other arms have, and its own. */
export function optionsOfArm(plan: StudyPlan, name: string): Options {
  const methods = new Set(Object.keys(plan.arms).map((arm) => methodOfArm(plan, arm)));
  const others = allMethodOptions().filter((method) => methods.has(method.name));
  const known = new Set(
    optionsOf("search", findMethodOptions(methodOfArm(plan, name)).name).map(({ key }) => key),
  );
  const belongs = (key: string): boolean =>
    known.has(key) || !others.some(({ options }) => Object.hasOwn(options, key));
  const common = Object.entries(plan.common).filter(([key]) => belongs(key));
  return { ...Object.fromEntries(common), ...plan.arms[name] };
}

export interface ResolvedArm {
  readonly options: Options;
  /** Every option with its value; that of `seed` means nothing. */
  readonly config: SearchConfig;
  readonly notes: readonly string[];
}

/**
 * Every arm with its whole configuration.
 * @throws IstaError CONFIG_UNKNOWN, CONFIG_VALUE naming the arm
 */
export function resolveArms(plan: StudyPlan): Map<string, ResolvedArm> {
  const refuse = (name: string, code: ErrorCode, message: string): never => {
    throw new IstaError(code, `arm ${name}: ${message}`);
  };
  return new Map(
    Object.keys(plan.arms).map((name) => {
      try {
        const options = optionsOfArm(plan, name);
        if ("seed" in options)
          refuse(name, "CONFIG_VALUE", "seed: expected none, since the seeds are the study's; leave it out");
        const { preset, ...flags } = options;
        const layers = { preset: preset === undefined ? undefined : String(preset), flags };
        const { config, notes } = resolveConfig("search", layers);
        return [name, { options, config, notes }];
      } catch (error) {
        if (!(error instanceof IstaError) || error.message.startsWith("arm ")) throw error;
        return refuse(name, error.code, error.message);
      }
    }),
  );
}

/** What must be as it was for a plan to be the same study; arms and seeds may be added. Null where all is. */
export function changeOfPlan(before: StudyPlan, after: StudyPlan): string | null {
  const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  if (differ(before.common, after.common)) return "the common options";
  for (const [name, options] of Object.entries(before.arms)) {
    if (!Object.hasOwn(after.arms, name)) return `arm ${name}, which is gone`;
    if (differ(options, after.arms[name])) return `the options of arm ${name}`;
  }
  const gone = before.seeds.filter((seed) => !after.seeds.includes(seed));
  return gone.length === 0 ? null : `seed ${gone[0]}, which is gone`;
}
