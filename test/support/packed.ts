// The package as a user gets it: packed, and installed with its dependencies in an empty folder.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageFolder } from "../../src/base/package.js";

/** What npm says where the registry cannot be reached and its cache does not have everything. */
const unreachable =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED/;

export interface InstalledPackage {
  /** The folder with the user's package.json and node_modules. */
  readonly folder: string;
  /** The installed package. */
  readonly program: string;
}

/**
 * `npm pack` and `npm install FILE`, with whatever of the dependencies npm's cache has.
 * @returns a reason as text where the registry cannot be reached; the caller removes the folder otherwise
 * @throws Error where npm fails in any other way
 */
export function installPacked(): InstalledPackage | string {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-packed-"));
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: packageFolder,
    encoding: "utf8",
  }).trim();
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "empty", private: true, type: "module" }),
  );
  const { status, stderr, stdout } = spawnSync(
    "npm",
    ["install", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=0", `./${packed}`],
    { cwd: folder, encoding: "utf8" },
  );
  if (status === 0) return { folder, program: join(folder, "node_modules/ista-nas") };
  if (unreachable.test(stderr))
    return `npm cannot reach its registry: ${/npm error code (.*)/.exec(stderr)?.[1]}`;
  throw new Error(`npm install of ${packed} failed: ${stdout}${stderr}`);
}

/** Runs a program in the user's folder, with a cache folder of its own. */
export function callThere(folder: string, program: string, words: readonly string[]) {
  const env = { ...process.env, NO_COLOR: "1", XDG_CACHE_HOME: join(folder, "cache") };
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: folder, encoding: "utf8", env });
  return { status, out: stdout, err: stderr };
}
