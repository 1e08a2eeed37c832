// How many processors this process may use: those of the machine, less what the scheduler or its control group withholds.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

/** The text of a file of the kernel's; undefined where there is none. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Processors of a quota per period; infinite where there is no quota (`max`, -1, or no such file). */
function share(quota: string | undefined, period: string | undefined): number {
  const processors = Number(quota) / Number(period);
  return processors > 0 ? processors : Number.POSITIVE_INFINITY;
}

/** What the control group at `path` itself allows, in either version's files. */
const quotaAt = {
  v2(path: string): number {
    const [quota, period] = textOf(join(path, "cpu.max"))?.split(" ") ?? [];
    return share(quota, period);
  },
  v1: (path: string): number =>
    share(textOf(join(path, "cpu.cfs_quota_us")), textOf(join(path, "cpu.cfs_period_us"))),
};

/**
 * The CPU quota of the control groups that this process is in, in processors (0.5: half of one); infinite where there is
 * none. The least of a group and all those above it counts, as the kernel has it.
 * @param system the root of the file system
 */
export function processorQuota(system = "/"): number {
  let least = Number.POSITIVE_INFINITY;
  for (const line of textOf(join(system, "proc/self/cgroup"))?.split("\n") ?? []) {
    // number:controllers:path; version 2 has no controllers there.
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined || !(controllers === "" || controllers.split(",").includes("cpu"))) continue;
    const mounts = controllers === "" ? ["", "unified"] : [controllers, "cpu"];
    for (const mount of new Set(mounts)) {
      // In a container the path may be the host's, of which nothing but the top is there.
      const steps = path.split("/").filter((step) => step !== "");
      for (let length = steps.length; length >= 0; length--) {
        const group = join(system, "sys/fs/cgroup", mount, ...steps.slice(0, length));
        least = Math.min(least, quotaAt[controllers === "" ? "v2" : "v1"](group));
      }
    }
  }
  return least;
}

/** Processors that may be used, in parts of one where a quota says so. */
export const allowedProcessors = (system?: string): number =>
  Math.min(availableParallelism(), processorQuota(system));

/**
 * Threads that are of use: whole processors, at least one. Parts are rounded down, as newer versions of Node do: a thread
 * that may run only half of the time holds up all that wait for it.
 */
export const usefulThreads = (system?: string): number => Math.max(1, Math.floor(allowedProcessors(system)));
