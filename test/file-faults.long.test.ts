// Runs of each kind killed before every single file operation, and in the middle of every write; and without space on the disk at each.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compiledProgram } from "./support/compiled.js";
import {
  Disturbance,
  FaultyProgram,
  type FaultyRun,
  faultsLibrary,
  faultsObstacle,
  faultyRuns,
  forAll,
} from "./support/file-faults.js";

const obstacle = faultsObstacle();
if (obstacle !== null) console.log(`not tested, faults at single file operations: ${obstacle}`);

let program: FaultyProgram;
const folder = mkdtempSync(join(tmpdir(), "ista-nas-file-faults-"));
beforeAll(() => {
  if (obstacle === null) program = new FaultyProgram(compiledProgram(), faultsLibrary());
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** About 3 s of one core for each operation. */
const timeout = 3 * 3_600_000;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe.skipIf(obstacle !== null).each(Object.keys(faultyRuns) as FaultyRun[])("%s", (kind) => {
  let run: Disturbance;
  beforeAll(async () => {
    run = await Disturbance.of(program, kind, join(folder, kind));
  }, 120_000);

  it(
    "killed at every operation",
    async () => {
      const all = upTo(run.undisturbed.operations.length);
      console.log(`${kind}: ${all.length} operations`);
      await forAll(all, (number) => run.killed(number));
    },
    timeout,
  );

  it(
    "without space at every operation: a warning, or before the run has begun an error",
    async () => {
      const begun = run.find("rename", /^meta\.json$/);
      const outcomes: Record<string, number> = {};
      await forAll(upTo(run.undisturbed.operations.length), async (number) => {
        const { status, err } = await run.full(number, number);
        if (number > begun) expect(status, `${number}: ${err}`).toBe(0);
        outcomes[`status ${status}`] = (outcomes[`status ${status}`] ?? 0) + 1;
      });
      console.log(`${kind}: ${JSON.stringify(outcomes)}`);
    },
    timeout,
  );
});

describe.skipIf(obstacle !== null)("train", () => {
  let run: Disturbance;
  beforeAll(async () => {
    run = await Disturbance.of(program, "train", join(folder, "train-more"));
  }, 120_000);

  it(
    "taken up, and killed at every operation of that",
    async () => {
      // `last.previous` is there and `last` is not, and the record and the best weights of the epoch are.
      const first = run.find("rename", /^checkpoints\/last$/, 4);
      await forAll(upTo(await run.operationsAfter(first)), (second) => run.killedTwice(first, second));
    },
    timeout,
  );

  it(
    "without space for long: from every tenth operation on, for 40 operations and for all",
    async () => {
      const starts = upTo(run.undisturbed.operations.length).filter((number) => number % 10 === 0);
      await forAll(starts, async (first) => {
        await run.full(first, first + 39);
        await run.full(first, 1_000_000);
      });
    },
    timeout,
  );
});
