// Large pictures are decoded one after the other, in whichever thread.
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { maximumPixelsInFlight, PixelBudget } from "./pixel-budget.js";

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

it("lets in what fits, and one picture of any size alone", async () => {
  const budget = new PixelBudget();
  let together = 0;
  let most = 0;
  const decode = async (): Promise<void> => {
    together += 1;
    most = Math.max(most, together);
    await soon();
    together -= 1;
  };
  await Promise.all(Array.from({ length: 6 }, () => budget.during(maximumPixelsInFlight / 3, decode)));
  expect(most).toBe(3);
  most = 0;
  await Promise.all(Array.from({ length: 4 }, () => budget.during(2 * maximumPixelsInFlight, decode)));
  expect(most).toBe(1);
  // What failed holds nothing.
  const failing = budget.during(maximumPixelsInFlight, () => Promise.reject(new Error("broken")));
  await expect(failing).rejects.toThrow("broken");
  expect(new Int32Array(budget.shared)[0]).toBe(0);
});

it("is one for several threads", async () => {
  const budget = new PixelBudget();
  const worker = new Worker(
    "require('worker_threads').parentPort.once('message', (shared) => { Atomics.add(new Int32Array(shared), 0, 99_999_999); require('worker_threads').parentPort.postMessage('held'); });",
    { eval: true },
  );
  const held = new Promise((resolve) => worker.once("message", resolve));
  worker.postMessage(budget.shared);
  await held;
  let entered = false;
  const waiting = budget.during(2, async () => {
    entered = true;
  });
  await soon();
  expect(entered).toBe(false);
  Atomics.sub(new Int32Array(budget.shared), 0, 99_999_999);
  await waiting;
  expect(entered).toBe(true);
  await worker.terminate();
});
