// What a run survives: being killed while it writes a checkpoint, and signals that ask it to stop.
import { spawn } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { killAndResume } from "../../test/support/killed-run.js";
import { resolveConfig } from "../config/config.js";
import { RunDirectory } from "./directory.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
}, 120_000);
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-survival-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

it("SIGKILL at six moments while checkpoints are written", async () => {
  const { config } = resolveConfig("search", { preset: "demo" });
  const run = RunDirectory.create({ kind: "search", config, out: join(folder, "run") });
  run.close();
  let before = 0;
  for (const milliseconds of [0, 3, 5, 8, 13, 21]) {
    const { step } = await killAndResume(program, run.path, milliseconds);
    expect(step).toBeGreaterThan(before);
    before = step;
  }
});

describe("signals", () => {
  /** A loop of short steps that saves when asked to stop; `finish` is how long that takes in milliseconds. */
  function loop(finish: number): ReturnType<typeof spawn> {
    const script = `
      const { Interruption, interruptedStatus } = await import(${JSON.stringify(join(program, "dist/src/cli/interrupt.js"))});
      const interruption = new Interruption((signal) => console.log("asked by " + signal));
      const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      console.log("ready");
      while (interruption.signal === null) await pause(2);
      await pause(${finish});
      console.log("saved");
      process.exitCode = interruptedStatus;
      interruption.close();`;
    return spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  /** Sends each signal after the next line of output; resolves with everything that was printed and the exit status. */
  function play(
    child: ReturnType<typeof spawn>,
    signals: NodeJS.Signals[],
  ): Promise<[string[], number | null]> {
    let output = "";
    child.stdout!.on("data", (data) => {
      output += data;
      const signal = signals.shift();
      if (signal !== undefined) child.kill(signal);
    });
    return new Promise((resolve) =>
      child.once("close", (status) => resolve([output.trimEnd().split("\n"), status])),
    );
  }

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "the first %s lets the step finish and save",
    async (signal) => {
      expect(await play(loop(20), [signal])).toEqual([["ready", `asked by ${signal}`, "saved"], 130]);
    },
  );

  it("a hang-up that is told again, and a wish to end after it, are no impatience", async () => {
    const signals: NodeJS.Signals[] = ["SIGHUP", "SIGHUP", "SIGTERM"];
    const child = loop(300);
    const played = play(child, [signals.shift()!]);
    await new Promise<void>((resolve) => child.stdout!.on("data", (data) => /asked/.test(data) && resolve()));
    for (const signal of signals) child.kill(signal);
    expect(await played).toEqual([["ready", "asked by SIGHUP", "saved"], 130]);
  });

  it("the second quits at once", async () => {
    expect(await play(loop(1_000_000), ["SIGINT", "SIGTERM"])).toEqual([["ready", "asked by SIGINT"], 130]);
  });
});
