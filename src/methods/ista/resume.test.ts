// Courses that are saved to files and go on in new objects: the same bits as without a break.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  advance,
  oneStageSearch,
  type Restorable,
  training,
  twoStageSearch,
} from "../../../test/support/courses.js";
import { expectExactResumption } from "../../../test/support/resumption.js";
import { IstaError } from "../../base/errors.js";
import { liveTensorCount } from "../../engine/tensor.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-resume-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Disposable = Restorable & { dispose(): void };
const open: Disposable[] = [];
async function opened<T extends Disposable>(course: Promise<T>): Promise<T> {
  open.push(await course);
  return course;
}
afterEach(() => {
  for (const course of open.splice(0)) course.dispose();
  expect(liveTensorCount()).toBe(0);
});

/** The unbroken course; see `expectExactResumption`. */
const checkResumption = <T extends Disposable>(
  make: () => Promise<T>,
  steps: number,
  breaks: readonly number[],
): Promise<T> =>
  expectExactResumption(make, steps, breaks, { opened: open as T[], folder: join(folder, "copy") });

describe("resumption is bit for bit", () => {
  it.each(["top-s", "path"] as const)(
    "two-stage search (%s), within epochs and between them",
    async (recovery) => {
      await checkResumption(() => twoStageSearch({ recovery, codeLearningRate: 0.05 }), 10, [0, 2, 4, 7]);
    },
  );

  it("one-stage search, before, while and after nodes freeze", async () => {
    // Half of the nodes freeze after the first epoch, the rest by the limit after the second.
    const trial = await opened(oneStageSearch({ freezeTolerance: 0 }));
    const before = trial.search.codes.map(({ recovery }) => recovery.code);
    await advance(trial, { epoch: 0, step: 0 }, 4);
    const distances = trial.search.codes.map(({ recovery }, i) =>
      Math.hypot(...recovery.code.map((z, j) => z - before[i][j])),
    );
    const freezeTolerance = distances.sort((a, b) => a - b)[3] * (1 + 1e-9);
    const make = () =>
      oneStageSearch({ epochs: 2, trainEpochs: 3, freezeTolerance, dropPath: 0.3, auxiliaryWeight: 0.4 });
    const { search } = await checkResumption(make, 14, [2, 4, 6, 8, 11]);
    expect(search.phase).toBe("train");
    expect(search.forcedChoices.length).toBeGreaterThan(0);
    expect(search.forcedChoices.length).toBeLessThan(8);
  });

  it("training, with averaged weights, drop-path and auxiliary head", async () => {
    const make = () =>
      training({ weightAveraging: 0.9, dropPath: 0.3, auxiliaryWeight: 0.4, validationFraction: 0.2 });
    await checkResumption(make, 9, [3, 4, 6]);
  });
});

describe("what does not fit is refused", () => {
  it("codes of another form, states of another kind of search, weights of another network", async () => {
    const [two, one, wide] = [
      await opened(twoStageSearch()),
      await opened(oneStageSearch()),
      await opened(twoStageSearch({ channels: 4 })),
    ];
    const codeOf = (action: () => void): string => {
      try {
        action();
      } catch (error) {
        if (error instanceof IstaError) return error.code;
        throw error;
      }
      return "nothing";
    };
    const checkpoint = (course: Restorable) => {
      const { tensors, state } = course.save();
      const maps = Object.fromEntries(
        Object.entries(tensors).map(([group, tensors]) => [group, new Map(tensors)]),
      );
      return { tensors: maps, state, recordCount: 0, grown: {}, warning: null };
    };
    const state = (course: Restorable) => checkpoint(course).state as Record<string, unknown>;
    expect(codeOf(() => one.restore(checkpoint(two), state(two)))).toBe("CHECKPOINT_DAMAGED");
    for (const forced of [[{ node: 77 }], [{ group: "normal", node: 4 }], [8], [-1], "all"])
      expect(codeOf(() => one.restore(checkpoint(one), { ...state(one), forced }))).toBe(
        "CHECKPOINT_DAMAGED",
      );
    for (const codes of [[], { normal: [], reduction: [] }, { normal: [] }])
      expect(codeOf(() => two.restore(checkpoint(two), { codes }))).toBe("CODES_INVALID");
    for (const rejectedUpdates of [undefined, -1, 0.5, "1"])
      expect(codeOf(() => two.restore(checkpoint(two), { ...state(two), rejectedUpdates }))).toBe(
        "CHECKPOINT_DAMAGED",
      );
    expect(codeOf(() => two.restore(checkpoint(two), {}))).toBe("CODES_INVALID");
    expect(codeOf(() => two.restore(checkpoint(wide), state(two)))).toBe("WEIGHTS_MISMATCH");
  });
});
