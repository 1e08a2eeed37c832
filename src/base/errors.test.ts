// Tests that the table of errors in the docs is the catalogue, and that every code has a test that provokes it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ErrorCode, errorCatalogue, IstaError } from "./errors.js";
import { packageFolder } from "./package.js";

const codes = Object.keys(errorCatalogue).sort() as ErrorCode[];

function document(): string {
  const rows = codes.map(
    (code) => `| \`${code}\` | ${errorCatalogue[code].status} | ${errorCatalogue[code].meaning} |`,
  );
  return `# Errors

Every error that the program reports on purpose is one line on standard error, \`error CODE: message\`: what was expected,
what it got, where, and the way out. The code is stable, the words may change. \`--verbose\` adds the stack; with \`--json\` the
error is printed as \`{"error": {"code": ..., "message": ...}}\`. In the library the same errors are thrown as \`IstaError\`
with \`code\` and \`message\`.

A command ends with status 0 when it has done its work, 1 for a failure, 2 for wrong usage (nothing was started), and 130
when a signal ended it in good order.

| code | status | meaning |
|---|---|---|
${rows.join("\n")}
`;
}

it("docs/errors.md is the catalogue (npx vitest run -u src/base/errors.test.ts writes it)", async () => {
  await expect(document()).toMatchFileSnapshot(join(packageFolder, "docs", "errors.md"));
});

describe("every code", () => {
  const tests = ["src", "test"].flatMap((folder) =>
    readdirSync(join(packageFolder, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts") && !name.endsWith(join("base", "errors.test.ts")))
      .map((name) => readFileSync(join(packageFolder, folder, name), "utf8")),
  );

  // A mistake of ours cannot be provoked; how one is reported is tested with the command line's frame.
  it.each(codes)("%s is demanded by a test", (code) => {
    expect(tests.some((text) => new RegExp(`\\b${code}\\b`).test(text))).toBe(true);
  });

  it.each(codes)("%s carries its exit status", (code) => {
    expect(code).toMatch(/^[A-Z][A-Z_]+$/);
    expect(new IstaError(code, "x").exitStatus).toBe(errorCatalogue[code].status);
  });
});
