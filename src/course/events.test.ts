// A run as an iterator of events: nothing is lost but steps that nobody looked at, failures arrive, leaving stops the run.
import { expect, it } from "vitest";
import { IstaError } from "../base/errors.js";
import { type RunEvent, runEvents } from "./events.js";
import type { RunControl, RunResult } from "./execute.js";

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const result = { path: "there", status: "finished", summary: {} } as RunResult;
const state = (step: number) => ({
  phase: "p",
  epoch: 1,
  epochs: 1,
  step,
  steps: 9,
  accuracy: 0,
  images: step,
});

/** Steps until it is asked to stop. */
const stepping =
  (steps: number, taken: number[] = []) =>
  async ({ observer, stop }: RunControl): Promise<RunResult> => {
    for (let step = 1; step <= steps; step++) {
      if (stop()) return { ...result, status: "interrupted" };
      taken.push(step);
      observer.progress(state(step));
      if (step % 3 === 0) observer.epoch?.({ epoch: step / 3 });
      await breathe();
    }
    return result;
  };

it("tells steps, records and the end in their order", async () => {
  const seen: string[] = [];
  for await (const event of runEvents(stepping(6)))
    seen.push(event.type === "step" ? `step ${event.state.step}` : event.type);
  expect(seen).toEqual([
    ...["step 1", "step 2", "step 3", "epoch", "step 4", "step 5", "step 6", "epoch", "end"],
  ]);
});

it("leaves out steps only that a slow reader has not seen", async () => {
  const seen: RunEvent[] = [];
  for await (const event of runEvents(stepping(30))) {
    seen.push(event);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const steps = seen.filter(({ type }) => type === "step");
  expect(steps.length).toBeLessThan(30);
  expect(steps.at(-1)).toMatchObject({ state: { step: 30 } });
  expect(seen.filter(({ type }) => type === "epoch")).toHaveLength(10);
  expect(seen.at(-1)).toEqual({ type: "end", result });
});

it("stops the run where the reader leaves, and waits until it is saved", async () => {
  const taken: number[] = [];
  for await (const event of runEvents(stepping(1000, taken)))
    if (event.type === "step" && event.state.step === 5) break;
  const count = taken.length;
  expect(count).toBeLessThan(10);
  await breathe();
  expect(taken).toHaveLength(count);
});

it("fails with what stopped the run, after the events before it", async () => {
  const seen: string[] = [];
  const failing = async ({ observer }: RunControl): Promise<RunResult> => {
    observer.line("begun");
    await breathe();
    observer.warn("odd");
    throw new IstaError("RUN_DIVERGED", "loss");
  };
  const reading = async (): Promise<void> => {
    for await (const event of runEvents(failing)) seen.push(event.type);
  };
  await expect(reading()).rejects.toThrow("loss");
  expect(seen).toEqual(["line", "warning"]);
});
