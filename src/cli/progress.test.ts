// Tests of the progress line on a terminal and in a pipe, with a clock of the test's own.
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Progress, type ProgressState } from "./progress.js";

const saved = process.env;
beforeEach(() => {
  process.env = { TERM: "xterm", NO_COLOR: "1" };
});
afterEach(() => {
  process.env = saved;
});

function screen(isTTY: boolean, quiet = false, columns = 120) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns }) as unknown as NodeJS.WriteStream;
  let now = 0;
  const progress = new Progress({ stream, clock: () => now, quiet });
  return {
    progress,
    wait: (seconds: number) => {
      now += seconds;
    },
    written: () => String((stream as unknown as PassThrough).read() ?? ""),
  };
}

const state = (step: number, change: Partial<ProgressState> = {}): ProgressState => ({
  phase: "search",
  epoch: 2,
  epochs: 4,
  step,
  steps: 100,
  images: 64 * step,
  ...change,
});

describe("on a terminal", () => {
  it("rewrites one line with bar, figures, speed and time left", () => {
    const { progress, wait, written } = screen(true);
    progress.update(state(24));
    wait(0.5);
    progress.update(state(25, { loss: 1.23456, accuracy: 0.5 }));
    const line = written().split("\u001b[2K").at(-1);
    // 75 steps of this epoch and 200 of the next two, 2 a second.
    expect(line).toBe(
      "search 2/4  left 2 min 18 s  █████░░░░░░░░░░░░░░░  25/100  loss 1.2346  accuracy 50.0 %  128 images/s",
    );
  });

  it.each([
    [80, "search 2/4  left 2 min 18 s  25/100  loss 1.2346  accuracy 50.0 %  128 images/s"],
    [70, "search 2/4  left 2 min 18 s  25/100  loss 1.2346  accuracy 50.0 %"],
    [60, "search 2/4  left 2 min 18 s  25/100  loss 1.2346"],
    [40, "search 2/4  left 2 min 18 s  25/100"],
    [20, "search 2/4"],
    // Some terminals do not say how wide they are.
    [0, "search 2/4  left 2 min 18 s  25/100  loss 1.2346  accuracy 50.0 %  128 images/s"],
  ])("%d columns wide, says first how much time is left, and whole words only", (columns, expected) => {
    const { progress, wait, written } = screen(true, false, columns);
    progress.update(state(24));
    wait(0.5);
    progress.update(state(25, { loss: 1.23456, accuracy: 0.5 }));
    expect(written().split("\u001b[2K").at(-1)).toBe(expected);
  });

  it("is not rewritten more often than is seen, and never wider than the window", () => {
    const { progress, wait, written } = screen(true);
    for (let step = 0; step < 100; step++) {
      progress.update(state(step, { phase: "x".repeat(200) }));
      wait(0.01);
    }
    const lines = written().split("\r\u001b[2K").slice(1);
    expect(lines.length).toBeLessThanOrEqual(11);
    expect(lines.length).toBeGreaterThanOrEqual(9);
    for (const line of lines) expect(line.length).toBe(119);
  });

  it("rewrites a line of somebody else's, in a pipe not at all", () => {
    const { progress, written } = screen(true);
    progress.status("study  2 of 6");
    progress.log("spos seed 1: finished");
    expect(written()).toBe("\r\u001b[2Kstudy  2 of 6\r\u001b[2Kspos seed 1: finished\n");
    const pipe = screen(false);
    pipe.progress.status("study  2 of 6");
    expect(pipe.written()).toBe("");
  });

  it("makes room for lines that stay", () => {
    const { progress, written } = screen(true);
    progress.update(state(1));
    written();
    progress.log("epoch 2: done");
    expect(written()).toBe("\r\u001b[2Kepoch 2: done\n");
    progress.clear();
    expect(written()).toBe("");
  });
});

describe("in a pipe", () => {
  it("prints a plain line now and then", () => {
    const { progress, wait, written } = screen(false);
    for (let step = 0; step < 40; step++) {
      progress.update(state(step));
      wait(1);
    }
    expect(written()).toBe(
      [
        "search 2/4  0/100",
        "search 2/4  left 4 min 45 s  15/100  64.0 images/s",
        "search 2/4  left 4 min 30 s  30/100  64.0 images/s",
        "",
      ].join("\n"),
    );
  });

  it("measures anew when another run begins", () => {
    const { progress, wait, written } = screen(false);
    progress.update(state(90));
    wait(100);
    progress.update(state(99));
    wait(100);
    progress.update(state(1, { epoch: 1 }));
    expect(written().trim().split("\n").at(-1)).toBe("search 1/4  1/100");
    wait(16);
    progress.update(state(5, { epoch: 1 }));
    // 4 steps of 64 images in 16 seconds; 95 and 300 steps are left.
    expect(written()).toBe("search 1/4  left 26 min 20 s  5/100  16.0 images/s\n");
  });
});

it("says nothing where it is not wanted, but warns", () => {
  const { progress, written } = screen(false, true);
  progress.update(state(1));
  progress.log("x");
  expect(written()).toBe("");
  progress.warn("disk \u001b[2Jfull");
  expect(written()).toBe("warning: disk \\x1b[2Jfull\n");
});
