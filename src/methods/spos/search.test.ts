// Single path one-shot search on real images: paths, budget, held-out figures, the evolution in a run, resumption.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  advance,
  type CourseOf,
  type SearchFlags,
  savedState,
  searchConfig,
} from "../../../test/support/courses.js";
import { smallSearch, spaceNames } from "../../../test/support/method-courses.js";
import { expectExactResumption } from "../../../test/support/resumption.js";
import { silentObserver } from "../../course/loop.js";
import { liveTensorCount } from "../../engine/tensor.js";
import { sameSelection, validateSelection } from "../../space/space.js";
import { runSearch } from "../run-search.js";
import type { SposSearch } from "./search.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-spos-"));
const opened: CourseOf<SposSearch>[] = [];
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  for (const course of opened.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

const evolution = { evaluations: 12, population: 4, survivors: 2, statisticsBatches: 2 };
const make = async (space: string, flags: SearchFlags = {}): Promise<CourseOf<SposSearch>> =>
  (await smallSearch("spos", space, { epochs: 2, ...evolution, ...flags })) as CourseOf<SposSearch>;
async function open(space: string, flags: SearchFlags = {}): Promise<CourseOf<SposSearch>> {
  opened.push(await make(space, flags));
  return opened.at(-1)!;
}
const control = { stop: () => false, line: () => {} };

describe.each(spaceNames)("in %s", (space) => {
  it("trains the candidates of the step's architecture alone", async () => {
    const course = await open(space);
    const { search } = course;
    await advance(course, { epoch: 0, step: 0 }, 3);
    const path = search.pathOf(0, 3);
    validateSelection(course.context.space, path);
    const names = (course: CourseOf<SposSearch>) => course.search.network.stateDict();
    const before = names(course);
    await course.step(0, 3);
    const trained = new Set(search.network.trainable.keys());
    expect(sameSelection(search.network.description.selection, path)).toBe(true);
    for (const [name, { data }] of names(course)) {
      if (!before.has(name) || !/weight$|bias$/.test(name)) continue;
      const moved = `${before.get(name)!.data}` !== `${data}`;
      if (moved) expect(trained, name).toContain(name);
    }
  });

  it("keeps the paths, and what it finds, within the budget", async () => {
    const free = await open(space);
    const sizes = Array.from({ length: 20 }, (_, index) => free.search.pathOf(0, index));
    const { params } = free.size;
    const small = await open(space, { maxParams: params });
    const paths = sizes.map((_, index) => small.search.pathOf(0, index));
    expect(paths.every((path) => small.context.fits(path))).toBe(true);
    expect(sizes.every((path) => small.context.fits(path))).toBe(false);
    await small.step(0, 0);
    await small.search.conclude(control);
    expect(small.size.params).toBeLessThanOrEqual(params);
  });

  it("goes on bit for bit, and its evolution ends alike", async () => {
    const course = await expectExactResumption(() => make(space), 8, [0, 2, 4, 7], {
      opened,
      folder: join(folder, space),
    });
    const lines: string[] = [];
    const reports = [];
    for (const one of [course, opened[1]]) {
      const before = savedState(one);
      reports.push(await one.search.conclude({ stop: () => false, line: (text) => lines.push(text) }));
      const [after, held] = [savedState(one), before].map((state) => (state as { tensors: object }).tensors);
      expect(after).toMatchObject(held);
    }
    expect(reports[0]!.record).toEqual(reports[1]!.record);
    expect(opened[0].architecture.selection).toEqual(opened[1].architecture.selection);
    expect(reports[0]!.record).toMatchObject({ evaluations: 12 });
    expect(lines).toHaveLength(6);
    // What it found is what it says it is: the accuracy of its architecture, with statistics of its own.
    const found = await course.evaluate(course.context.sources.validation!);
    expect(found!.top1).toBe(reports[0]!.record.validationAccuracy);
  });

  it("leaves everything as it was when it is stopped while it evaluates", async () => {
    const course = await open(space);
    await course.step(0, 0);
    const before = savedState(course);
    expect(await course.evaluate(course.context.sources.validation!, () => true)).toBeNull();
    expect(savedState(course)).toEqual(before);
    let asked = 0;
    expect(await course.search.conclude({ ...control, stop: () => ++asked > 5 })).toBeNull();
    expect(course.search.selection).toEqual((await open(space)).search.selection);
  });
});

describe("a run", () => {
  const config = searchConfig({ method: "spos", space: "nas-bench-201", epochs: 1, ...evolution });

  it("ends with the evolution, whose result is in its summary; one that is stopped in it does it again", async () => {
    const lines: string[] = [];
    const observer = { ...silentObserver, line: (text: string) => void lines.push(text) };
    const path = join(folder, "run");
    const undisturbed = await runSearch({ config, out: path }, { observer, stop: () => false });
    const { conclusion, validationAccuracy, genotype } = undisturbed.summary;
    expect(undisturbed.status).toBe("finished");
    const best = conclusion!.best as { genotype: unknown; validationAccuracy: number }[];
    expect(conclusion).toMatchObject({ evaluations: 12, validationAccuracy });
    expect(best[0]).toEqual({ genotype, validationAccuracy });
    expect(lines.filter((line) => line.startsWith("evolution: "))).toHaveLength(3);

    const broken = join(folder, "broken");
    let evolving = false;
    const watch = {
      ...observer,
      line(text: string) {
        if (text.startsWith("evolution: ")) evolving = true;
      },
    };
    const stopped = await runSearch({ config, out: broken }, { observer: watch, stop: () => evolving });
    expect(stopped.status).toBe("interrupted");
    expect(stopped.summary.conclusion).toBeUndefined();
    expect(existsSync(join(broken, "genotype.json"))).toBe(false);
    const again = await runSearch({ resume: broken, flags: {} }, { observer, stop: () => false });
    expect(again.status).toBe("finished");
    expect(again.summary.conclusion).toEqual(conclusion);
    expect(again.summary.genotype).toEqual(genotype);
  });
});
