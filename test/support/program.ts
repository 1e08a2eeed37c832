// Calls of the real command line, compiled for the test.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "vitest";

export interface Call {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param program what `compiledProgram` returned @param folder where the program is called */
export function callProgram(program: string, folder: string, ...words: string[]): Call {
  const env = { ...process.env, NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(join(program, "ista-nas"), words, {
    cwd: folder,
    encoding: "utf8",
    env,
    maxBuffer: 1 << 28,
  });
  return { status, out: stdout, err: stderr };
}

/** The output of a call that must succeed. */
export function succeed({ status, out, err }: Call): string {
  expect(status, err).toBe(0);
  return out;
}

/** A call must fail with this status and one line with this code that contains all the words. */
export function fail({ status, err }: Call, expected: number, code: string, ...words: string[]): void {
  const line = err.trimEnd().split("\n").at(-1)!;
  expect(line).toContain(`error ${code}: `);
  for (const word of words) expect(line).toContain(word);
  expect(status, err).toBe(expected);
}
