// Searches over dense super-nets on real images: what a step changes, records, the budget, resumption.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { advance, type CourseOf, type SearchFlags } from "../../../test/support/courses.js";
import { smallSearch, spaceNames } from "../../../test/support/method-courses.js";
import { expectExactResumption } from "../../../test/support/resumption.js";
import { liveTensorCount } from "../../engine/tensor.js";
import { sameSelection, validateSelection } from "../../space/space.js";
import type { DenseSearch } from "./search.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-dense-"));
const opened: CourseOf<DenseSearch>[] = [];
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const course of opened.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

async function make(method: string, space: string, flags: SearchFlags = {}): Promise<CourseOf<DenseSearch>> {
  const rest = method === "pc-darts" ? { restEpochs: 1, ...flags } : flags;
  return (await smallSearch(method, space, { alphaLearningRate: 0.1, ...rest })) as CourseOf<DenseSearch>;
}
async function open(method: string, space: string, flags: SearchFlags = {}): Promise<CourseOf<DenseSearch>> {
  opened.push(await make(method, space, flags));
  return opened.at(-1)!;
}

const weightsOf = (course: CourseOf<DenseSearch>): string[] =>
  [...course.search.network.trainable].map(([, tensor]) => `${tensor.toFloat32Array()}`);
const alphasOf = (course: CourseOf<DenseSearch>): string[] =>
  course.search.logits.map(({ values }) => `${values}`);

const methods = ["darts", "pc-darts"].flatMap((method) =>
  spaceNames.map((space) => [method, space] as const),
);

describe.each(methods)("%s in %s", (method, space) => {
  it("moves the logits and the weights, and knows its architecture at any time", async () => {
    const course = await open(method, space, method === "pc-darts" ? { restEpochs: 0 } : {});
    const before = { weights: weightsOf(course), logits: alphasOf(course) };
    const first = course.architecture;
    await course.step(0, 0);
    const changed = alphasOf(course).filter((values, index) => values !== before.logits[index]);
    // beta of a single predecessor has nothing to decide; Adam's weight decay moves it all the same.
    expect(changed).toHaveLength(before.logits.length);
    expect(
      weightsOf(course).filter((values, index) => values !== before.weights[index]).length,
    ).toBeGreaterThan(before.weights.length / 2);
    for (const { selection } of [first, course.architecture]) validateSelection(first.space, selection);
    await advance(course, { epoch: 0, step: 1 }, 3);
    expect(sameSelection(course.architecture.selection, first.selection)).toBe(false);
  });

  it("records logits, weights and support of every choice", async () => {
    const course = await open(method, space);
    const [{ record, lines, genotype }] = await advance(course, { epoch: 0, step: 0 }, 4);
    expect(record).toMatchObject({ validationAccuracy: expect.any(Number), parameters: expect.any(Number) });
    expect(genotype).toEqual(course.architecture.space.toGenotype(course.architecture.selection));
    const choices = record.choices as {
      support: number[];
      predecessors: { alpha: number[]; weights: number[] }[];
      beta?: number[];
      predecessorWeights?: number[];
    }[];
    expect(choices.map(({ support }) => support)).toEqual(course.architecture.selection);
    for (const { predecessors, predecessorWeights } of choices) {
      expect(predecessorWeights !== undefined).toBe(method === "pc-darts");
      if (predecessorWeights !== undefined) expect(predecessorWeights).toHaveLength(predecessors.length);
      for (const { alpha, weights } of predecessors) {
        expect(weights).toHaveLength(alpha.length);
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
      }
    }
    expect(lines).toHaveLength(space === "darts" ? 2 : 1);
  });

  it("keeps within the size budget in every epoch", async () => {
    const free = await open(method, space);
    const { params } = free.size;
    const small = await open(method, space, { maxParams: params - 1 });
    expect(small.size.params).toBeLessThan(params);
    for (const { record } of await advance(small, { epoch: 0, step: 0 }, 8))
      expect(record.parameters).toBeLessThan(params);
  });

  it("goes on bit for bit", async () => {
    await expectExactResumption(() => make(method, space), 10, [0, 2, 4, 7], {
      opened,
      folder: join(folder, `${method}-${space}`),
    });
  });

  it("refuses the state of another search", async () => {
    const course = await open(method, space);
    const state = structuredClone(course.search.save()) as Record<string, unknown>;
    const { logits } = state as { logits: { values: number[] }[] };
    for (const damaged of [{}, { ...state, logits: logits.slice(1) }, { ...state, logits: [{}] }])
      expect(() => course.search.restore(damaged)).toThrow(
        expect.objectContaining({ code: "CHECKPOINT_DAMAGED" }),
      );
  });
});

describe("the epochs of rest", () => {
  it("leave alpha and beta alone while the weights learn", async () => {
    const course = await open("pc-darts", "darts", { restEpochs: 1 });
    const before = { weights: weightsOf(course), logits: alphasOf(course) };
    const [{ lines }] = await advance(course, { epoch: 0, step: 0 }, 4);
    expect(alphasOf(course)).toEqual(before.logits);
    expect(weightsOf(course)).not.toEqual(before.weights);
    expect(lines[0]).toMatch(/weights of candidates rest/);
    await course.step(1, 0);
    expect(alphasOf(course)).not.toEqual(before.logits);
  });
});

describe("options", () => {
  it("that do not go together are refused", async () => {
    await expect(smallSearch("darts", "darts", { validationFraction: 0 })).rejects.toMatchObject({
      code: "CONFIG_VALUE",
    });
    await expect(smallSearch("pc-darts", "darts", { channels: 6 })).rejects.toMatchObject({
      code: "CONFIG_VALUE",
    });
  });
});
