// Typed face of processes that compute one run together: sums over all of them, and what the first one says to the others.
// Nothing of libtorch's communication is opened before `joinGroup`.
import { IstaError } from "../base/errors.js";
import { setUpCommand } from "../base/package.js";
import { addon, guarded } from "./addon.js";
import { Tensor } from "./tensor.js";

/** Where a process stands among those of a run. */
export interface GroupPlace {
  /** From 0 to size - 1. */
  readonly rank: number;
  readonly size: number;
  /** Name or address of the machine of rank 0, and the port at which it waits for the others. */
  readonly address: string;
  readonly port: number;
  /** How long anything that is exchanged may take, seconds. */
  readonly timeoutSeconds: number;
}

/** Whether this addon was built with c10d and gloo. */
export const processesAvailable = (): boolean => addon.processes.available;

/**
 * Waits until all processes of the run have come, and connects them.
 * @param facts what this process says of itself
 * @returns what every process has said, by rank
 * @throws IstaError PROCESSES_MISSING where the addon was built without, PROCESSES_LOST where one does not come
 */
export async function joinGroup(place: GroupPlace, facts: string): Promise<readonly string[]> {
  const { rank, size, address, port, timeoutSeconds } = place;
  if (!processesAvailable())
    throw new IstaError(
      "PROCESSES_MISSING",
      `processes: expected an addon with gloo, this one was built without; install the headers that go with libtorch (Debian, Ubuntu: apt-get install libgloo-dev) and run: ${setUpCommand}`,
    );
  try {
    return await addon.processes.join(rank, size, address, port, 1000 * timeoutSeconds, facts);
  } catch (cause) {
    throw new IstaError(
      "PROCESSES_LOST",
      `processes: expected ${size} of them to find each other at ${address}, port ${port}: ${(cause as Error).message}; start all of them at about the same time, and see that nothing keeps them from reaching that port`,
      { cause },
    );
  }
}

/** Runs an exchange; says what may have happened where it fails. */
function lost<T>(exchange: () => T): T {
  try {
    return guarded(exchange);
  } catch (cause) {
    if (!(cause instanceof IstaError && cause.code === "PROCESSES_LOST")) throw cause;
    throw new IstaError(
      "PROCESSES_LOST",
      `processes: expected all others to go on, got: ${cause.message}; another one has ended (see what it said, if it could), or was silent for longer than --timeout; the last checkpoint is whole: go on with --resume`,
      { cause },
    );
  }
}

/** Every value becomes its sum over all processes, in place; the same bits on each. @throws IstaError PROCESSES_LOST */
export const addUp = (values: Float64Array): void => lost(() => addon.processes.addUp(values));

/** The bytes become those of rank 0, in place. @throws IstaError PROCESSES_LOST */
export const takeOver = (bytes: Uint8Array): void => lost(() => addon.processes.takeOver(bytes));

const tensorsOf = (handles: readonly (number | null)[]): (Tensor | null)[] =>
  handles.map((handle) => (handle === null ? null : new Tensor(handle)));

/** What is summed over all processes besides tensors, in place. */
export interface Aside {
  readonly values: Float64Array;
  /** Each becomes the mean of those of all processes, in which this one's counts by `weight`. */
  readonly averaged: readonly Tensor[];
  readonly weight: number;
}

const partsOf = ({ values, averaged, weight }: Aside): [Float64Array, number[], number] => [
  values,
  averaged.map(({ handle }) => handle),
  weight,
];

/** Sums of float32 tensors over all processes. @throws IstaError PROCESSES_LOST */
export function sums(tensors: readonly (Tensor | null)[], aside: Aside): (Tensor | null)[] {
  const handles = tensors.map((tensor) => tensor?.handle ?? null);
  return tensorsOf(lost(() => addon.processes.sums(handles, ...partsOf(aside))));
}

/**
 * As `gradients`, summed over all processes, which must have the same inputs and graphs: sums begin while the backward pass goes on.
 * @throws IstaError PROCESSES_LOST
 */
export function gradientSums(loss: Tensor, inputs: readonly Tensor[], aside: Aside): (Tensor | null)[] {
  const handles = inputs.map(({ handle }) => handle);
  return tensorsOf(lost(() => addon.processes.gradientSums(loss.handle, handles, ...partsOf(aside))));
}

/** Whether batch norms in training take the statistics of all processes' images. */
export const shareNorms = (value: boolean): void => guarded(() => addon.processes.shareNorms(value));

/**
 * Bytes that were summed or sent, before they are split among processes; seconds of waiting for sums; and of sums being on their way,
 * each for itself.
 */
export const groupFigures = (): ReturnType<typeof addon.processes.figures> =>
  guarded(() => addon.processes.figures());

/** Closes all connections. To be called when every process has what it needs. */
export const leaveGroup = (): void => guarded(() => addon.processes.leave());
