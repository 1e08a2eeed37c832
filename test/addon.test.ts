// The addon against JavaScript that means no good: a short fuzz, exits and terminations in the middle of a step, two threads at once.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { allowedOutcomes, fuzzAddon, runScript, startWorker, trainingWorker } from "./support/addon-child.js";
import { compiledProgram } from "./support/compiled.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-addon-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

it("does not crash in 600 calls with whatever can be passed", async () => {
  const { counts } = await fuzzAddon(program, folder, 1, 600);
  expect(Object.keys(counts).filter((name) => !allowedOutcomes.includes(name))).toEqual([]);
  for (const name of ["returned", "ENGINE_ARGUMENT", "ENGINE_FREED", "ENGINE_OPERATOR"])
    expect(counts[name], name).toBeGreaterThan(0);
});

it("the process exits while a worker is in the middle of steps", async () => {
  const { status, signal, err } = await runScript(`${startWorker(program)}
    await start().first;
    setTimeout(() => process.exit(7), 20);`);
  expect({ status, signal, err }).toEqual({ status: 7, signal: null, err: "" });
});

it("the process exits from within a step", async () => {
  const script = trainingWorker(program).replace("return figures.loss;", "process.exit(9);");
  const { status, signal, err } = await runScript(script);
  expect({ status, signal, err }).toEqual({ status: 9, signal: null, err: "" });
});

it("a worker is terminated in the middle of steps, and the next one works", async () => {
  const { out, err, status } = await runScript(`${startWorker(program)}
    for (let round = 0; round < 3; round++) {
      const { worker, first } = start();
      const { loss } = await first;
      await new Promise((resolve) => setTimeout(resolve, 5 * round));
      await worker.terminate();
      console.log(loss);
    }`);
  expect(err).toBe("");
  expect(status).toBe(0);
  const losses = out.trim().split("\n");
  expect(losses).toHaveLength(3);
  expect(new Set(losses).size).toBe(1);
});

it("two workers train at the same time, each as if it were alone", async () => {
  const { out, err, status } = await runScript(`${startWorker(program)}
    const losses = [start(), start()].map(({ worker }) => new Promise((resolve, reject) => {
      const seen = [];
      worker.on("error", reject);
      worker.on("message", ({ loss }) => { if (seen.push(loss) === 5) resolve(worker.terminate().then(() => seen)); });
    }));
    console.log(JSON.stringify(await Promise.all(losses)));`);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  const [one, other] = JSON.parse(out);
  expect(one).toEqual(other);
  expect(one.every(Number.isFinite)).toBe(true);
});
