// The addon for long: 24,000 calls with whatever can be passed, 30 workers terminated in the middle of steps.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { allowedOutcomes, fuzzAddon, runScript, startWorker } from "./support/addon-child.js";
import { compiledProgram } from "./support/compiled.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-addon-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

it("24,000 calls with whatever can be passed", async () => {
  const totals: Record<string, number> = {};
  for (let seed = 1; seed <= 12; seed++) {
    const { counts, names } = await fuzzAddon(program, folder, seed, 2000);
    for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
    expect(names).toBeGreaterThan(25);
  }
  console.log(totals);
  expect(Object.keys(totals).filter((name) => !allowedOutcomes.includes(name))).toEqual([]);
});

it("30 workers terminated one after the other leave nothing behind", async () => {
  const { out, err, status } = await runScript(`${startWorker(program)}
    const sizes = [];
    for (let round = 0; round < 30; round++) {
      const { worker, first } = start();
      await first;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 50));
      await worker.terminate();
      sizes.push(process.memoryUsage().rss);
    }
    console.log(JSON.stringify(sizes));`);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  const sizes: number[] = JSON.parse(out);
  console.log(
    `resident after 10, 20 and 30 workers: ${[9, 19, 29].map((i) => (sizes[i] / 2 ** 20).toFixed(0))} MiB`,
  );
  expect(sizes[29] - sizes[9]).toBeLessThan(200 * 2 ** 20);
});
