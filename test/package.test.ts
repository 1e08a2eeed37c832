// The packed file, installed in an empty folder as a user would: what works before set-up, what says that set-up is needed, and
// the library in JavaScript and TypeScript. Set-up itself takes minutes: test/package.long.test.ts.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { callThere, installPacked } from "./support/packed.js";

const found = installPacked();
const reason = typeof found === "string" ? found : null;
if (reason !== null) console.log(`not tested, the package as it is installed: ${reason}`);
const { folder, program } = typeof found === "string" ? { folder: "", program: "" } : found;
afterAll(() => {
  if (folder !== "") rmSync(folder, { recursive: true, force: true });
}, 120_000);

const call = (...words: string[]) => callThere(folder, join(folder, "node_modules/.bin/ista-nas"), words);

describe.skipIf(reason !== null)("the installed package", () => {
  it("has no install script in its tree, no tests, and of onnxruntime-web what is used", () => {
    const lock = JSON.parse(readFileSync(join(folder, "node_modules/.package-lock.json"), "utf8"));
    const packages = Object.entries<{ hasInstallScript?: boolean }>(lock.packages);
    expect(packages.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(packages.map(([name]) => name)).toContain("node_modules/ista-nas");
    expect(packages.filter(([name]) => /onnxruntime/.test(name))).toEqual([]);
    const files = readdirSync(program, { recursive: true, encoding: "utf8" });
    expect(files.filter((name) => /\.test\.|^build|^node_modules|package-lock|^test/.test(name))).toEqual([]);
    expect(files).toContain("dist/onnxruntime-web/ort-wasm-simd-threaded.wasm");
  });

  it("does everything but tensors before set-up", () => {
    for (const line of [
      "--help",
      "setup --help",
      "arch list",
      "arch show ISTA_onestage",
      "config presets",
      "runs list",
    ])
      expect(call(...line.split(" ")), line).toMatchObject({ status: 0, err: "" });
    expect(call("arch", "draw", "ISTA_onestage", "--out", "cells.svg").status).toBe(0);
    expect(call("data", "verify", join(program, "assets/fashion-mnist-small")).status).toBe(0);
  });

  it("has the dashboard's page, and what that is made of", () => {
    cpSync(join(packageFolder, "test/golden/old-run/two-stage"), join(folder, "old-run"), {
      recursive: true,
    });
    expect(call("dash", "--save", "old.html", "old-run").status).toBe(0);
    const page = readFileSync(join(folder, "old.html"), "utf8");
    // The page's own module, uPlot, and the run.
    for (const part of ["hashchange", "uPlot", "saved-page", '"id":"old-run"']) expect(page).toContain(part);
  });

  it.each(["doctor", "demo", "search --data bundled", "train --arch ISTA_onestage --data bundled --out t"])(
    "%s says what to run",
    (line) => {
      const { status, err } = call(...line.split(" "));
      expect(status).toBe(1);
      expect(err.trim().split("\n").at(-1)).toMatch(
        /^error ENGINE_MISSING: .*not built.*; run: npx ista-nas setup$/,
      );
    },
  );

  it("runs with an addon in the user's cache, as set-up leaves it for a package that is read-only", () => {
    const { err } = call("doctor");
    const place = / nor in (\S+)\);/.exec(err)![1];
    expect(place.startsWith(join(folder, "cache/ista-nas/"))).toBe(true);
    mkdirSync(place, { recursive: true });
    cpSync(join(packageFolder, "build/ista_nas.node"), join(place, "ista_nas.node"));
    const small =
      "--data bundled --epochs 1 --limit-train 64 --limit-test 16 --batch-size 32 --cells 3 --channels 4";
    const trained = call(
      "train",
      "--arch",
      "ISTA_onestage",
      ...small.split(" "),
      "--threads",
      "1",
      "--out",
      "trained",
    );
    expect(trained.status, trained.err).toBe(0);
    expect(call("export", "trained", "--format", "onnx").out).toContain(
      "onnxruntime computes the engine's logits",
    );
    expect(call("export", "trained", "--format", "page", "--out", "page").status).toBe(0);
    rmSync(place, { recursive: true });
  });

  it("is a library for JavaScript: what needs no tensors is there, the rest says what to run", () => {
    const run = (source: string) =>
      spawnSync(process.execPath, ["--input-type=module", "-e", source], { cwd: folder, encoding: "utf8" });
    const spaces = `
      import { countNetwork, darts, evaluationNetwork } from "ista-nas/space";
      import { drawMeasurement } from "ista-nas/sparse";
      import * as spaces from "ista-nas/spaces";
      import * as methods from "ista-nas/methods";
      const shape = { cells: 20, channels: 36, inputChannels: 3, classes: 10, imageHeight: 32, imageWidth: 32, stem: "cifar", auxiliary: false };
      const { selection } = darts.named.ISTA_twostage;
      console.log(countNetwork(evaluationNetwork({ space: darts, selection }, shape)).params, typeof drawMeasurement, Object.keys(spaces).length > 0, Object.keys(methods).length > 0);`;
    expect(run(spaces)).toMatchObject({ status: 0, stdout: "3316726 function true true\n" });
    const { status, stderr } = run(`import "ista-nas"`);
    expect(status).toBe(1);
    expect(stderr).toMatch(/ENGINE_MISSING|IstaError/);
    expect(stderr).toContain("npx ista-nas setup");
  });

  describe("has types", () => {
    beforeAll(() => {
      writeFileSync(
        join(folder, "use.ts"),
        `import { IstaError, Network, resolveGenotype, runSearch } from "ista-nas";
import type { Method } from "ista-nas/methods";
import { countNetwork, darts, evaluationNetwork, type Space } from "ista-nas/space";
import * as spaces from "ista-nas/spaces";
import { drawMeasurement, recover } from "ista-nas/sparse";
const space: Space = darts;
const size: number = countNetwork(evaluationNetwork(resolveGenotype("ISTA_onestage"), { cells: 3, channels: 4, inputChannels: 1, classes: 2, imageHeight: 8, imageWidth: 8, stem: "cifar", auxiliary: false })).params;
// @ts-expect-error: types are really looked at
const wrong: string = size;
export const all: unknown[] = [IstaError, Network, runSearch, spaces, drawMeasurement, recover, space, wrong];
export type Mine = Method;
`,
      );
      // The compiler and Node's types are those of this checkout; a user installs both.
      mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
      for (const name of ["@types/node", "undici-types"])
        if (!existsSync(join(folder, "node_modules", name)))
          symlinkSync(join(packageFolder, "node_modules", name), join(folder, "node_modules", name));
    });

    it.each([
      ["nodenext", "nodenext"],
      ["esnext", "bundler"],
    ])("for module %s with resolution %s, declarations checked", (module, moduleResolution) => {
      const compilerOptions = {
        ...{ module, moduleResolution, target: "es2022", strict: true, noEmit: true, skipLibCheck: false },
        types: ["node"],
      };
      const project = join(folder, `tsconfig.${module}.json`);
      writeFileSync(project, JSON.stringify({ compilerOptions, files: ["use.ts"] }));
      const compiler = join(packageFolder, "node_modules/typescript/bin/tsc");
      const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", project], { encoding: "utf8" });
      expect(stdout).toBe("");
      expect(status).toBe(0);
    });
  });
});
