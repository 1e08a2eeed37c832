// The CPU quota: of file trees as the kernel lays them out, and of a real control group where one can be made.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { allowedProcessors, processorQuota, usefulThreads } from "./processors.js";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** A root of a file system with these files. */
function system(files: Readonly<Record<string, string>>): string {
  const root = fs.mkdtempSync(join(tmpdir(), "ista-nas-quota-"));
  folders.push(root);
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(dirname(join(root, name)), { recursive: true });
    fs.writeFileSync(join(root, name), `${text}\n`);
  }
  return root;
}

const none = Number.POSITIVE_INFINITY;
it.each<[string, Record<string, string>, number]>([
  ["nothing", {}, none],
  ["version 2, half", { "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000" }, 0.5],
  ["version 2, none", { "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000" }, none],
  [
    "version 2, the group above has less",
    {
      "proc/self/cgroup": "0::/jobs/mine",
      "sys/fs/cgroup/jobs/cpu.max": "150000 100000",
      "sys/fs/cgroup/jobs/mine/cpu.max": "400000 100000",
    },
    1.5,
  ],
  [
    "version 2 of a container that shows the host's path",
    { "proc/self/cgroup": "0::/docker/abc", "sys/fs/cgroup/cpu.max": "25000 100000" },
    0.25,
  ],
  [
    "version 1",
    {
      "proc/self/cgroup": "3:memory:/x\n2:cpu,cpuacct:/job\n0::/",
      "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "20000",
      "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "10000",
    },
    2,
  ],
  [
    "version 1, none",
    {
      "proc/self/cgroup": "1:cpu:/",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    },
    none,
  ],
  [
    "other controllers only",
    { "proc/self/cgroup": "1:cpuset:/", "sys/fs/cgroup/cpuset/cpu.max": "1 2" },
    none,
  ],
  ["nonsense", { "proc/self/cgroup": "hello", "sys/fs/cgroup/cpu.max": "0 0" }, none],
])("%s", (_what, files, quota) => {
  expect(processorQuota(system(files))).toBe(quota);
});

it("threads are whole processors, at least one and no more than there are", () => {
  const limited = (quota: number): string =>
    system({ "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": `${quota * 100_000} 100000` });
  expect([usefulThreads(limited(0.5)), allowedProcessors(limited(0.5))]).toEqual([1, 0.5]);
  expect(usefulThreads(limited(1.9))).toBe(1);
  expect(usefulThreads(limited(1000))).toBe(availableParallelism());
});

/** A control group of its own with half a processor; undefined where the system does not let us. */
function realGroup(): string | undefined {
  const name = `ista-nas-test-${process.pid}`;
  const kinds: [string, Record<string, string>][] = [
    [`/sys/fs/cgroup/cpu/${name}`, { "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000" }],
    [`/sys/fs/cgroup/${name}`, { "cpu.max": "50000 100000" }],
  ];
  for (const [group, files] of kinds) {
    try {
      fs.mkdirSync(group);
      for (const [file, text] of Object.entries(files))
        fs.writeFileSync(join(group, file), text, { flag: "r+" });
      return group;
    } catch {
      if (fs.existsSync(group)) fs.rmdirSync(group);
    }
  }
  return undefined;
}

it("a command in a real control group with half a processor takes one thread, and doctor says so", (context) => {
  const group = realGroup();
  if (group === undefined) {
    console.log("not tested: no control group with a CPU quota can be made here");
    return context.skip();
  }
  try {
    const call = (...words: string[]): string =>
      execFileSync(
        "sh",
        [
          "-c",
          `echo $$ > "$0/cgroup.procs" && exec "$@"`,
          group,
          join(compiledProgram(), "ista-nas"),
          ...words,
        ],
        { encoding: "utf8" },
      );
    const [processor] = JSON.parse(call("doctor", "--json")).filter(
      ({ name }: { name: string }) => name === "processor",
    );
    expect(processor.value).toMatch(/, 0\.5 of \d+ cores allowed, 1 thread, /);
  } finally {
    fs.rmdirSync(group);
  }
});
