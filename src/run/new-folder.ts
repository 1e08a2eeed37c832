// The folder of a new run, and what is noted of the machine that it begins on.
import fs from "node:fs";
import { cpus, hostname, platform, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { fileError, makeFolder, readJson, safeFileName, temporaryPrefix } from "../base/files.js";
import { type ConfigOf, checkConfig, type RunKind } from "../config/config.js";
import { lockName } from "./lock.js";

/** What is there of a run before its meta.json. */
const beginnings: readonly string[] = [lockName, "config.json"];

/** Bytes of a config.json that are read. */
export const maximumConfigBytes = 1 << 20;

/** Where a new run goes. */
export interface RunPlace {
  readonly kind: RunKind | "study";
  /** Folder of all runs; `runs` where not given. */
  readonly root?: string;
  /** Name of the folder in it; kind and time where not given. */
  readonly name?: string;
  /** The whole path, instead of root and name. */
  readonly out?: string;
}

/**
 * Makes the folder.
 * @throws IstaError RUN_EXISTS where it is there and not empty, FILE_OUTSIDE for a name that is no plain one, FILE_*
 */
export function newFolder(run: RunPlace): string {
  const root = resolve(run.root ?? "runs");
  if (run.name !== undefined && (safeFileName(run.name) !== run.name || run.name.length === 0)) {
    throw new IstaError(
      "FILE_OUTSIDE",
      `--name ${JSON.stringify(run.name)}: expected letters, digits, dots, dashes and underscores`,
    );
  }
  const wanted =
    run.out !== undefined ? resolve(run.out) : join(root, run.name ?? `${run.kind}-${timeStamp(new Date())}`);
  makeFolder(dirname(wanted));
  const chosen = run.out !== undefined || run.name !== undefined;
  for (let path = wanted, again = 2; ; again++) {
    try {
      fs.mkdirSync(path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw fileError(error, "make", path);
    }
    // Two runs begun in one second: the second gets a number, unless the user chose the name.
    if (!chosen) {
      path = `${wanted}-${again}`;
      continue;
    }
    const isFolder = fs.statSync(path).isDirectory();
    if (isFolder && isUnused(path)) return path;
    throw new IstaError(
      "RUN_EXISTS",
      `${path}: expected a new or empty folder, ${isFolder ? "it holds something; go on with --resume or choose" : "it is none; choose"} another name`,
    );
  }
}

/** Empty, or with no more than what a run leaves that was killed before it said what it is. */
function isUnused(path: string): boolean {
  const names = fs.readdirSync(path).filter((name) => !name.startsWith(temporaryPrefix));
  // The lock comes first: without it, the file is somebody else's.
  return names.length === 0 || (names.includes(lockName) && names.every((name) => beginnings.includes(name)));
}

/**
 * The configuration in the folder of a run that was killed before it said what it is; null for any other folder.
 * @throws IstaError CONFIG_*, FILE_JSON
 */
export function configOfBeginning<Kind extends RunKind>(kind: Kind, path: string): ConfigOf[Kind] | null {
  const file = join(path, "config.json");
  if (!fs.existsSync(file) || !isUnused(path)) return null;
  return checkConfig(kind, readJson(file, maximumConfigBytes), file);
}

/** `20240607-153000`, local time. */
function timeStamp(time: Date): string {
  const pad = (value: number): string => String(value).padStart(2, "0");
  const day = `${time.getFullYear()}${pad(time.getMonth() + 1)}${pad(time.getDate())}`;
  return `${day}-${pad(time.getHours())}${pad(time.getMinutes())}${pad(time.getSeconds())}`;
}

export function hostFacts(): Record<string, unknown> {
  const processors = cpus();
  return {
    name: hostname(),
    platform: platform(),
    processor: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryBytes: totalmem(),
  };
}
