// The runs and studies below the folders that were named. Links below them are not followed.
import fs from "node:fs";
import { basename, join, resolve, sep } from "node:path";
import { studyFileName } from "../study/directory.js";
import { RunFacts, runFileName } from "./run-facts.js";
import { lookAt } from "./safe-files.js";
import type { StudyRow } from "./types.js";

/** A folder of runs, in it a study, in that an arm, in that a seed. */
const deepest = 4;
const mostFolders = 50_000;

export interface FoundStudy extends StudyRow {
  /** Real path. */
  readonly folder: string;
}

export class Catalogue {
  private readonly facts = new Map<string, RunFacts>();
  private readonly found = new Map<string, FoundStudy>();
  private scanned = Number.NEGATIVE_INFINITY;

  /** @param roots runs, studies, or folders of them; what does not exist yet may come */
  constructor(private readonly roots: readonly string[]) {}

  get runs(): ReadonlyMap<string, RunFacts> {
    return this.facts;
  }

  get studies(): ReadonlyMap<string, FoundStudy> {
    return this.found;
  }

  /** Looks what there is, and at the files of each. @param age seconds that an earlier look may be old */
  refresh(age = 0): void {
    const now = performance.now() / 1000;
    if (now - this.scanned < age) return;
    const seen = new Set<string>();
    for (const root of this.roots) {
      let folder: string;
      try {
        // The user's own word may be a link, or lead over some.
        folder = fs.realpathSync(resolve(root));
      } catch {
        continue;
      }
      const prefix = this.roots.length > 1 ? `${basename(resolve(root))}/` : "";
      this.visit(folder, folder, prefix, resolve(root), 0, seen);
    }
    for (const id of this.facts.keys()) if (!seen.has(id)) this.facts.delete(id);
    for (const id of this.found.keys()) if (!seen.has(`study ${id}`)) this.found.delete(id);
    for (const run of this.facts.values()) run.refresh();
    // From the end, as a look at many runs takes a while.
    this.scanned = performance.now() / 1000;
  }

  private visit(
    root: string,
    folder: string,
    prefix: string,
    named: string,
    depth: number,
    seen: Set<string>,
  ): void {
    const own =
      folder === root
        ? basename(named)
        : prefix +
          folder
            .slice(root.length + 1)
            .split(sep)
            .join("/");
    // A run may be named by itself and with the folder that it is in.
    if (seen.has(`folder ${folder}`)) return;
    seen.add(`folder ${folder}`);
    if (lookAt(folder, runFileName) !== null) {
      const id = this.free(own, seen);
      seen.add(id);
      if (this.facts.get(id)?.folder !== folder) this.facts.set(id, new RunFacts(id, folder));
      return;
    }
    if (lookAt(folder, studyFileName) !== null) {
      const id = this.free(`study ${own}`, seen).slice("study ".length);
      seen.add(`study ${id}`);
      this.found.set(id, { id, name: id, folder });
    }
    if (depth === deepest || seen.size > mostFolders) return;
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(folder, { withFileTypes: true });
    } catch {
      return;
    }
    // Links are no directories here.
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith("."))
        this.visit(root, join(folder, entry.name), prefix, named, depth + 1, seen);
  }

  /** The name, or with a number behind it where another one has it. */
  private free(name: string, seen: ReadonlySet<string>): string {
    let id = name;
    for (let count = 2; seen.has(id); count++) id = `${name}~${count}`;
    return id;
  }
}
