// The picture worker of the tests, which run on TypeScript source: Vite, which comes with their runner, loads it.
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

const file = fileURLToPath(new URL("../../src/data/picture-worker.ts", import.meta.url));
const { module } = await runnerImport(file, { configFile: false, logLevel: "error" });

export default module.default;
