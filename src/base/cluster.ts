// Where this process stands among those that a launcher started for one run: torchrun (and `ista-nas launch`), Open MPI, Slurm.
import { IstaError } from "./errors.js";

/** Where a process stands among those of a run. */
export interface ClusterPlace {
  /** From 0 to size - 1. */
  readonly rank: number;
  /** At least 2. */
  readonly size: number;
  /** How many of them are on this machine, where that is said. */
  readonly localSize: number | null;
  /** Name or address of the machine of rank 0, and the port at which it waits for the others. */
  readonly address: string;
  readonly port: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface Launcher {
  readonly name: string;
  readonly rank: string;
  readonly size: string;
  readonly localSize?: string;
  /** Whether it has started this process as one of several. */
  started(environment: Environment): boolean;
  /** What it says of the first machine, where MASTER_ADDR and MASTER_PORT do not. */
  address(environment: Environment): string | undefined;
  port(environment: Environment): number | undefined;
  /** What to do where the address is not known. */
  readonly way: string;
}

/** Ports that are neither the system's nor given to outgoing connections. */
const [firstPort, portCount] = [20_000, 10_000];

/** The first host of a list such as `node[03-05,9],login`. */
export function firstHost(list: string): string {
  const [, prefix, numbers, suffix = ""] = /^([^[,]*)(?:\[([^\]]*)\]([^,]*))?/.exec(list)!;
  return numbers === undefined ? prefix : `${prefix}${/^\d*/.exec(numbers)![0]}${suffix}`;
}

const ways = "set MASTER_ADDR and MASTER_PORT, the same for all processes";

const launchers: readonly Launcher[] = [
  {
    name: "torchrun",
    rank: "RANK",
    size: "WORLD_SIZE",
    localSize: "LOCAL_WORLD_SIZE",
    started: ({ RANK, WORLD_SIZE }) => RANK !== undefined || WORLD_SIZE !== undefined,
    address: () => undefined,
    port: () => undefined,
    way: ways,
  },
  {
    name: "Open MPI",
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
    started: ({ OMPI_COMM_WORLD_SIZE }) => OMPI_COMM_WORLD_SIZE !== undefined,
    // All on one machine: mpirun is the parent of all.
    address: ({ OMPI_COMM_WORLD_SIZE, OMPI_COMM_WORLD_LOCAL_SIZE }) =>
      OMPI_COMM_WORLD_SIZE === OMPI_COMM_WORLD_LOCAL_SIZE ? "127.0.0.1" : undefined,
    port: ({ OMPI_COMM_WORLD_SIZE, OMPI_COMM_WORLD_LOCAL_SIZE }) =>
      OMPI_COMM_WORLD_SIZE === OMPI_COMM_WORLD_LOCAL_SIZE
        ? firstPort + (process.ppid % portCount)
        : undefined,
    way: "on several machines give them: mpirun -x MASTER_ADDR=HOST_OF_RANK_0 -x MASTER_PORT=29500 ...",
  },
  {
    name: "Slurm",
    rank: "SLURM_PROCID",
    size: "SLURM_STEP_NUM_TASKS",
    started: ({ SLURM_STEP_NUM_TASKS, SLURM_PROCID }) =>
      // A batch script has the number of tasks of its job, but is none of them: srun starts those, in a step.
      SLURM_STEP_NUM_TASKS !== undefined && SLURM_PROCID !== undefined,
    address: ({ SLURM_STEP_NODELIST, SLURM_JOB_NODELIST }) => {
      const list = SLURM_STEP_NODELIST ?? SLURM_JOB_NODELIST;
      return list === undefined ? undefined : firstHost(list);
    },
    // Of several steps of a job each has its own.
    port: ({ SLURM_JOB_ID, SLURM_STEP_ID }) =>
      SLURM_JOB_ID === undefined
        ? undefined
        : firstPort + ((Number(SLURM_JOB_ID) * 10 + Number(SLURM_STEP_ID ?? 0)) % portCount),
    way: ways,
  },
];

/**
 * The place that the environment gives this process; null where it is alone, also as the only task of a launcher.
 * @throws IstaError PROCESSES_ENVIRONMENT where only a part of what is needed is there
 */
export function clusterPlace(environment: Environment = process.env): ClusterPlace | null {
  const launcher = launchers.find((one) => one.started(environment));
  if (launcher === undefined) return null;
  const refuse = (expected: string, got: string): never => {
    throw new IstaError(
      "PROCESSES_ENVIRONMENT",
      `environment of ${launcher.name}: expected ${expected}, got ${got}; ${launcher.way}; a run in one process needs none of them`,
    );
  };
  const number = (name: string, least: number, most: number): number => {
    const text = environment[name];
    const value = Number(text);
    if (text === undefined) return refuse(`${name}`, "none");
    if (!/^\d+$/.test(text) || value < least || value > most)
      return refuse(`a whole number from ${least} to ${most} in ${name}`, JSON.stringify(text));
    return value;
  };
  const size = number(launcher.size, 1, 65_536);
  const rank = number(launcher.rank, 0, size - 1);
  if (size === 1) return null;
  const address = environment.MASTER_ADDR || launcher.address(environment);
  if (address === undefined) return refuse("MASTER_ADDR, the machine of rank 0", "none");
  const usual = environment.MASTER_PORT === undefined ? launcher.port(environment) : undefined;
  const port = usual ?? number("MASTER_PORT", 1, 65_535);
  const { localSize } = launcher;
  const local = localSize === undefined || environment[localSize] === undefined;
  return { rank, size, localSize: local ? null : number(localSize, 1, size), address, port };
}
