// At least 50 random moments of interruption over both searches and training, each run compared bit for bit with an undisturbed one.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { type SmallRun, smallRuns } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { interruptedLikeUndisturbed, undisturbed } from "./support/interrupted-run.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-resume-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const wanted = 24;

it.each(Object.keys(smallRuns) as SmallRun[])("%s killed at 24 moments, stopped at 6", async (kind) => {
  const reference = await undisturbed(program, kind, join(folder, `${kind}-whole`));
  const random = RandomStream.named(0, `moments of ${kind}`);
  const interrupt = async (times: number, signals: readonly NodeJS.Signals[], name: string) =>
    interruptedLikeUndisturbed(program, kind, join(folder, name), reference, { times, signals, random });
  let kills = 0;
  let inWrite = 0;
  for (let run = 0; kills < wanted; run++) {
    const counts = await interrupt(6, ["SIGKILL"], `${kind}-${run}`);
    kills += counts.count;
    inWrite += counts.inWrite;
  }
  const { count: stops } = await interrupt(6, ["SIGINT", "SIGTERM"], `${kind}-stopped`);
  console.log(`${kind}: ${kills} kills, ${inWrite} of them left a write unfinished; ${stops} stops`);
  expect(inWrite).toBeGreaterThan(0);
  expect(stops).toBeGreaterThan(0);
});
