// Where this package lies and which version it is, found from this file, whether it runs compiled or from source.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findPackageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** The folder with package.json, the assets and the native addon. */
export const packageFolder: string = findPackageFolder();

export const packageVersion: string = JSON.parse(
  readFileSync(join(packageFolder, "package.json"), "utf8"),
).version;

/** What a user types to set up: a clone has npm's scripts (and a lock file, which is never packed), an installed package its bin. */
export const setUpCommand: string = existsSync(join(packageFolder, "package-lock.json"))
  ? "npm run setup"
  : "npx ista-nas setup";

/** The user's folder for files that can be made again, as XDG has it: a relative XDG_CACHE_HOME does not count. */
export function userCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment.XDG_CACHE_HOME;
  return join(named?.startsWith("/") ? named : join(homedir(), ".cache"), "ista-nas");
}

/**
 * The folders that may hold the addon, best first: the package's own, and for a package that may not be written one in
 * the user's cache. That one's name stands for version, processor and place, so that two installations never share it.
 */
export function addonFolders(): { readonly own: string; readonly cache: string } {
  const place = createHash("sha256").update(packageFolder).digest("hex").slice(0, 12);
  const name = `${packageVersion}-${process.platform}-${process.arch}-${place}`;
  return { own: join(packageFolder, "build"), cache: join(userCacheFolder(), name) };
}

export const addonName = "ista_nas.node";
