// The command `setup`: builds the native addon where it can be written, and says where that is.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { addonFolders, packageFolder } from "../base/package.js";
import { printableLines } from "../base/terminal.js";
import { addExamples, printResult } from "./frame.js";

/** Why the package cannot be written: null where it can. */
function obstacle(): string | null {
  try {
    accessSync(packageFolder, constants.W_OK);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EROFS"
      ? "lies on a read-only file system"
      : "may not be written by this user";
  }
}

export function registerSetup(program: Command): void {
  const command = program
    .command("setup")
    .description("build what computes with tensors, against libtorch; everything else works without")
    .action(() => {
      const { own, cache } = addonFolders();
      const reason = obstacle();
      const folder = reason === null ? own : cache;
      const why = reason === null ? "" : ` (${packageFolder} ${reason})`;
      process.stderr.write(printableLines(`set-up: the addon is built in ${folder}${why}\n`));
      // Its lines go to standard error: standard output is for the result.
      const script = join(packageFolder, "scripts/setup.mjs");
      const { status, error } = spawnSync(process.execPath, [script, "--build", folder], {
        stdio: ["ignore", 2, 2],
      });
      if (error) throw error;
      if (status !== 0) {
        throw new IstaError("ENGINE_MISSING", "setup: the addon could not be built; the lines above say why");
      }
      printResult(command, { folder }, () => "set up; next: ista-nas doctor, or ista-nas demo");
    });
  addExamples(command, [["setup", "build the addon, or bring it up to date; quick where nothing changed"]]);
}
