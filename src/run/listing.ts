// Runs seen from outside: what a folder of runs holds, each with its status, damaged ones included.
import fs from "node:fs";
import { basename, join, resolve } from "node:path";
import { IstaError } from "../base/errors.js";
import { onFile } from "../base/files.js";
import type { RunKind } from "../config/schema.js";
import { RunDirectory } from "./directory.js";
import { lockHolder } from "./lock.js";
import type { RunSummary } from "./summary.js";

export interface RunListing {
  name: string;
  path: string;
  kind: RunKind | null;
  created: string | null;
  status: RunSummary["status"] | "running" | "stopped";
  summary: RunSummary | null;
  /** Why the run cannot be read, or null. */
  problem: string | null;
}

/** What can be told of a run without opening it for writing; a damaged one is listed with its problem. */
export function describeRun(path: string): RunListing {
  const listing: RunListing = {
    name: basename(resolve(path)),
    path,
    kind: null,
    created: null,
    status: "stopped",
    summary: null,
    problem: null,
  };
  try {
    const run = RunDirectory.open(path, "read");
    Object.assign(listing, { kind: run.meta.kind, created: run.meta.created, summary: run.summary() });
    listing.status = lockHolder(path) !== null ? "running" : (listing.summary?.status ?? "stopped");
  } catch (error) {
    if (!(error instanceof IstaError)) throw error;
    listing.problem = `${error.code} ${error.message}`;
  }
  return listing;
}

/** The runs in a folder, oldest first; none where the folder does not exist. */
export function listRuns(root: string): RunListing[] {
  if (!fs.existsSync(root)) return [];
  return onFile("list", root, () => fs.readdirSync(root))
    .map((name) => join(root, name))
    .filter((path) => fs.existsSync(join(path, "meta.json")))
    .map(describeRun)
    .sort((a, b) => (a.created ?? "").localeCompare(b.created ?? "") || a.name.localeCompare(b.name));
}
