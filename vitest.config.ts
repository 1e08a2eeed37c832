import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// Files run side by side, one on each core (vitest would leave one idle): threads of their own would only wait for each other.
const sideBySide = { OMP_NUM_THREADS: "1", OMP_WAIT_POLICY: "passive" };

const longRun = process.env.ISTA_NAS_LONG_TESTS === "1";

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: availableParallelism(),
    // Configurations are of a method, whatever a test imports besides.
    setupFiles: ["./src/methods/registry.ts"],
    testTimeout: longRun ? 1_800_000 : 120_000,
    projects: [
      // tiny: says in seconds whether anything works at all. unit: beside the code. integration: the real command line.
      { extends: true, test: { name: "tiny", include: ["test/tiny.test.ts"] } },
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts"],
          exclude: ["src/**/*.long.test.ts"],
          env: sideBySide,
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/**/*.test.ts"],
          exclude: ["test/tiny.test.ts", "test/**/*.long.test.ts"],
          env: sideBySide,
        },
      },
      {
        extends: true,
        test: { name: "long", include: ["{src,test}/**/*.long.test.ts"], fileParallelism: false },
      },
    ],
  },
});
