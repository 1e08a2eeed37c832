// What happens in a run, as an async iterator: for programs that follow a run, the command line among them.
import type { JsonObject } from "../run/records.js";
import type { RunControl, RunResult } from "./execute.js";
import type { Observer, ProgressState } from "./loop.js";

export type RunEvent =
  /** A step was taken; of steps that nobody has looked at yet only the last is told. */
  | { readonly type: "step"; readonly state: ProgressState }
  /** An epoch is over; its record is what metrics.jsonl has. */
  | { readonly type: "epoch"; readonly record: JsonObject }
  /** A checkpoint was saved: `last`, `best`, or `epoch-NNN`. */
  | { readonly type: "checkpoint"; readonly name: string }
  /** A line for people. */
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "warning"; readonly text: string }
  /** The last event: the run is finished or, where it was asked to stop, saved. */
  | { readonly type: "end"; readonly result: RunResult };

/**
 * Carries a run out and tells what happens. Leaving the loop early stops the run as Ctrl-C does: it finishes its step, saves, and
 * only then goes the program on.
 *
 *     for await (const event of runEvents((control) => runTraining({ config }, control)))
 *       if (event.type === "epoch") console.log(event.record.loss);
 *
 * @param run starts the run with the control that it is given
 * @param stop whether to stop; looked at after every step
 * @throws IstaError whatever stops the run
 */
export async function* runEvents(
  run: (control: RunControl) => Promise<RunResult>,
  stop: () => boolean = () => false,
): AsyncGenerator<RunEvent, void, undefined> {
  let waiting: RunEvent[] = [];
  let wake = (): void => {};
  let left = false;
  const tell = (event: RunEvent): void => {
    const stale = event.type === "step" && waiting.at(-1)?.type === "step";
    if (stale) waiting[waiting.length - 1] = event;
    else waiting.push(event);
    wake();
  };
  const observer: Observer = {
    progress: (state) => tell({ type: "step", state }),
    epoch: (record) => tell({ type: "epoch", record }),
    checkpoint: (name) => tell({ type: "checkpoint", name }),
    line: (text) => tell({ type: "line", text }),
    warn: (text) => tell({ type: "warning", text }),
  };
  let ended = false;
  const running = run({ observer, stop: () => left || stop() })
    .then((result) => tell({ type: "end", result }))
    .finally(() => {
      ended = true;
      wake();
    });
  // Whoever waits for the events hears of a failure below.
  running.catch(() => {});
  try {
    while (!ended || waiting.length > 0) {
      if (waiting.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const events = waiting;
      waiting = [];
      yield* events;
    }
  } finally {
    left = true;
    await running;
  }
}
