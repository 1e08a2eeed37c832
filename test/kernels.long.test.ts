// The fused kernels for long: more shapes, and the address and thread sanitizers.
import { spawnSync } from "node:child_process";
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
