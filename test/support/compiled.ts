// The sources compiled into a folder of the test's own: child processes cannot run TypeScript, and dist/ may be old or absent.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageFolder } from "../../src/base/package.js";

/**
 * Compiles src/ (about 2 seconds) beside copies of what the program finds at its root.
 * @returns the folder, with `ista-nas` and `dist/src/...` in it; it goes when the process ends.
 */
export function compiledProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), "ista-nas-compiled-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const compiler = join(packageFolder, "node_modules", "typescript", "bin", "tsc");
  const project = join(packageFolder, "tsconfig.build.json");
  // Types are checked elsewhere; what cannot be emitted at all shows in the tests.
  try {
    execFileSync(process.execPath, [compiler, "-p", project, "--outDir", join(folder, "dist")], {
      stdio: "pipe",
    });
  } catch (error) {
    if (!(error as { stdout?: Buffer }).stdout?.includes("error TS")) throw error;
  }
  for (const name of ["package.json", "ista-nas"]) cpSync(join(packageFolder, name), join(folder, name));
  for (const name of ["node_modules", "assets"]) symlinkSync(join(packageFolder, name), join(folder, name));
  symlinkSync(join(packageFolder, "dist/onnxruntime-web"), join(folder, "dist/onnxruntime-web"));
  // A copy: a build that goes on meanwhile must not change the addon between two runs that are compared.
  const addon = join(packageFolder, "build", "ista_nas.node");
  mkdirSync(join(folder, "build"));
  if (existsSync(addon)) cpSync(addon, join(folder, "build", "ista_nas.node"));
  return folder;
}
