// Set-up of the installed package for real: the addon compiled where the package may be written, and in the user's cache where not.
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { callThere, installPacked } from "./support/packed.js";
import { mountSmallDisk, remount, unmount } from "./support/small-disk.js";

const found = installPacked();
const reason = typeof found === "string" ? found : null;
if (reason !== null) console.log(`not tested, set-up of the installed package: ${reason}`);
const { folder, program } = typeof found === "string" ? { folder: "", program: "" } : found;
afterAll(() => {
  if (folder !== "") rmSync(folder, { recursive: true, force: true });
}, 120_000);

const call = (...words: string[]) => callThere(folder, join(program, "ista-nas"), words);

describe.skipIf(reason !== null)("set-up of the installed package", () => {
  it("builds in it, says so, and is quick when nothing changed", () => {
    const first = call("setup");
    expect(first.status, first.err).toBe(0);
    expect(first.err).toContain(`set-up: the addon is built in ${join(program, "build")}\n`);
    expect(first.err).toContain("compile native/");
    expect(call("doctor").out).toContain("libtorch");
    const second = call("setup");
    expect(second.status).toBe(0);
    expect(second.err).not.toContain("compile");
    expect(existsSync(join(folder, "cache"))).toBe(false);
  });

  it("builds in the user's cache where the package is on a read-only file system", (context) => {
    // The same place with the same files, but without the addon and not to be written.
    const aside = join(folder, "aside");
    cpSync(program, aside, { recursive: true });
    if (!mountSmallDisk(program, "size=64m")) return context.skip();
    try {
      for (const name of readdirSync(aside))
        if (name !== "build") cpSync(join(aside, name), join(program, name), { recursive: true });
      remount(program, "ro");
      expect(call("doctor").err).toContain("npx ista-nas setup");
      const { status, out, err } = call("setup", "--json");
      expect(status, err).toBe(0);
      expect(err).toContain(`(${program} lies on a read-only file system)`);
      const place: string = JSON.parse(out).folder;
      expect(place.startsWith(join(folder, "cache/ista-nas/"))).toBe(true);
      expect(existsSync(join(place, "ista_nas.node"))).toBe(true);
      expect(call("doctor").out).toContain("libtorch");
    } finally {
      unmount(program);
    }
  });
});
