// What a search step costs alone, beside one busy process on each core, and beside a second run, as medians over rounds that take turns.
// Goals: at most 2.2 times as long in company as alone. `--against FOLDER`: another build of the program, in the same rounds.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { formatTable, median } from "../src/base/format.js";
import { packageFolder } from "../src/base/package.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "6" },
    threads: { type: "string", default: "2" },
    against: { type: "string" },
  },
});
const programs = [packageFolder, ...(flags.against === undefined ? [] : [flags.against])];

/** Median seconds of a step; further arguments, after `--`, go to `ista-nas bench`, such as the size of the network. */
async function secondsOfStep(program: string): Promise<number> {
  const { steps, threads } = flags;
  const args = ["bench", "--json", "--steps", steps, "--threads", threads, ...positionals];
  const child = spawn(process.execPath, [join(program, "ista-nas"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [printed] = await Promise.all([text(child.stdout), once(child, "close")]);
  if (child.exitCode !== 0) throw new Error(`${program}: ista-nas bench ended with ${child.exitCode}`);
  return median((JSON.parse(printed) as { seconds: number[] }).seconds);
}

async function besideBusyLoops(program: string): Promise<number> {
  const loops: ChildProcess[] = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
  );
  try {
    return await secondsOfStep(program);
  } finally {
    for (const loop of loops) loop.kill("SIGKILL");
  }
}

async function besideItself(program: string): Promise<number> {
  const both = await Promise.all([secondsOfStep(program), secondsOfStep(program)]);
  return (both[0] + both[1]) / 2;
}

const situations = { alone: secondsOfStep, "beside busy loops": besideBusyLoops, "two runs": besideItself };
const taken = programs.map(() => Object.values(situations).map(() => [] as number[]));
for (let round = 0; round < Number(flags.rounds); round++)
  for (const [index, program] of programs.entries())
    for (const [place, measure] of Object.values(situations).entries())
      taken[index][place].push(await measure(program));

const rows = programs.map((program, index) => ({ program, medians: taken[index].map(median) }));
const columns = Object.keys(situations).map((title, place) => ({
  title,
  cell: ({ medians }: (typeof rows)[number]) =>
    `${medians[place].toFixed(3)} s (${(medians[place] / medians[0]).toFixed(2)})`,
}));
console.log(formatTable(rows, [{ title: "program", cell: ({ program }) => program }, ...columns]));
