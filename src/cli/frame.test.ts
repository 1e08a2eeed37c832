// Tests of how errors are reported: one line, no control characters, mistakes of ours with their stack.
import { CommanderError } from "commander";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { IstaError } from "../base/errors.js";
import { reportError } from "./frame.js";

let written = "";
beforeEach(() => {
  vi.stubEnv("NO_COLOR", "1");
  written = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const plain = { json: false, verbose: false };

it("an error of ours is one line, whatever text from outside it carries", () => {
  const status = reportError(new IstaError("CONFIG_VALUE", "a\nb\u001b[2J"), plain);
  expect([status, written]).toEqual([2, "error CONFIG_VALUE: a\\nb\\x1b[2J\n"]);
});

it("the stack comes with --verbose, with its cause", () => {
  const cause = new Error("the disk said no");
  reportError(new IstaError("FILE_IO", "write x", { cause }), { json: false, verbose: true });
  expect(written).toMatch(/^error FILE_IO: write x\nIstaError: write x\n {4}at /);
  expect(written).toContain("caused by Error: the disk said no\n    at ");
});

it("a mistake of the program is INTERNAL and always has its stack", () => {
  expect(reportError(new TypeError("x is not a function"), plain)).toBe(1);
  expect(written).toMatch(/^error INTERNAL: x is not a function\n/);
  expect(written).toContain("frame.test.ts");
  written = "";
  expect(reportError("thrown text", { json: true, verbose: false })).toBe(1);
  expect(JSON.parse(written).error).toMatchObject({ code: "INTERNAL", message: "thrown text" });
});

it("wrong usage that commander found is USAGE, help is no error", () => {
  const unknown = new CommanderError(
    1,
    "commander.unknownOption",
    "error: unknown option '--x'\n(Did you mean --y?)",
  );
  expect(reportError(unknown, plain)).toBe(2);
  expect(written).toBe("error USAGE: unknown option '--x' (Did you mean --y?)\n");
  expect(reportError(new CommanderError(0, "commander.helpDisplayed", "(outputHelp)"), plain)).toBe(0);
  expect(reportError(new CommanderError(1, "commander.help", "(outputHelp)"), plain)).toBe(2);
});
