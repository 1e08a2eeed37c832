// Runs in several processes, for tests: started by `launch`, or one by one as another launcher does.
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { RunDirectory } from "../../src/run/directory.js";
import { begin, type RunningCommand } from "./command-line.js";

/** Words of `launch` for a run in so many processes. */
export const launched = (processes: number, words: readonly string[]): string[] => [
  ...["launch", "--processes", String(processes), "--timeout", "60"],
  ...words,
];

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** Starts all processes of a run with the environment that torchrun gives them. */
export async function beginTogether(
  program: string,
  size: number,
  words: (rank: number) => readonly string[],
  environment: (rank: number) => Readonly<Record<string, string>> = () => ({}),
): Promise<RunningCommand[]> {
  const port = await freePort();
  return Array.from({ length: size }, (_, rank) =>
    begin(program, words(rank), {
      env: {
        ...{ RANK: String(rank), WORLD_SIZE: String(size), LOCAL_WORLD_SIZE: String(size) },
        ...{ MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(port), ...environment(rank) },
      },
    }),
  );
}

export interface Figures {
  /** Of every step. */
  readonly losses: readonly number[];
  readonly accuracies: readonly number[];
  /** Of every epoch, on the held-out images. */
  readonly validation: readonly number[];
  readonly genotypes: readonly string[];
  /** The compressed codes of all choices after the first epoch; none of a training. */
  readonly codes: readonly number[];
  /** Of the last checkpoint. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** What a run with `--log-every 1` computed. */
export function figuresOf(path: string): Figures {
  const rows = readFileSync(join(path, "steps.jsonl"), "utf8").trim().split("\n");
  const steps = rows.map((row) => JSON.parse(row) as { loss: number; accuracy: number });
  const records = RunDirectory.open(path, "read").records();
  const { tensors } = readSafetensors(join(path, "checkpoints/last/model.safetensors"));
  return {
    losses: steps.map(({ loss }) => loss),
    accuracies: steps.map(({ accuracy }) => accuracy),
    validation: records.map(({ validationLoss }) => Number(validationLoss ?? 0)),
    genotypes: records.map(({ genotype }) => JSON.stringify(genotype ?? null)),
    codes: ((records[0].choices ?? []) as { compressedCode: number[] }[]).flatMap(
      ({ compressedCode }) => compressedCode,
    ),
    weights: new Map(
      [...tensors].flatMap(([name, { data }]) =>
        data instanceof Float32Array ? [[name, data] as const] : [],
      ),
    ),
  };
}

/** Length of the difference over that of the first; 0 of nothing. */
export function relativeDistance(one: Iterable<number>, other: Iterable<number>): number {
  const theirs = Array.from(other);
  let [difference, size, count] = [0, 0, 0];
  for (const value of one) {
    difference += (value - theirs[count]) ** 2;
    size += value ** 2;
    count += 1;
  }
  if (count !== theirs.length) return Number.POSITIVE_INFINITY;
  return size === 0 ? 0 : Math.sqrt(difference / size);
}

/** The same of all weights. */
export const distance = (one: Figures["weights"], other: Figures["weights"]): number =>
  relativeDistance(
    [...one.values()].flatMap((values) => [...values]),
    [...one.keys()].flatMap((name) => [...other.get(name)!]),
  );
