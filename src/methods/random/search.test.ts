// Random search on real images: one architecture after another, each from the same weights; the best is the answer.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { advance, type CourseOf, type SearchFlags } from "../../../test/support/courses.js";
import { smallSearch, spaceNames } from "../../../test/support/method-courses.js";
import { expectExactResumption } from "../../../test/support/resumption.js";
import { cosine } from "../../course/schedules.js";
import { liveTensorCount } from "../../engine/tensor.js";
import type { RandomSearch } from "./search.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-random-"));
const opened: CourseOf<RandomSearch>[] = [];
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const course of opened.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

const make = async (space: string, flags: SearchFlags = {}): Promise<CourseOf<RandomSearch>> =>
  (await smallSearch("random", space, { epochs: 6, candidates: 3, ...flags })) as CourseOf<RandomSearch>;
async function open(space: string, flags: SearchFlags = {}): Promise<CourseOf<RandomSearch>> {
  opened.push(await make(space, flags));
  return opened.at(-1)!;
}

describe.each(spaceNames)("in %s", (space) => {
  it("trains each for its part of the epochs, from the same seed, and chooses the best", async () => {
    const course = await open(space);
    const stem = () => `${course.search.network.stateDict().get("stem.0.weight")!.data}`;
    const first = stem();
    expect(course.epochCount).toBe(6);
    const place = { epoch: 0, step: 0 };
    const trained: (readonly (readonly number[])[])[] = [];
    const scores: number[] = [];
    for (let candidate = 0; candidate < 3; candidate++) {
      expect(stem()).toBe(first);
      expect(course.phase).toBe(`candidate ${candidate + 1}/3`);
      expect(course.context.sgd.stateDict().size).toBe(0);
      trained.push(course.search.reachable);
      const outcomes = await advance(course, place, 8);
      expect(outcomes.map(({ score }) => score)).toEqual([null, null]);
      scores.push(outcomes[1].record.validationAccuracy as number);
      expect(outcomes[1].record).toMatchObject({ candidate, scores });
      expect(outcomes[1].lines).toHaveLength(1);
      const best = scores.indexOf(Math.max(...scores));
      expect(course.architecture.selection).toEqual(trained[best]);
    }
    expect(new Set(trained.map((one) => JSON.stringify(one))).size).toBe(3);
  });

  it("goes on bit for bit, within candidates and between them", async () => {
    await expectExactResumption(() => make(space, { dropPath: 0.2 }), 20, [0, 3, 4, 8, 13, 16], {
      opened,
      folder: join(folder, space),
    });
  });

  it("keeps within the size budget", async () => {
    const { params } = (await open(space)).size;
    const small = await open(space, { maxParams: params - 1, candidates: 6 });
    for (let epoch = 0; epoch < 6; epoch++) {
      expect(small.context.fits(small.search.reachable)).toBe(true);
      await advance(small, { epoch, step: 3 }, 1);
    }
    expect(small.size.params).toBeLessThan(params);
  });
});

it("gives each an equal part of the epochs, at least one, with a cosine of its own", async () => {
  await expect(open("nas-bench-201", { epochs: 2, candidates: 5 })).rejects.toThrow(
    "expected at least one for each of the 5 candidates, got 2",
  );
  expect((await open("nas-bench-201", { epochs: 7, candidates: 5 })).epochCount).toBe(5);
  const course = await open("nas-bench-201", { epochs: 7 });
  expect([0, 1, 2, 3].map((epoch) => course.learningRate(epoch))).toEqual(
    [0, 1, 0, 1].map((epoch) => cosine(epoch, 2, 0.1, 0.001)),
  );
});

it("does not go on with other epochs than the trained candidates had, nor from states that are no such", async () => {
  const course = await open("nas-bench-201");
  const code = (state: Record<string, unknown>): string => {
    try {
      course.search.restore(state);
    } catch (error) {
      return (error as { code: string }).code;
    }
    return "none";
  };
  expect(code({ scores: [0.5], epochsEach: 3 })).toBe("CONFIG_RESUME");
  expect(code({ scores: [0.5, 0.5, 0.5, 0.5], epochsEach: 2 })).toBe("CHECKPOINT_DAMAGED");
  expect(code({})).toBe("CHECKPOINT_DAMAGED");
});
