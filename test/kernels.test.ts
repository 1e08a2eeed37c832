// The fused kernels against their compositions in double precision (native/test_ops.py, in Python for its autograd checks).
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

// With each vector code that this processor has.
describe.skipIf(!hasTorch).each(vectorCode().available)("fused kernels, %s", (code) => {
  it("compute what the compositions compute", () => {
    const { status, stderr } = spawnSync(python, [join(packageFolder, "native/test_ops.py")], {
      encoding: "utf8",
      env: { ...env, ISTA_NAS_VECTOR: code },
    });
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/Ran \d\d tests/);
  }, 900_000);
});
