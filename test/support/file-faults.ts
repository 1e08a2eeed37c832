// Runs whose file operations are counted, and that are killed or refused space at chosen ones (see file-faults.c); and every file of a
// run directory in a form that can be compared.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { type Ending, perform } from "./command-line.js";
import { type ReadEvent, readEvents } from "./tensorboard.js";

/** Why no file operations can be counted here; null where they can. */
export function faultsObstacle(): string | null {
  if (process.platform !== "linux") return "only Linux preloads libraries in this way";
  return spawnSync("cc", ["--version"]).error ? "there is no C compiler" : null;
}

/** Compiles the library. @returns its path; it goes when the process ends */
export function faultsLibrary(): string {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-faults-library-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const library = join(folder, "file-faults.so");
  const source = join(dirname(fileURLToPath(import.meta.url)), "file-faults.c");
  execFileSync("cc", ["-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"]);
  return library;
}

const small = [
  ...["--data", "bundled", "--cells", "3", "--channels", "4", "--limit-train", "32", "--limit-test", "8"],
  // A checkpoint after every step, of which an epoch has two.
  ...["--batch-size", "8", "--threads", "1", "--save-every", "0.0000001", "--log-every", "1"],
];

/** One of each kind of run, as small as can be with several epochs, checkpoints within them, and all that comes at the end. */
export const faultyRuns = {
  "two-stage": ["search", ...small, "--epochs", "2", "--code-learning-rate", "0.01"],
  "one-stage": [
    ...["search", "--method", "ista-one-stage", ...small, "--epochs", "1", "--train-epochs", "1"],
    ...["--validation-fraction", "0.5", "--freeze-tolerance", "10", "--auxiliary-weight", "0.4"],
  ],
  trials: ["search", "--method", "ista-trials", ...small, "--epochs", "2", "--trial-steps", "2"],
  train: [
    ...["train", "--arch", "ISTA_onestage", ...small, "--epochs", "2", "--validation-fraction", "0.5"],
    ...["--keep-checkpoints", "1", "--weight-averaging", "0.9"],
  ],
} as const satisfies Record<string, readonly string[]>;
export type FaultyRun = keyof typeof faultyRuns;

export interface Operation {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  /** In the run directory, what is unfinished without its random part. */
  readonly path: string;
}

export interface Faults {
  /** The operation that the process does not live to do. */
  readonly kill?: number;
  /** From the first to the last of these operations there is no space. */
  readonly full?: readonly [first: number, last: number];
}

export class FaultyProgram {
  constructor(
    private readonly program: string,
    private readonly library: string,
  ) {}

  /** A command that works on the run directory `path`; also the operations on it up to its end. */
  async perform(
    words: readonly string[],
    path: string,
    { kill, full }: Faults = {},
  ): Promise<{ ending: Ending; operations: Operation[] }> {
    const log = `${path}.operations`;
    const env = {
      LD_PRELOAD: this.library,
      // Through io_uring, files would change without a call that is seen.
      UV_USE_IO_URING: "0",
      FAULTS_BELOW: path,
      FAULTS_LOG: log,
      ...(kill === undefined ? {} : { FAULTS_KILL: String(kill) }),
      ...(full === undefined ? {} : { FAULTS_FULL: full.join("-") }),
    };
    rmSync(log, { force: true });
    const ending = await perform(this.program, words, { env });
    const lines = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : [];
    const operations = lines.map((line) => {
      const [number, name, ...rest] = line.split(" ");
      const inside = relative(path, rest.join(" ")).replace(/\.writing-[0-9a-f]{12}-/, ".writing-");
      return { number: Number(number), name, path: inside };
    });
    return { ending, operations };
  }

  begin(kind: FaultyRun, path: string, faults?: Faults) {
    return this.perform([...faultyRuns[kind], "--out", path], path, faults);
  }

  /**
   * Goes on with a run that ended early. One that is not even a configuration yet is begun once more, as it is told to be.
   * Whatever was written when it ended, this must work.
   */
  async takeUp(kind: FaultyRun, path: string): Promise<void> {
    const resume = () => perform(this.program, [faultyRuns[kind][0], "--resume", path]);
    let ending = await resume();
    if (!existsSync(join(path, "config.json"))) {
      expect(ending).toMatchObject({ status: 1, err: expect.stringContaining("error RUN_NOT_FOUND: ") });
      ending = (await this.begin(kind, path)).ending;
    }
    expect(ending, ending.err).toMatchObject({ status: 0, signal: null });
  }
}

/** What no two runs have in common: times, memory, and what is of the host, the process and the command line. */
const differing = [
  ...["created", "saved", "seconds", "epochSeconds", "epochWaitSeconds", "totalSeconds", "processorSeconds"],
  ...["imagesPerSecond", "dataWaitSeconds", "residentBytes", "peakMemoryBytes", "peakBytes"],
  ...["host", "command", "resumed"],
  // In checkpoint.json, the lengths and the checksum of files with these times; the files themselves are compared.
  ...["state.json", "grown"],
];

const withoutDiffering = (text: string): string =>
  JSON.stringify(JSON.parse(text, (key, value) => (differing.includes(key) ? undefined : value)));

/** Without wall times, sizes of pictures' files, and figures that no two runs have in common. */
const comparable = ({ step, fileVersion, values }: ReadEvent) => ({
  step,
  fileVersion,
  values: values.map(({ tag, simpleValue, histo, tensor, image, metadata }) => {
    if (differing.includes(tag.replace("epoch/", ""))) return { tag };
    // Hyper-parameters have the time of the start.
    const text = metadata?.pluginData?.pluginName === "text" ? tensor.stringVal[0].toString() : null;
    return { tag, simpleValue, histo, text, image: image?.encodedImageString.toString("base64") };
  }),
});

/** Every file of a run directory by its path, but for what no two runs have in common. */
export function filesOf(path: string): Map<string, string> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(path, join(entry.parentPath, entry.name)).split(sep).join("/"));
  return new Map(
    names.sort().map((name) => {
      const bytes = readFileSync(join(path, name));
      if (name.startsWith("tensorboard/")) return [name, JSON.stringify(readEvents(bytes).map(comparable))];
      // The panel with the speed comes last.
      if (name === "curves.svg") return [name, bytes.toString("utf8").split(">Speed")[0]];
      if (name.endsWith(".jsonl"))
        return [name, bytes.toString("utf8").trimEnd().split("\n").map(withoutDiffering).join("\n")];
      return [
        name,
        name.endsWith(".json") ? withoutDiffering(bytes.toString("utf8")) : bytes.toString("latin1"),
      ];
    }),
  );
}

/** Paths of files that are not in both, or differ. */
export function differences(path: string, expected: ReadonlyMap<string, string>): string[] {
  const found = filesOf(path);
  const names = new Set([...found.keys(), ...expected.keys()]);
  return [...names].filter((name) => found.get(name) !== expected.get(name)).sort();
}

/** Does the work for all items, a few side by side. */
export async function forAll<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

/** An undisturbed run: its operations, and its files. */
export interface Undisturbed {
  readonly operations: readonly Operation[];
  readonly files: ReadonlyMap<string, string>;
}

/** Disturbs runs of one kind in a folder of its own; each is called `run`, as the name of a run is in its files. */
export class Disturbance {
  private constructor(
    private readonly program: FaultyProgram,
    private readonly kind: FaultyRun,
    private readonly folder: string,
    readonly undisturbed: Undisturbed,
  ) {}

  static async of(program: FaultyProgram, kind: FaultyRun, folder: string): Promise<Disturbance> {
    const path = join(folder, "undisturbed", "run");
    mkdirSync(dirname(path), { recursive: true });
    const { ending, operations } = await program.begin(kind, path);
    expect(ending, ending.err).toMatchObject({ status: 0, signal: null });
    return new Disturbance(program, kind, folder, { operations, files: filesOf(path) });
  }

  /** The number of an operation of the undisturbed run: the first one, or a later one, so called on such a path. */
  find(name: string, path: RegExp, occurrence = 1): number {
    const found = this.undisturbed.operations.filter((one) => one.name === name && path.test(one.path));
    expect(found.length, `${name} ${path}`).toBeGreaterThanOrEqual(occurrence);
    return found[occurrence - 1].number;
  }

  /** A new place for a run, which goes when `work` is done and nothing was wrong. */
  private async at(name: string, work: (path: string) => Promise<void>): Promise<void> {
    const path = join(this.folder, name, "run");
    mkdirSync(dirname(path), { recursive: true });
    await work(path);
    rmSync(dirname(path), { recursive: true });
  }

  private expectUndisturbed(path: string, what: string, besides: RegExp | null = null): void {
    const different = differences(path, this.undisturbed.files);
    expect(
      different.filter((name) => !besides?.test(name)),
      what,
    ).toEqual([]);
  }

  /** Killed before that operation and taken up: everything is as in the undisturbed run. */
  killed(number: number): Promise<void> {
    return this.at(`killed-${number}`, async (path) => {
      const { ending, operations } = await this.program.begin(this.kind, path, { kill: number });
      const what = `${this.kind} killed at operation ${number}, ${JSON.stringify(operations.at(-1))}`;
      expect(ending, `${what}: ${ending.err}`).toMatchObject({ status: null, signal: "SIGKILL" });
      await this.program.takeUp(this.kind, path);
      this.expectUndisturbed(path, what);
    });
  }

  /** Killed, taken up and killed again before an operation of that, and taken up: as the undisturbed run. */
  killedTwice(first: number, second: number): Promise<void> {
    return this.at(`killed-${first}-${second}`, async (path) => {
      await this.program.begin(this.kind, path, { kill: first });
      const words = [faultyRuns[this.kind][0], "--resume", path];
      const { ending, operations } = await this.program.perform(words, path, { kill: second });
      const what = `${this.kind} killed at ${first} and again at ${second}, ${JSON.stringify(operations.at(-1))}`;
      expect(ending, `${what}: ${ending.err}`).toMatchObject({ status: null, signal: "SIGKILL" });
      await this.program.takeUp(this.kind, path);
      this.expectUndisturbed(path, what);
    });
  }

  /** How many operations a run makes that is taken up after it was killed. */
  async operationsAfter(kill: number): Promise<number> {
    let count = 0;
    await this.at(`counted-${kill}`, async (path) => {
      await this.program.begin(this.kind, path, { kill });
      const words = [faultyRuns[this.kind][0], "--resume", path];
      count = (await this.program.perform(words, path)).operations.length;
    });
    return count;
  }

  /**
   * No space from one operation to another. A run that comes to its end is the undisturbed one; one that does not says why in one line,
   * and is the undisturbed one when it is taken up. Only the copies that checkpoints replaced may be of other moments.
   * @returns the status that it ended with, and what it said
   */
  async full(first: number, last: number): Promise<Ending> {
    let ended: Ending | null = null;
    await this.at(`full-${first}-${last}`, async (path) => {
      const { ending } = await this.program.begin(this.kind, path, { full: [first, last] });
      ended = ending;
      const operation = this.undisturbed.operations[first - 1];
      const what = `${this.kind} without space from operation ${first} to ${last}, ${JSON.stringify(operation)}`;
      expect(ending.signal, what).toBeNull();
      if (ending.status !== 0) {
        expect(ending.status, what).toBe(1);
        expect(ending.err, what).toMatch(/^error FILE_DISK_FULL: .*$/m);
        const names = existsSync(path) ? readdirSync(path, { recursive: true, encoding: "utf8" }) : [];
        expect(
          names.filter((name) => name.includes(".writing-")),
          what,
        ).toEqual([]);
        if (existsSync(join(path, "meta.json"))) await this.program.takeUp(this.kind, path);
        else expect((await this.program.begin(this.kind, path)).ending, what).toMatchObject({ status: 0 });
      }
      this.expectUndisturbed(path, what, /\.previous\//);
    });
    return ended!;
  }
}
