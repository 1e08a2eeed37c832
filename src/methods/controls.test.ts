// Every method as a control run: it ends like any other, and what it learns from is noise.
import { createHash } from "node:crypto";
import { afterEach, expect, it } from "vitest";
import { advance } from "../../test/support/courses.js";
import { smallSearch } from "../../test/support/method-courses.js";
import type { SearchConfig } from "../config/config.js";
import type { SearchCourse } from "../course/search.js";
import { allMethods } from "./registry.js";

const opened: SearchCourse[] = [];
afterEach(() => {
  for (const course of opened.splice(0)) course.dispose();
});

const short: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "ista-trials": { trialSteps: 2, warmupTrials: 2, heldOutImages: 16, finalists: 0 },
  spos: { evaluations: 6, population: 3, survivors: 2, statisticsBatches: 1 },
  random: { candidates: 2 },
  "pc-darts": { restEpochs: 0 },
};

/** What was learnt of architectures in a few epochs, whatever form it has. */
async function learnt(method: string, control: SearchConfig["control"]): Promise<string> {
  const flags = { epochs: 2, control, ...short[method] };
  const course = await smallSearch(method, "nas-bench-201", flags);
  opened.push(course);
  await advance(course, { epoch: 0, step: 0 }, 2 * course.stepCount);
  const report = await course.search.conclude?.({ stop: () => false, line: () => {} });
  const { exploration: _, peakBytes: __, ...state } = course.save().state as Record<string, unknown>;
  return createHash("sha256")
    .update(JSON.stringify([state, report?.record]))
    .digest("hex");
}

it.each(allMethods().map(({ name }) => name))(
  "%s learns another thing from noise, the same each time",
  async (method) => {
    const fair = await learnt(method, "none");
    const control = await learnt(method, "random-gradients");
    expect(control).not.toBe(fair);
    expect(await learnt(method, "random-gradients")).toBe(control);
    expect(await learnt(method, "shuffled-labels")).not.toBe(fair);
  },
);
