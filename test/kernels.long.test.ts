// The fused kernels for long: more shapes, and the address and thread sanitizers.
import { spawnSync } from "node:child_process";
import { machine } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { vectorCode } from "../src/engine/device.js";

const python = process.env.ISTA_NAS_PYTHON ?? "/usr/bin/python3";
const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
if (!hasTorch) console.warn(`left out: ${python} has no torch (ISTA_NAS_PYTHON may name another)`);
// Threads that wait in turns would take each other's time where something else runs beside the tests: minutes instead of seconds.
const env = { ...process.env, OMP_WAIT_POLICY: "passive" };

describe.skipIf(!hasTorch).each(vectorCode().available)("fused kernels, %s", (code) => {
  it("compute what the compositions compute, for hundreds of shapes", () => {
    const { status, stderr } = spawnSync(python, [join(packageFolder, "native/test_ops.py"), "--long"], {
      encoding: "utf8",
      env: { ...env, ISTA_NAS_VECTOR: code },
    });
    expect(status, stderr).toBe(0);
  });
});

const cross = ["aarch64-linux-gnu-g++", "qemu-aarch64-static"];
const hasCross = cross.every((name) => spawnSync(name, ["--version"]).status === 0);
if (!hasCross) console.warn("left out: NEON needs apt-get install g++-aarch64-linux-gnu qemu-user-static");

/** What the kernels compute: results by name, the mean size first. */
function results(command: string, args: readonly string[], environment = {}): [string, number[]][] {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...env, ...environment },
  });
  expect(status, stderr).toBe(0);
  return stdout
    .trim()
    .split("\n")
    .map((line) => line.split(": "))
    .map(([name, values]) => [name, values.split(" ").map(Number)]);
}

describe("without libtorch", () => {
  const build = (compiler: string, machine: string): string => {
    const program = join(packageFolder, `build/kernels-${machine}`);
    const { status, stderr } = spawnSync(
      join(packageFolder, "native/test/kernels.sh"),
      [compiler, machine, program],
      { encoding: "utf8" },
    );
    expect(status, stderr).toBe(0);
    return program;
  };

  it("kernels give the same with every vector code, and on emulated ARM", () => {
    const host = build("g++", machine());
    const expected = results(host, [], { ISTA_NAS_VECTOR: "baseline" });
    expect(expected.length).toBeGreaterThan(1000);
    const others = vectorCode().available.map((code) => results(host, [], { ISTA_NAS_VECTOR: code }));
    const arm = hasCross ? [results("qemu-aarch64-static", [build(cross[0], "aarch64")])] : [];
    for (const found of [...others, ...arm]) {
      expect(found.map(([name]) => name)).toEqual(expected.map(([name]) => name));
      for (const [index, [name, values]] of found.entries()) {
        const wanted = expected[index][1];
        const size = Math.max(Math.abs(wanted[0]), 1e-3);
        for (const [i, value] of values.entries())
          expect(Math.abs(value - wanted[i]) / size, name).toBeLessThan(1e-3);
      }
    }
  });
});

describe.each(["address", "thread"])("under the %s sanitizer", (kind) => {
  it("no kernel reads or writes where it should not", () => {
    const { status, stdout, stderr } = spawnSync(join(packageFolder, "native/sanitize.sh"), [kind], {
      encoding: "utf8",
      env,
    });
    expect(status, `${stdout}\n${stderr}`).toBe(0);
    for (const code of vectorCode().available)
      expect(stdout).toMatch(new RegExp(`^${code}: \\d+ runs, all finite$`, "m"));
  });
});
