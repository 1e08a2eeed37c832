// Calls of the real command line, compiled for the test.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { compiledProgram } from "./compiled.js";

export interface Call {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
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

export interface CommandLine {
  /** The program that is called: the folder with `ista-nas` in it. Only there once tests run. */
  readonly program: string;
  /** A path in the folder that is the working directory of all calls. */
  at(...names: string[]): string;
  call(...words: string[]): Call;
  /** The value that a call with `--json`, which must succeed, prints. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the command prints
  json(...words: string[]): any;
}

/** The command line for a test file, with a folder of its own that goes at the end. */
export function commandLine(): CommandLine {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-test-"));
  let program = "";
  beforeAll(() => {
    program = compiledProgram();
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const call = (...words: string[]): Call => {
    const { status, stdout, stderr } = spawnSync(join(program, "ista-nas"), words, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
      maxBuffer: 1 << 28,
    });
    return { status, out: stdout, err: stderr };
  };
  return {
    get program() {
      return program;
    },
    at: (...names) => join(folder, ...names),
    call,
    json: (...words) => JSON.parse(succeed(call(...words, "--json"))),
  };
}
