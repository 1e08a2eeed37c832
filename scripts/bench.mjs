// `npm run bench`: sets up, then runs a benchmark of bench/; without a name the one of a whole step against PyTorch.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setUp } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
setUp();
const [name = "steps", ...rest] = process.argv.slice(2);
const script = join(root, "dist/bench", `${name}.js`);
if (!existsSync(script)) {
  const names = readdirSync(join(root, "dist/bench")).filter((file) => file.endsWith(".js"));
  console.error(`bench: expected one of ${names.map((file) => file.slice(0, -3)).join(", ")}, got ${name}`);
  process.exit(2);
}
process.exit(spawnSync(process.execPath, [script, ...rest], { cwd: root, stdio: "inherit" }).status ?? 1);
