// Whether runs may be compared: those of an arm differ in the seed alone, and arms in what they are said to differ in.
import { IstaError } from "../base/errors.js";
import { suggestion } from "../base/nearest.js";
import { isLeftOpen } from "../config/config.js";
import { allMethodOptions } from "../config/methods.js";
import { formatValue, optionsOf } from "../config/options.js";
import { family } from "../run/summary.js";
import type { CollectedRun, Collection } from "./collect.js";
import type { ResolvedArm } from "./plan.js";

/** Options that decide nothing about results or their cost, or that are looked at in another way: `data` by its images. */
const ignored = [
  ...["seed", "preset", "threads", "saveEvery", "keepCheckpoints", "logEvery"],
  ...["prefetch", "pictureCache", "data"],
];

/** What somebody says of the runs of an arm: a run of itself, or the plan of a study. */
interface Statement {
  readonly arm: string;
  readonly who: string;
  readonly method: string | null;
  readonly facts: ReadonlyMap<string, Fact>;
}

interface Fact {
  readonly compared: string;
  readonly shown: string;
}

export interface Agreement {
  /** What arms differ in, as they are said to. */
  readonly armsDifferIn: readonly string[];
  /** What differs beyond that, and was allowed to. */
  readonly allowed: readonly string[];
}

const factOf = (value: unknown): Fact => ({
  compared: JSON.stringify(value) ?? "",
  shown: formatValue(value),
});

/** The options that results and their cost may depend on. @param fromTable whether the tables beside the runs are among them */
export function decidingOptions(
  config: Readonly<Record<string, unknown>>,
  fromTable: boolean,
): [string, unknown][] {
  return Object.entries(config).filter(([key]) => !ignored.includes(key) && (key !== "table" || fromTable));
}

/** Options that change no figure. */
export const figureless = ["rankedArchitectures", "recompute"];

/**
 * The same text for runs that differ in the seed alone, whether they are finished or not; trainings of random architectures are alike.
 * @param data what tells the images from others
 */
export function seedGroupOf(
  kind: string | null,
  version: unknown,
  data: unknown,
  config: Readonly<Record<string, unknown>>,
): string {
  const told = decidingOptions(config, false)
    .filter(([key]) => !figureless.includes(key))
    .map(([key, value]) => [key, key === "arch" && typeof value === "string" ? family(value) : value]);
  return JSON.stringify([kind, version, data, told.sort()]);
}

/** Without those that a plan leaves to its runs. */
function optionFacts(config: Readonly<Record<string, unknown>>, fromTable: boolean): [string, Fact][] {
  return decidingOptions(config, fromTable)
    .filter(([key, value]) => !isLeftOpen(key, value))
    .map(([key, value]) => [key, factOf(value)]);
}

function statementOf(run: CollectedRun, byIdentity: boolean, fromTable: boolean): Statement {
  const { arm, seed, path, config, version, dataIdentity, kind } = run;
  const data = formatValue(config.data);
  const facts: [string, Fact][] = [
    ["version", factOf(version)],
    ["kind", factOf(kind)],
    [
      "data",
      byIdentity
        ? { compared: dataIdentity!, shown: `${data} (${dataIdentity!.slice(0, 8)})` }
        : factOf(data),
    ],
    ...optionFacts(config, fromTable),
  ];
  const method = typeof config.method === "string" ? config.method : null;
  return { arm, who: `${arm} seed ${seed}, ${path}`, method, facts: new Map(facts) };
}

/** Keys in which the arms of a study differ by its plan. */
function planned(arms: ReadonlyMap<string, ResolvedArm>): string[] {
  const configs = [...arms.values()].map(({ config }) => config as unknown as Record<string, unknown>);
  const keys = new Set(configs.flatMap((config) => Object.keys(config)));
  return [...keys].filter((key) => new Set(configs.map((config) => JSON.stringify(config[key]))).size > 1);
}

/** Whether a difference between methods is just their own options, or their own defaults. */
function belongsToMethods(key: string, statements: readonly Statement[]): boolean {
  if (key === "method" || allMethodOptions().some(({ options }) => Object.hasOwn(options, key))) return true;
  return statements.every(({ method, facts }) => {
    const option = method === null ? undefined : optionsOf("search", method).find((one) => one.key === key);
    return option !== undefined && facts.get(key)?.compared === factOf(option.default).compared;
  });
}

/** Two statements that differ in `key`, in words; null where all that say anything of it say the same. */
function conflict(key: string, statements: readonly Statement[]): string | null {
  const speaking = statements.filter(({ facts }) => facts.has(key));
  if (speaking.length === 0) return null;
  const [first] = speaking;
  const value = first.facts.get(key)!;
  const other = speaking.find(({ facts }) => facts.get(key)!.compared !== value.compared);
  if (other === undefined) return null;
  return `${key} is ${value.shown} (${first.who}) and ${other.facts.get(key)!.shown} (${other.who})`;
}

/**
 * @param options.fromTable whether what is measured comes from the tables that the runs had beside them
 * @param options.allowed names of what may differ all the same
 * @throws IstaError STUDY_DIFFERS naming what differs and two runs that do, USAGE for allowed names that there are not
 */
export function checkAgreement(
  { runs, studies, arms }: Collection,
  { fromTable, allowed }: { fromTable: boolean; allowed: readonly string[] },
): Agreement {
  const byIdentity = runs.every(({ dataIdentity }) => dataIdentity !== null);
  const statements: Statement[] = [
    ...runs.map((run) => statementOf(run, byIdentity, fromTable)),
    ...studies.flatMap(({ path, arms }) =>
      [...arms].map(
        ([arm, { config }]): Statement => ({
          arm,
          who: `the plan of ${path}`,
          method: config.method,
          facts: new Map(optionFacts(config as unknown as Record<string, unknown>, fromTable)),
        }),
      ),
    ),
  ];
  const keys = new Set(statements.flatMap(({ facts }) => [...facts.keys()]));
  const unknown = allowed.find((key) => !keys.has(key));
  if (unknown !== undefined)
    throw new IstaError(
      "USAGE",
      `--allow-differences: expected names of options, data, kind or version, got ${JSON.stringify(unknown)}; ${suggestion(unknown, [...keys])}`,
    );
  const said = new Set(studies.flatMap((study) => planned(study.arms)));
  const found = { armsDifferIn: [] as string[], allowed: [] as string[] };
  const refused: string[] = [];
  for (const key of keys) {
    // What is trained is what comes out of searches, one for each seed perhaps: it is what is compared.
    const outcome = key === "arch";
    const within = outcome
      ? null
      : arms
          .map((arm) =>
            conflict(
              key,
              statements.filter((one) => one.arm === arm),
            ),
          )
          .find((words) => words !== null);
    const between = conflict(key, statements);
    if (between === null) continue;
    const free = (within ?? null) === null && (outcome || said.has(key) || belongsToMethods(key, statements));
    if (free) found.armsDifferIn.push(key);
    else if (allowed.includes(key)) found.allowed.push(key);
    else refused.push(within ?? between);
  }
  if (refused.length > 0) {
    const names = refused.map((words) => words.slice(0, words.indexOf(" ")));
    throw new IstaError(
      "STUDY_DIFFERS",
      `the runs differ in more than they say: ${refused.join("; ")}; compare like with like, or say that they may: --allow-differences ${names.join(",")}`,
    );
  }
  return found;
}
