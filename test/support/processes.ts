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
    weights: new Map(
      [...tensors].flatMap(([name, { data }]) =>
        data instanceof Float32Array ? [[name, data] as const] : [],
      ),
    ),
  };
}

/** Root of the mean square of the difference of all weights over that of the weights. */
export function distance(one: Figures["weights"], other: Figures["weights"]): number {
  let [difference, size] = [0, 0];
  for (const [name, values] of one) {
    const theirs = other.get(name)!;
    for (const [index, value] of values.entries()) {
      difference += (value - theirs[index]) ** 2;
      size += value ** 2;
    }
  }
  return Math.sqrt(difference / size);
}
