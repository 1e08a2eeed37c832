// What streamed pictures hold: a copy is the same, whatever was replaced is not, also where its size did not change.
import { cpSync, renameSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { picture, temporaryFolder } from "../../test/support/data.js";
import { contentsIdentity } from "./contents.js";
import { openDataset } from "./open.js";

const { folder, write } = temporaryFolder();
const contents = async (name: string, stream = true) =>
  contentsIdentity(await openDataset(join(folder, name), { stream, imageSize: 32 }));

beforeAll(async () => {
  for (let index = 0; index < 10; index++)
    write(`pictures/${index % 2 === 0 ? "cat" : "dog"}/${index}.png`, await picture(40, 30, "png", index));
});

it("of a copy is the same, wherever it lies, whenever it was written, and whatever is set aside", async () => {
  const found = await contents("pictures");
  expect(found).toMatch(/^[0-9a-f]{64}$/);
  cpSync(join(folder, "pictures"), join(folder, "moved"), { recursive: true });
  utimesSync(join(folder, "moved/cat/0.png"), new Date(0), new Date(0));
  expect(await contents("moved")).toBe(found);
  const split = await openDataset(join(folder, "moved"), { stream: true, splitSeed: 7 });
  expect(contentsIdentity(split)).toBe(found);
  // In memory every pixel is known.
  expect(await contents("moved", false)).toBe(null);
});

it("of replaced, exchanged and changed pictures is another", async () => {
  const found = new Set([await contents("pictures")]);
  const changed = async (name: string, change: (place: string) => void): Promise<void> => {
    cpSync(join(folder, "pictures"), join(folder, name), { recursive: true });
    change(name);
    found.add(await contents(name));
  };
  const other = await picture(40, 30, "png", 77);
  await changed("replaced", (place) => void write(`${place}/dog/3.png`, other));
  await changed("exchanged", (place) => {
    const [one, two] = [1, 3].map((number) => join(folder, place, `dog/${number}.png`));
    renameSync(one, `${one}.tmp`);
    renameSync(two, one);
    renameSync(`${one}.tmp`, two);
  });
  const bytes = await picture(40, 30, "png", 3);
  bytes[bytes.length >> 1] ^= 1;
  await changed("same size", (place) => void write(`${place}/dog/3.png`, bytes));
  expect(found.size).toBe(4);
});
