// Runs whose data or place is not what it was: other images, renamed classes, another working folder, a folder that can only be read.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { perform, succeed } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { picture } from "./support/data.js";
import { mountSmallDisk, remount, unmount } from "./support/small-disk.js";

let program: string;
let folder: string;

/** 12 pictures of 32 x 32 pixels: small enough to be held in memory. */
async function makePictures(place: string): Promise<void> {
  for (const [index, kind] of ["ant", "bee", "cat"].entries()) {
    fs.mkdirSync(join(place, "train", kind), { recursive: true });
    fs.mkdirSync(join(place, "val", kind), { recursive: true });
    for (let number = 0; number < 6; number++)
      fs.writeFileSync(
        join(place, number < 4 ? "train" : "val", kind, `${number}.png`),
        await picture(32, 32, "png", 10 * index + number),
      );
  }
}

beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-changed-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const small = [
  "--arch",
  "ISTA_onestage",
  "--cells",
  "3",
  "--channels",
  "2",
  "--batch-size",
  "4",
  "--threads",
  "1",
];
const streamed = ["--augmentation", "random-resized-crop", "--image-size", "32"];

describe.each([
  ["in memory", []],
  ["streamed", streamed],
])("pictures that are %s", (name, flags) => {
  it("must be the same, with the same classes, where a run goes on; its working folder need not", async () => {
    const place = join(folder, name.replace(" ", "-"));
    await makePictures(join(place, "pictures"));
    const words = ["train", ...small, ...flags, "--data", "pictures", "--epochs", "1", "--out", "run"];
    await succeed(program, words, { cwd: place });
    const elsewhere = join(place, "elsewhere");
    fs.mkdirSync(elsewhere);
    // Other pictures under the same relative path are not meant.
    await makePictures(join(elsewhere, "pictures"));
    fs.renameSync(join(elsewhere, "pictures/train/ant"), join(elsewhere, "pictures/train/zebra"));
    const goOn = (epochs: string) =>
      perform(program, ["train", "--resume", join(place, "run"), "--epochs", epochs], { cwd: elsewhere });
    expect(await goOn("2")).toMatchObject({ status: 0 });
    const again = await perform(program, ["eval", join(place, "run"), "--json"], { cwd: elsewhere });
    expect(JSON.parse(again.out)).toMatchObject({ count: 6, classes: ["ant", "bee", "cat"] });

    const renamed = (from: string, to: string) => {
      for (const part of ["train", "val"])
        fs.renameSync(join(place, "pictures", part, from), join(place, "pictures", part, to));
    };
    renamed("ant", "zebra");
    const changed = await goOn("3");
    expect(changed.status).toBe(1);
    expect(changed.err).toMatch(/^error DATA_CHANGED: --resume: .*now 3 classes: bee, cat, zebra.*$/m);
    renamed("zebra", "ant");
    fs.renameSync(join(place, "pictures/train/cat/0.png"), join(place, "pictures/train/bee/9.png"));
    expect(await goOn("3")).toMatchObject({ status: 1, err: expect.stringContaining("DATA_CHANGED") });
    fs.renameSync(join(place, "pictures/train/bee/9.png"), join(place, "pictures/train/cat/0.png"));
    expect(await goOn("3")).toMatchObject({ status: 0 });

    // A copy has other times, and is the same.
    const pictures = join(place, "pictures");
    fs.cpSync(pictures, join(place, "copy"), { recursive: true });
    fs.rmSync(pictures, { recursive: true });
    fs.renameSync(join(place, "copy"), pictures);
    expect(await goOn("4")).toMatchObject({ status: 0 });
    // Another picture under the same name is not.
    fs.writeFileSync(join(pictures, "train/cat/2.png"), await picture(32, 32, "png", 99));
    expect(await goOn("5")).toMatchObject({ status: 1, err: expect.stringContaining("DATA_CHANGED") });
  }, 240_000);
});

it("a run that can only be read is evaluated; what cannot be drawn is said", async (context) => {
  const disk = join(folder, "disk");
  if (!mountSmallDisk(disk, "size=20m")) return context.skip();
  try {
    const words = ["--data", "bundled", "--limit-train", "16", "--limit-test", "20", "--epochs", "1"];
    await succeed(program, ["train", ...small, ...words, "--out", join(disk, "run")]);
    remount(disk, "ro");
    const told = await succeed(program, ["eval", join(disk, "run"), "--limit-test", "20"]);
    expect(told.out).toMatch(/^20 images: loss /);
    expect(told.out).not.toContain("confusion matrix:");
    expect(told.err).toMatch(/^warning: the confusion matrix is not drawn: .*--out FILE/m);
    const matrix = join(folder, "matrix.svg");
    const drawn = await succeed(program, ["eval", join(disk, "run"), "--limit-test", "20", "--out", matrix]);
    expect(drawn.err).not.toContain("warning");
    expect(fs.existsSync(matrix)).toBe(true);
    const refused = await perform(program, ["eval", join(disk, "run"), "--out", join(disk, "matrix.svg")]);
    expect(refused).toMatchObject({ status: 1, err: expect.stringContaining("FILE_READ_ONLY") });
  } finally {
    unmount(disk);
  }
});
