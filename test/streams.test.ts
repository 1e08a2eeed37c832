// Runs on streamed pictures that fail or are stopped: they say why and end, whatever their decoding threads are doing.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { begin, pause, perform } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { picture } from "./support/data.js";

let program: string;
let folder: string;
beforeAll(async () => {
  program = compiledProgram();
  folder = mkdtempSync(join(tmpdir(), "ista-nas-streams-"));
  for (const kind of ["cat", "dog"]) {
    mkdirSync(join(folder, "pictures/train", kind), { recursive: true });
    for (let number = 0; number < 40; number++)
      writeFileSync(
        join(folder, `pictures/train/${kind}/${number}.jpg`),
        await picture(80, 60, "jpeg", number),
      );
  }
  cpSync(join(folder, "pictures"), join(folder, "broken"), { recursive: true });
  writeFileSync(join(folder, "broken/train/cat/7.jpg"), "no picture");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const training = [
  ...["train", "--arch", "ISTA_onestage", "--cells", "3", "--channels", "4", "--batch-size", "8"],
  ...["--threads", "1", "--augmentation", "random-resized-crop", "--image-size", "32"],
];

// An end that was lost came in more than half of the runs: nine of them find it.
describe.each([1, 2, 3])("streamed pictures, attempt %d", (attempt) => {
  it("a broken one ends the run with its name", async () => {
    const out = join(folder, `broken-${attempt}`);
    const words = [...training, "--data", join(folder, "broken"), "--epochs", "2", "--out", out];
    const { status, err } = await perform(program, words);
    expect(status, err).toBe(1);
    expect(err).toMatch(/^error DATA_PICTURE: .*cat\/7\.jpg.*$/m);
  });

  it("divergence ends the run with its place", async () => {
    const out = join(folder, `diverged-${attempt}`);
    const words = [...training, "--data", join(folder, "pictures"), "--epochs", "20", "--out", out];
    const { status, err } = await perform(program, [...words, "--learning-rate", "1e30"]);
    expect(status, err).toBe(1);
    expect(err).toMatch(/^error RUN_DIVERGED: .*$/m);
  });

  it("Ctrl-C saves and ends", async () => {
    const out = join(folder, `stopped-${attempt}`);
    const words = [...training, "--data", join(folder, "pictures"), "--epochs", "1000", "--out", out];
    const running = begin(program, words);
    await running.said(/epoch 1\/1000/);
    await pause(37 * attempt);
    running.kill("SIGINT");
    const { status, err, out: said } = await running.ended;
    expect(status, err).toBe(130);
    expect(said).toContain("Go on with: ista-nas train --resume");
  });
});
