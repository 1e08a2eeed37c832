// Several processes that compute one run (data parallel): where they agree, and what of a batch each of them takes.
//
// All go through the same steps with the same images, in the order that one process would have: each takes its part of every batch,
// gradients and figures are summed, and all make the same step of the same numbers. So nothing but sums has to be exchanged, a
// checkpoint of one is that of all, and a run goes on with another number of processes. What a clock, a user or a disk decides is decided
// by the first process, which alone writes. Alone, a process exchanges nothing, and nothing here is more than a comparison.
import { createHash } from "node:crypto";
import { deserialize, serialize } from "node:v8";
import type { ClusterPlace } from "../base/cluster.js";
import { type ErrorCode, IstaError } from "../base/errors.js";
import { packageVersion } from "../base/package.js";
import type { Batch } from "../data/index.js";
import { engineInformation, vectorCode } from "../engine/device.js";
import {
  addUp,
  groupFigures,
  joinGroup,
  leaveGroup,
  shareNorms,
  sums as sumsOf,
  takeOver,
} from "../engine/processes.js";
import type { Network } from "../nn/network.js";
import { type Observer, silentObserver } from "./observer.js";

interface Team {
  readonly rank: number;
  readonly size: number;
  /** On this machine, where that is known. */
  readonly localSize: number;
}

const alone: Team = { rank: 0, size: 1, localSize: 1 };
let team: Team = alone;
let synchronisesNorms = false;

/** How many processes compute this run. */
export const processCount = (): number => team.size;

/** How many of them share this machine. */
export const localProcessCount = (): number => team.localSize;

/** Whether this process is the one that writes and speaks. */
export const isFirst = (): boolean => team.rank === 0;

/** Whether batch norms take the statistics of all processes' images, from now on. */
export function synchroniseNorms(value: boolean): void {
  synchronisesNorms = value;
}

/** Whether they do. */
export const normsAreShared = (): boolean => team.size > 1 && synchronisesNorms;

/** The observer, of the first process; a silent one in the others. */
export const heard = (observer: Observer): Observer => (isFirst() ? observer : silentObserver);

/**
 * Joins the other processes of the run. Called once, before anything of the run is made.
 * @param timeoutSeconds for every exchange
 * @throws IstaError PROCESSES_MISSING, PROCESSES_LOST, PROCESSES_DIFFER where they are of different programs
 */
export async function joinProcesses(place: ClusterPlace, timeoutSeconds: number): Promise<void> {
  const { rank, size, localSize } = place;
  const facts = {
    "ista-nas": packageVersion,
    libtorch: engineInformation().libtorchVersion,
    // With others, the same step of the same numbers would not have the same bits.
    "vector code (ISTA_NAS_VECTOR chooses another)": vectorCode().used,
    processes: size,
  };
  const all = await joinGroup({ ...place, timeoutSeconds }, JSON.stringify(facts));
  team = { rank, size, localSize: localSize ?? 1 };
  for (const [other, text] of all.entries()) {
    const theirs = JSON.parse(text) as Record<string, unknown>;
    for (const [name, value] of Object.entries(JSON.parse(all[0]) as Record<string, unknown>))
      if (theirs[name] !== value)
        throw new IstaError(
          "PROCESSES_DIFFER",
          `processes: expected the same ${name} in all, got ${value} in the one with rank 0 and ${theirs[name]} with rank ${other}`,
        );
  }
}

/** Waits for the others and closes the connections. */
export function leaveProcesses(): void {
  if (team.size === 1) return;
  anyProcess(false);
  leaveGroup();
  team = alone;
}

/** What was exchanged so far; null where there is nobody to exchange with. */
export const exchanged = () => (team.size === 1 ? null : groupFigures());

/** Whether it is so in any process; the same answer in all. To be asked by all. */
export function anyProcess(flag: boolean): boolean {
  if (team.size === 1) return flag;
  const votes = Float64Array.of(flag ? 1 : 0);
  addUp(votes);
  return votes[0] > 0;
}

/** The bytes that the first process has; the others give none. */
function bytesOfFirst(own: Uint8Array | null): Uint8Array {
  const length = Float64Array.of(own?.length ?? 0);
  addUp(length);
  const bytes = own === null ? new Uint8Array(length[0]) : new Uint8Array(own);
  if (bytes.length > 0) takeOver(bytes);
  return bytes;
}

type Said<T> = { readonly value: T } | { readonly code: ErrorCode; readonly message: string };

function hear<T>(): T {
  const said = deserialize(bytesOfFirst(null)) as Said<T>;
  if ("value" in said) return said.value;
  throw new IstaError(said.code, said.message, { isEcho: true });
}

function failureOf(error: unknown): Said<never> {
  if (error instanceof IstaError) return { code: error.code, message: error.message };
  return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) };
}

/**
 * What the first process finds: a value of plain data, maps and typed arrays, or an error, which all throw. To be asked by all; only in
 * the first `find` is called.
 */
export function firstSays<T>(find: () => T): T {
  if (team.size === 1) return find();
  if (!isFirst()) return hear();
  let value: T;
  try {
    value = find();
  } catch (error) {
    bytesOfFirst(serialize(failureOf(error)));
    throw error;
  }
  bytesOfFirst(serialize({ value } satisfies Said<T>));
  return value;
}

/** As `firstSays`, of something that the first process has to wait for. */
export async function firstFinds<T>(find: () => Promise<T>): Promise<T> {
  if (team.size === 1) return find();
  if (!isFirst()) return hear();
  const found = await find().then(
    (value) => () => value,
    (error: unknown) => () => {
      throw error;
    },
  );
  return firstSays<T>(found);
}

/** @throws IstaError PROCESSES_DIFFER in all where the text is not the same in all */
export function requireSame(what: string, text: string, way: string): void {
  if (team.size === 1) return;
  const own = createHash("sha256").update(text).digest("hex");
  const differs = own !== firstSays(() => own);
  if (!anyProcess(differs)) return;
  const who = differs
    ? `those of the process with rank ${team.rank} are others`
    : "those of another process are others";
  throw new IstaError(
    "PROCESSES_DIFFER",
    `processes: expected the same ${what} in all, ${who} than in the one with rank 0; ${way}`,
  );
}

/** Of `count` images, which ones a process takes. */
export interface Part {
  readonly first: number;
  readonly count: number;
  /** What the mean over them counts in the mean over all. */
  readonly share: number;
}

/** Batch norms need several values of each channel: of fewer images than two for each process, all take all of them. */
const fewestImages = 2;

/** Of images in this order, the ones that this process takes. */
export function ownPart(count: number, { rank, size }: Pick<Team, "rank" | "size"> = team): Part {
  if (size === 1) return { first: 0, count, share: 1 };
  if (count < fewestImages * size) return { first: 0, count, share: 1 / size };
  const [from, to] = [rank, rank + 1].map((edge) => Math.floor((edge * count) / size));
  return { first: from, count: to - from, share: (to - from) / count };
}

/** The fewest and the most images that any process takes of so many. */
export const partSizes = (count: number): { readonly least: number; readonly most: number } =>
  count < fewestImages * team.size
    ? { least: count, most: count }
    : { least: Math.floor(count / team.size), most: Math.ceil(count / team.size) };

/** What this process takes of a batch, where it is not that already. */
export function ownImages(batch: Batch): Batch & Required<Pick<Batch, "partOf">> {
  if (batch.partOf !== undefined) return { ...batch, partOf: batch.partOf };
  const { first, count, share } = ownPart(batch.count);
  const values = batch.images.length / batch.count;
  const { labels, origins } = batch;
  return {
    images: batch.images.subarray(first * values, (first + count) * values),
    labels: labels.subarray(first, first + count),
    count,
    ...(origins === undefined ? {} : { origins: origins.slice(first, first + count) }),
    partOf: { first, labels, share },
  };
}

/** Runs a forward pass and its backward pass; with `whole`, batch norms take the statistics of all processes' images. */
export function withNormsOf<T>(whole: boolean, body: () => T): T {
  if (!whole || !normsAreShared()) return body();
  shareNorms(true);
  try {
    return body();
  } finally {
    shareNorms(false);
  }
}

/** The running statistics of batch norms become the means of those of all processes. */
export function averageStatistics(network: Network): void {
  if (team.size === 1) return;
  sumsOf([], {
    values: new Float64Array(0),
    averaged: network.runningStatistics,
    weight: 1 / team.size,
  });
}

/**
 * The logits [N, classes] of a whole batch, of those of the part that this process takes.
 * @param own of the part, row-major
 */
export function wholeLogits(
  own: Float32Array,
  { partOf, count }: ReturnType<typeof ownImages>,
): Float32Array {
  const classes = own.length / count;
  const all = new Float64Array(partOf.labels.length * classes);
  // Where all have computed all, one of them says it.
  if (count < partOf.labels.length || isFirst()) all.set(own, partOf.first * classes);
  addUp(all);
  return Float32Array.from(all);
}
