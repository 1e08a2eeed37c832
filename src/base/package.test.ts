// What is installed with this program, and where its addon may lie.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { addonFolders, packageFolder, packageVersion, userCacheFolder } from "./package.js";

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>>;
}

it("no dependency, of development or not, has an install script", () => {
  const text = readFileSync(join(packageFolder, "package-lock.json"), "utf8");
  const packages = Object.entries((JSON.parse(text) as LockFile).packages);
  expect(packages.length).toBeGreaterThan(20);
  expect(packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name)).toEqual([]);
});

it("the addon lies in the package, or in a folder of the user's cache that is this installation's own", () => {
  expect(userCacheFolder({ XDG_CACHE_HOME: "/somewhere" })).toBe("/somewhere/ista-nas");
  for (const environment of [{}, { XDG_CACHE_HOME: "" }, { XDG_CACHE_HOME: "relative" }])
    expect(userCacheFolder(environment)).toBe(join(homedir(), ".cache/ista-nas"));
  const { own, cache } = addonFolders();
  expect(own).toBe(join(packageFolder, "build"));
  expect(cache.startsWith(join(userCacheFolder(), `${packageVersion}-${process.platform}-`))).toBe(true);
});
