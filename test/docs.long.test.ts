// The reference of the library, made from the docstrings as anybody makes it: complete, without a warning. Fetches typedoc.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("has a page for what each sub-path exports", () => {
  // Warnings, such as of a type that is used and not exported, are errors there.
  execFileSync("npm", ["run", "docs", "--silent", "--", "--out", folder], { cwd: packageFolder });
  const read = (page: string): string => readFileSync(join(folder, page), "utf8");
  for (const [module, name] of [
    ["index", "runSearch"],
    ["sparse", "recover"],
    ["space", "countNetwork"],
    ["space_spaces", "dartsSpace"],
    ["methods", "registerMethod"],
  ])
    expect(read(`modules/${module}.html`), module).toContain(name);
  expect(read("functions/index.recover.html")).toContain("SPARSE_INPUT");
  expect(read("index.html")).toContain("sparse-classification.mjs");
}, 600_000);
