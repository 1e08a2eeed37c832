// The real command line as a child process, for tests that interrupt, kill and resume it; and what two runs must have in common.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { RunDirectory } from "../../src/run/directory.js";

export interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  /** Limit of the address space in MiB. */
  readonly addressSpace?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** User id to run as; needs root. */
  readonly uid?: number;
  /** A whole command line in place of the program's. */
  readonly wrapped?: readonly string[];
}

/** A running command. */
export class RunningCommand {
  readonly ended: Promise<Ending>;
  readonly child: ChildProcess;
  private out = "";
  private err = "";
  private waiting: { readonly pattern: RegExp; readonly found: () => void }[] = [];

  constructor(program: string, words: readonly string[], options: CommandOptions = {}) {
    const { addressSpace, cwd, env, uid, wrapped } = options;
    const command = join(program, "ista-nas");
    const [file, ...given] =
      addressSpace === undefined
        ? (wrapped ?? [command, ...words])
        : ["bash", "-c", `ulimit -v ${addressSpace * 1024}; exec "$0" "$@"`, command, ...words];
    this.child = spawn(file, given, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", ...env },
      cwd,
      uid,
    });
    this.child.stdout!.on("data", (data) => {
      this.out += data;
    });
    this.child.stderr!.on("data", (data) => {
      this.err += data;
      this.waiting = this.waiting.filter(({ pattern, found }) => {
        if (!pattern.test(this.err)) return true;
        found();
        return false;
      });
    });
    this.ended = new Promise((resolve) =>
      this.child.once("close", (status, signal) => resolve({ status, signal, out: this.out, err: this.err })),
    );
  }

  /** Waits until standard error has had the text; fails when the command ends without. */
  async said(pattern: RegExp): Promise<void> {
    const found = new Promise<true>((resolve) => {
      if (pattern.test(this.err)) resolve(true);
      else this.waiting.push({ pattern, found: () => resolve(true) });
    });
    const ended = this.ended.then(() => pattern.test(this.err));
    if (!(await Promise.race([found, ended]))) expect.fail(`never said ${pattern}: ${this.err}`);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

export const begin = (program: string, words: readonly string[], options?: CommandOptions): RunningCommand =>
  new RunningCommand(program, words, options);

/** Runs a command to its end. */
export const perform = (
  program: string,
  words: readonly string[],
  options?: CommandOptions,
): Promise<Ending> => begin(program, words, options).ended;

/** Runs a command that must succeed. */
export async function succeed(
  program: string,
  words: readonly string[],
  options?: CommandOptions,
): Promise<Ending> {
  const ending = await perform(program, words, options);
  expect(ending, ending.err).toMatchObject({ status: 0, signal: null });
  return ending;
}

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

const common = [
  "--data",
  "bundled",
  "--cells",
  "3",
  "--channels",
  "4",
  "--limit-test",
  "32",
  "--threads",
  "1",
];
/** Saves after each step: 0.01 ms. */
const savesAlways = ["--save-every", "0.0000001"];

/** The three kinds of run, small and with everything that has a state: a few seconds each. */
export const smallRuns: Readonly<Record<"two-stage" | "one-stage" | "train", readonly string[]>> = {
  "two-stage": [
    ...["search", ...common, ...savesAlways, "--limit-train", "192", "--batch-size", "16", "--epochs", "4"],
    ...["--code-learning-rate", "0.01"],
  ],
  // The search is over after 3 epochs at most; drop-path belongs to the epochs after it.
  "one-stage": [
    ...[
      "search",
      "--method",
      "ista-one-stage",
      ...common,
      ...savesAlways,
      "--limit-train",
      "96",
      "--batch-size",
      "16",
    ],
    ...["--epochs", "3", "--train-epochs", "3", "--validation-fraction", "0.2", "--auxiliary-weight", "0.4"],
    ...["--drop-path", "0.2", "--learning-rate", "0.025", "--code-learning-rate", "0.01"],
    ...["--freeze-tolerance", "0.003"],
  ],
  train: [
    ...[
      "train",
      "--arch",
      "ISTA_onestage",
      ...common,
      ...savesAlways,
      "--limit-train",
      "96",
      "--batch-size",
      "16",
    ],
    ...["--epochs", "4", "--validation-fraction", "0.25", "--auxiliary-weight", "0.4", "--drop-path", "0.2"],
    ...["--weight-averaging", "0.9", "--cutout", "8", "--label-smoothing", "0.1", "--keep-checkpoints", "2"],
  ],
};
export type SmallRun = keyof typeof smallRuns;

/** Times and memory, which differ between any two runs. */
const measured = [
  ...[
    "seconds",
    "imagesPerSecond",
    "dataWaitSeconds",
    "residentBytes",
    "peakMemoryBytes",
    "processorSeconds",
  ],
  ...["epochSeconds", "epochWaitSeconds", "totalSeconds", "peakBytes"],
];

/** A JSON value without what is measured. */
function withoutMeasurements(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (key, part) => (measured.includes(key) ? undefined : part));
}

/** Everything that a run computed, in a form that can be compared: numbers to the last bit. */
export function resultsOf(path: string): Record<string, unknown> {
  const run = RunDirectory.open(path, "read");
  const bits = (file: string): Record<string, string> =>
    Object.fromEntries(
      [...readSafetensors(file).tensors].map(([name, { shape, data }]) => [
        name,
        `${shape} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")}`,
      ]),
    );
  const results: Record<string, unknown> = { records: withoutMeasurements(run.records()) };
  for (const checkpoint of readdirSync(join(path, "checkpoints")).filter(
    (name) => !name.endsWith(".previous"),
  )) {
    const folder = join(path, "checkpoints", checkpoint);
    for (const file of readdirSync(folder)) {
      if (file.endsWith(".safetensors")) results[`${checkpoint}/${file}`] = bits(join(folder, file));
    }
    results[`${checkpoint}/state`] = withoutMeasurements(
      JSON.parse(readFileSync(join(folder, "state.json"), "utf8")),
    );
  }
  for (const file of ["genotype.json", "summary.json"]) {
    const text = readFileSync(join(path, file), "utf8");
    // The architecture of a search is called as its folder.
    results[file] = withoutMeasurements({ ...JSON.parse(text), arch: "" });
  }
  if (existsSync(join(path, "genotypes"))) {
    for (const file of readdirSync(join(path, "genotypes")))
      results[file] = readFileSync(join(path, "genotypes", file), "utf8");
  }
  if (existsSync(join(path, "model.safetensors"))) results.model = bits(join(path, "model.safetensors"));
  return results;
}

/** Fails where two runs computed anything different. */
export function expectSameResults(path: string, reference: Readonly<Record<string, unknown>>): void {
  const found = resultsOf(path);
  expect(Object.keys(found).sort()).toEqual(Object.keys(reference).sort());
  // Not the values themselves: a difference of weights would print megabytes.
  const different = Object.keys(reference).filter(
    (key) => JSON.stringify(found[key]) !== JSON.stringify(reference[key]),
  );
  expect(different, path).toEqual([]);
}
