// Runs killed, or without space on the disk, at single file operations: what comes of them is the undisturbed run, file by file.
// A sample: everything that a run goes through once, at its beginning, in its middle and at its end. The long tests do all operations.
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

const folder = mkdtempSync(join(tmpdir(), "ista-nas-file-faults-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const runs = new Map<FaultyRun, Disturbance>();
beforeAll(async () => {
  if (obstacle !== null) return;
  const program = new FaultyProgram(compiledProgram(), faultsLibrary());
  await forAll(Object.keys(faultyRuns) as FaultyRun[], async (kind) => {
    runs.set(kind, await Disturbance.of(program, kind, join(folder, kind)));
  });
}, 120_000);

/** Twenty times what it takes on two cores without neighbours. */
const timeout = 600_000;

type Place = readonly [name: string, path: RegExp, occurrence?: number];

describe.skipIf(obstacle !== null)("killed", () => {
  const everywhere: Place[] = [
    // A record is there to its half, the checkpoint before is of the middle of its epoch.
    ["half", /^metrics\.jsonl$/],
    // The checkpoint is `last.previous`, and nothing is `last`.
    ["rename", /^checkpoints\/last$/, 3],
  ];
  const ofTraining: Place[] = [
    ["half", /^\.writing-config\.json$/],
    ["half", /^\.writing-meta\.json$/],
    ["rename", /^genotype\.json$/],
    // No checkpoint is whole yet.
    ["rename", /^checkpoints\/last$/],
    // The record of an epoch is there, and what comes with it.
    ["mkdir", /^checkpoints\/\.writing-best$/],
    ["rename", /^checkpoints\/\.writing-epoch-000$/],
    // All epochs are done, and then all results.
    ["rename", /^model\.safetensors$/],
    ["rename", /^summary\.json$/],
    ["unlink", /^lock\.json$/],
  ];
  it.each(Object.keys(faultyRuns) as FaultyRun[])(
    "%s",
    async (kind) => {
      const run = runs.get(kind)!;
      const places = kind === "train" ? [...ofTraining, ...everywhere] : everywhere;
      await forAll(places, (place) => run.killed(run.find(...place)));
    },
    timeout,
  );

  it(
    "and killed once more where it is brought back",
    async () => {
      const run = runs.get("train")!;
      const first = run.find("rename", /^checkpoints\/last$/, 4);
      // The lock takes five operations; what is brought back comes behind it.
      await forAll([9, 14], (second) => run.killedTwice(first, second));
    },
    timeout,
  );
});

describe.skipIf(obstacle !== null)("without space", () => {
  it.each<[string, FaultyRun, Place]>([
    ["a record", "train", ["write", /^metrics\.jsonl$/, 2]],
    ["the best weights", "train", ["open", /^checkpoints\/\.writing-best\/model/]],
    ["the last checkpoint of all", "train", ["rename", /^checkpoints\/last$/, 4]],
    ["the trained network", "train", ["fsync", /^\.writing-model\.safetensors$/]],
    ["the cells of an epoch", "two-stage", ["open", /^genotypes\/\.writing-epoch-000\.json$/]],
    ["the summary", "two-stage", ["write", /^\.writing-summary\.json$/]],
  ])("for %s, once: a warning, and it is written later", async (_what, kind, place) => {
    const run = runs.get(kind)!;
    const number = run.find(...place);
    const { status, err } = await run.full(number, number);
    expect(status, err).toBe(0);
    expect(err).toContain("warning: not saved, the run goes on and tries again later: FILE_DISK_FULL ");
  });

  it("from the best weights on: an error that names what is missing, and the run can be taken up", async () => {
    const run = runs.get("train")!;
    const { status, err } = await run.full(run.find("mkdir", /^checkpoints\/\.writing-best$/), 1_000_000);
    expect(status).toBe(1);
    expect(err).toMatch(
      /^error FILE_DISK_FULL: .*; not saved: checkpoints\/best, .*record 2 of metrics.jsonl, .*checkpoints\/last; with room there, --resume goes on from what is saved$/m,
    );
  });

  it("from the beginning on: an error, and the same command can be given again", async () => {
    const run = runs.get("train")!;
    await forAll([1, run.find("open", /^\.writing-meta\.json$/)], async (first) => {
      expect((await run.full(first, 1_000_000)).status).toBe(1);
    });
  });
});
