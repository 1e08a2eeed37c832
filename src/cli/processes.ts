// What commands do that several processes may carry out together: joining them, and leaving the word to the first.
import type { Command } from "commander";
import { type ClusterPlace, clusterPlace } from "../base/cluster.js";
import { prepareEngine } from "./engine.js";
import { wholeNumber } from "./model-options.js";

const usualTimeout = 300;

export const addTimeout = (command: Command): Command =>
  command.option(
    "--timeout <seconds>",
    "where several processes compute the run: how long one may keep the others waiting",
    wholeNumber("--timeout", 1),
    usualTimeout,
  );

/** Where this process is among those of the run, once it has asked. */
let place: ClusterPlace | null = null;

/** Whether this process is the one of a run that speaks. */
export const speaks = (): boolean => place === null || place.rank === 0;

/**
 * Joins the other processes of the run, where a launcher has started several. To be called first.
 * @throws IstaError PROCESSES_ENVIRONMENT, PROCESSES_MISSING, PROCESSES_LOST, PROCESSES_DIFFER
 */
export async function joinOthers(command: Command): Promise<void> {
  place = clusterPlace();
  if (place === null) return;
  await prepareEngine();
  const { joinProcesses } = await import("../course/processes.js");
  await joinProcesses(place, command.opts<{ timeout: number }>().timeout);
}

/** What the first process finds; see course/processes.ts. */
export async function firstOf<T>(find: () => T | Promise<T>): Promise<T> {
  if (place === null) return find();
  const { firstFinds } = await import("../course/processes.js");
  return firstFinds(async () => find());
}

/** Waits for the others at the end of what was done together. */
export async function leaveOthers(): Promise<void> {
  if (place === null) return;
  const { leaveProcesses } = await import("../course/processes.js");
  leaveProcesses();
}
