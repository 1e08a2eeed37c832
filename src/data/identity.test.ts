// The identity of a data set: the same wherever it lies and whatever is set aside, another for any other image or class.
import { cpSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { bundledFolder, temporaryFolder } from "../../test/support/data.js";
import { dataIdentity } from "./identity.js";
import { openDataset } from "./open.js";
import type { OpenOptions } from "./types.js";

const { folder, write } = temporaryFolder();
const identity = async (name: string, options?: OpenOptions) =>
  dataIdentity(await openDataset(join(folder, name), options));

beforeAll(async () => {
  for (const [index, kind] of [
    "cat",
    "cat",
    "cat",
    "cat",
    "cat",
    "dog",
    "dog",
    "dog",
    "dog",
    "dog",
  ].entries()) {
    const background = { r: 20 * index, g: 0, b: 0 };
    const picture = sharp({ create: { width: 8, height: 8, channels: 3, background } });
    write(`pictures/${kind}/${index}.png`, await picture.png().toBuffer());
  }
  cpSync(join(folder, "pictures"), join(folder, "moved"), { recursive: true });
  cpSync(join(folder, "pictures"), join(folder, "relabelled"), { recursive: true });
  cpSync(join(folder, "pictures/cat/0.png"), join(folder, "relabelled/dog/0.png"));
});

it("does not depend on the place, nor on what is set aside for testing", async () => {
  const found = await identity("pictures", { splitSeed: 0 });
  expect(found).toMatch(/^[0-9a-f]{64}$/);
  expect(await identity("moved", { splitSeed: 1 })).toBe(found);
  expect(await identity("pictures", { splitSeed: 0, stream: true })).toBe(
    await identity("moved", { splitSeed: 1, stream: true }),
  );
});

it("is another one for other images or classes", async () => {
  const others = await Promise.all([
    identity("pictures"),
    identity("pictures", { imageSize: 12 }),
    identity("relabelled"),
    identity("pictures", { stream: true }),
    identity("relabelled", { stream: true }),
    openDataset(bundledFolder).then(dataIdentity),
  ]);
  expect(new Set(others).size).toBe(others.length);
});
