// Where this package lies and which version it is, found from this file, whether it runs compiled or from source.
import { existsSync, readFileSync } from "node:fs";
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
