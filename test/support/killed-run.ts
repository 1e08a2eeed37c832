// A child process that saves checkpoints without end until it is killed, and the check of what it left.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { RunDirectory } from "../../src/run/directory.js";

/** Saves step after step, with tensors and state that tell the step, and reports each save when it is complete. */
const script = (program: string, folder: string): string => `
  const { RunDirectory } = await import(${JSON.stringify(join(program, "dist/src/run/directory.js"))});
  const run = RunDirectory.open(${JSON.stringify(folder)}, "write");
  let step = run.resume()?.state.step ?? 0;
  for (;;) {
    step += 1;
    run.appendRecord({ epoch: step });
    const group = (size) => new Map([["w", { shape: [size], data: new Float32Array(size).fill(step) }]]);
    run.saveCheckpoint("last", { tensors: { model: group(200_000), optimiser: group(100_000) }, state: { step } });
    run.writeJson("summary.json", { step });
    process.stdout.write(step + "\\n");
    await new Promise((resolve) => setImmediate(resolve));
  }`;

export interface KillOutcome {
  /** The step of the checkpoint that was found. */
  step: number;
  /** Whether the kill fell into a write: something unfinished was lying about, or the one before was used. */
  inWrite: boolean;
}

/**
 * Lets a child work on the run in `folder`, kills it some milliseconds after its first save, and takes the run up.
 * Whatever moment that was: the checkpoint is whole, no older than the last save that was reported, and the records fit.
 */
export async function killAndResume(
  program: string,
  folder: string,
  milliseconds: number,
): Promise<KillOutcome> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script(program, folder)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (data) => {
    if (output === "") setTimeout(() => child.kill("SIGKILL"), milliseconds);
    output += data;
  });
  await new Promise((resolve) => child.once("close", resolve));
  expect(child.signalCode).toBe("SIGKILL");
  const reported = Number(output.trimEnd().split("\n").at(-1));
  const leftovers = [...readdirSync(folder), ...readdirSync(join(folder, "checkpoints"))];
  const unfinished = leftovers.some((name) => name.startsWith(".writing-"));

  const run = RunDirectory.open(folder, "write");
  try {
    const { state, tensors, recordCount, warning } = run.resume()!;
    const { step } = state as { step: number };
    expect(step).toBeGreaterThanOrEqual(reported);
    expect(recordCount).toBe(step);
    expect(run.records()).toEqual(Array.from({ length: step }, (_, index) => ({ epoch: index + 1 })));
    for (const [group, size] of [
      ["model", 200_000],
      ["optimiser", 100_000],
    ] as const) {
      const { data } = tensors[group].get("w")!;
      expect(data.length).toBe(size);
      // Not toEqual: it takes seconds for as many numbers.
      expect((data as Float32Array).every((value) => value === step)).toBe(true);
    }
    const left = [...readdirSync(folder), ...readdirSync(join(folder, "checkpoints"))];
    expect(left.filter((name) => name.startsWith(".writing-"))).toEqual([]);
    return { step, inWrite: unfinished || warning !== null };
  } finally {
    run.close();
  }
}
