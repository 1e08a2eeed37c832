// `npm test`: sets up, checks types and style, runs the tests; with --long the long ones only, with --core the tiny and the
// unit tests only, which is what depends on the machine.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setUp } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const long = process.argv.includes("--long");
const core = process.argv.includes("--core");
const totals = { passed: 0, failed: 0, skipped: 0 };

function step(name, args, env = {}) {
  console.error(`test: ${name}`);
  const { status } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  return status === 0;
}

function vitest(projects) {
  const report = join(root, "build", `test-results-${projects[0]}.json`);
  mkdirSync(dirname(report), { recursive: true });
  const args = [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    ...projects.flatMap((project) => ["--project", project]),
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ];
  const passed = step(projects.join(" and "), args, long ? { ISTA_NAS_LONG_TESTS: "1" } : {});
  const result = JSON.parse(readFileSync(report, "utf8"));
  totals.passed += result.numPassedTests;
  totals.failed += result.numFailedTests;
  totals.skipped += result.numPendingTests;
  return passed;
}

setUp();
const checks = long
  ? [() => vitest(["long"])]
  : core
    ? [() => vitest(["tiny"]), () => vitest(["unit"])]
    : [
        () => vitest(["tiny"]),
        () =>
          step("types", [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.json", "--noEmit"]),
        () => step("style", [join(root, "node_modules/@biomejs/biome/bin/biome"), "check", "."]),
        () => vitest(["unit"]),
        () => vitest(["integration"]),
      ];
// Each is run even when one before it failed, but nothing is worth trying when the tiny test fails.
let good = checks[0]();
if (good || long) for (const check of checks.slice(1)) good = check() && good;
console.log(`tests: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(good ? 0 : 1);
