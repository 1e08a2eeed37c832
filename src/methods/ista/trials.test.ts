// The search by trials on real images: each trial alone, from the same weights; controls; a whole run; resumption.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  type CourseOf,
  carryOver,
  type SearchFlags,
  searchConfig,
} from "../../../test/support/courses.js";
import { expectError } from "../../../test/support/data.js";
import { smallSearch, spaceNames } from "../../../test/support/method-courses.js";
import { expectExactResumption } from "../../../test/support/resumption.js";
import { silentObserver } from "../../course/loop.js";
import { liveTensorCount } from "../../engine/tensor.js";
import { sameSelection, validateSelection } from "../../space/space.js";
import { runSearch } from "../run-search.js";
import type { TrialSearch } from "./trials.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-trials-"));
const opened: CourseOf<TrialSearch>[] = [];
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.restoreAllMocks();
  for (const course of opened.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

const short = { epochs: 4, trialSteps: 2, warmupTrials: 3, heldOutImages: 16, finalists: 2, finalRounds: 1 };
const make = async (space: string, flags: SearchFlags = {}): Promise<CourseOf<TrialSearch>> =>
  (await smallSearch("ista-trials", space, { ...short, ...flags })) as CourseOf<TrialSearch>;
async function open(space: string, flags: SearchFlags = {}): Promise<CourseOf<TrialSearch>> {
  opened.push(await make(space, flags));
  return opened.at(-1)!;
}

describe.each(spaceNames)("in %s", (space) => {
  it("trains one network after the other, each from the same first weights", async () => {
    const course = await open(space);
    const { search } = course;
    const stem = () => search.network.stateDict().get("stem.0.weight")!.data;
    const first = { stem: stem(), network: search.network.description.selection };
    validateSelection(course.context.space, first.network);
    expect(course.epochCount).toBe(6);
    const [outcome] = await advance(course, { epoch: 0, step: 0 }, 2);
    expect(outcome.record.genotype).toEqual(course.context.space.toGenotype(first.network));
    expect(sameSelection(search.network.description.selection, first.network)).toBe(false);
    expect(stem()).toEqual(first.stem);
    expect(course.context.sgd.stateDict().size).toBe(0);
    await course.step(1, 0);
    expect(stem()).not.toEqual(first.stem);
  });

  it("goes on bit for bit, inside of trials and between them, into the final round", async () => {
    await expectExactResumption(() => make(space), 12, [0, 1, 2, 7, 8, 9, 11], {
      opened,
      folder: join(folder, space),
    });
  });
});

describe("trials", () => {
  it("of the final round are longer, and the best of them is the answer", async () => {
    const course = await open("nas-bench-201");
    const outcomes = await advance(course, { epoch: 0, step: 0 }, 8);
    expect(outcomes).toHaveLength(4);
    expect([course.phase, course.stepCount]).toEqual(["final round 1/1", 4]);
    const finals = await advance(course, { epoch: 4, step: 0 }, 8);
    const [better] = finals
      .map(({ record }) => record)
      .sort((a, b) => Number(a.validationLoss) - Number(b.validationLoss));
    expect(course.context.space.toGenotype(course.search.selection)).toEqual(better.genotype);
    expect(finals.at(-1)!.record.connectionsTried).toBeGreaterThan(6);
  });

  it("of two depths train the same architecture shallow, then deep, and learn when both are judged", async () => {
    const deep = { deepCells: 6, deepSteps: 3, deepPooling: 7, finalists: 2 };
    const course = await open("nas-bench-201", deep);
    const { search } = course;
    const { shape: shallow, selection } = search.network.description;
    expect([course.epochCount, course.stepCount, course.phase]).toEqual([12, 2, "trial"]);
    const [one] = await advance(course, { epoch: 0, step: 0 }, 2);
    const { shape } = search.network.description;
    expect([course.stepCount, course.phase]).toEqual([3, "deep trial"]);
    expect(shape).toEqual({ ...shallow, cells: 6, imageHeight: 4, imageWidth: 4 });
    expect(search.network.description.selection).toEqual(selection);
    const [two] = await advance(course, { epoch: 1, step: 0 }, 3);
    expect(two.record.genotype).toEqual(one.record.genotype);
    expect(search.network.description.shape).toEqual(shallow);
    expect(sameSelection(search.network.description.selection, selection)).toBe(false);
    expect((course.save().state as { trials: unknown }).trials).toEqual([
      { selection, losses: [one.record.validationLoss, two.record.validationLoss] },
    ]);
    const deepTrial = await search.tryOut(selection, () => false);
    expect(deepTrial).toBeCloseTo(
      (Number(one.record.validationAccuracy) + Number(two.record.validationAccuracy)) / 2,
      12,
    );
  });

  it("of two depths go on bit for bit", async () => {
    const flags = { deepCells: 6, deepSteps: 1, deepPooling: 7, epochs: 2, finalists: 2, warmupTrials: 2 };
    await expectExactResumption(() => make("nas-bench-201", flags), 14, [1, 2, 3, 4, 5, 7, 9, 12], {
      opened,
      folder: join(folder, "deep"),
    });
  });

  it("of a deep shape that cannot be are refused at the start", async () => {
    await expectError(() => make("nas-bench-201", { deepCells: 4 }), "NETWORK_SHAPE", "divisible by 3");
    const flags = { deepCells: 6, deepPooling: 5 };
    await expectError(() => make("nas-bench-201", flags), "DATA_SIZE", "multiples of it, got 28 x 28");
  });

  it("see the same batches, and are judged by the same held-out images", async () => {
    const course = await open("nas-bench-201", { heldOutImages: 8 });
    const { sources } = course.context;
    const seen: string[] = [];
    for (const part of ["training", "validation"] as const) {
      const source = sources[part]!;
      const batch = source.batch.bind(source);
      vi.spyOn(source, "batch").mockImplementation((epoch, index) => {
        seen.push(`${part} ${epoch} ${index}`);
        return batch(epoch, index);
      });
    }
    await advance(course, { epoch: 0, step: 0 }, 2);
    const first = seen.splice(0);
    await advance(course, { epoch: 1, step: 0 }, 2);
    expect(seen).toEqual(first);
    expect(first.filter((one) => one.startsWith("validation"))).toEqual(["validation 0 0"]);
  });

  it("with random gradients are judged by noise", async () => {
    const [fair, control] = [
      await open("nas-bench-201"),
      await open("nas-bench-201", { control: "random-gradients" }),
    ];
    const losses = (course: CourseOf<TrialSearch>) =>
      (course.save().state as { trials: { losses: number[] }[] }).trials.flatMap(({ losses }) => losses);
    const [[one], [other]] = [
      await advance(fair, { epoch: 0, step: 0 }, 2),
      await advance(control, { epoch: 0, step: 0 }, 2),
    ];
    expect(other.record.validationLoss).toBe(one.record.validationLoss);
    expect(losses(fair)).toEqual([one.record.validationLoss]);
    expect(losses(control)).not.toEqual(losses(fair));
  });

  it("may become more while they explore, and not once the final round has begun", async () => {
    const course = await open("nas-bench-201");
    const place = { epoch: 0, step: 0 };
    await advance(course, place, 6);
    const longer = await open("nas-bench-201", { epochs: 7 });
    carryOver(course, longer, join(folder, "exploring"));
    expect(longer.epochCount).toBe(9);
    await advance(course, place, 4);
    const late = await open("nas-bench-201", { epochs: 7 });
    await expectError(
      () => carryOver(course, late, join(folder, "final")),
      "CONFIG_RESUME",
      "expected 4 as before",
    );
  });

  it("that diverge count as the worst, and the search goes on, with the same bits after a break", async () => {
    const flags = { learningRate: 1e30, gradientClip: 0, trialSteps: 4, finalists: 0 };
    const course = await expectExactResumption(() => make("nas-bench-201", flags), 10, [3, 4], {
      opened,
      folder: join(folder, "diverged"),
    });
    const { trials } = course.save().state as unknown as { trials: { losses: number[] }[] };
    expect(trials.map(({ losses }) => losses)).toEqual([[1e9], [1e9]]);
    const [outcome] = await advance(course, { epoch: 2, step: 2 }, 2);
    expect(outcome.record).toMatchObject({ diverged: true });
    expect(outcome.lines.join("\n")).toContain("warning: trial of epoch 3 diverged");
  });

  it("are refused where nothing is held out", () => {
    expect(() => searchConfig({ method: "ista-trials", validationFraction: 0 })).toThrow(/share above 0/);
  });
});

it("is a run like any other", async () => {
  const out = join(folder, "run");
  const config = searchConfig({ method: "ista-trials", space: "nas-bench-201", ...short });
  const lines: string[] = [];
  const observer = { ...silentObserver, line: (text: string) => lines.push(text) };
  const { summary } = await runSearch({ config, out }, { observer, stop: () => false });
  expect(summary.status).toBe("finished");
  // That of the answer, not that of the last trial.
  expect(summary.validationAccuracy).toBe(summary.conclusion!.validationAccuracy);
  expect(summary.exploration).toMatchObject({ connections: 30, epochs: 6 });
  expect(lines.some((line) => /^explored \d+ of 30 connections/.test(line))).toBe(true);
  expect(existsSync(join(out, "genotype.json"))).toBe(true);
  expect(readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n")).toHaveLength(6);
});
