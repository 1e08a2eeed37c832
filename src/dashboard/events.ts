// What a page is told while it is open, as server-sent events: the list of runs, and the records of the runs that it shows.
import type { ServerResponse } from "node:http";
import { stepsFileName } from "../run/growing-files.js";
import type { Catalogue } from "./catalogue.js";
import { pointOf, stepPointOf } from "./points.js";
import { RecordTail } from "./record-tail.js";
import type { Point } from "./types.js";

const pollMilliseconds = 1000;
const heartbeatMilliseconds = 15_000;
const retryMilliseconds = 1000;

export interface Wish {
  /** Runs whose records are wanted. */
  readonly ids: readonly string[];
  /** Whether with codes, supports and steps, or numbers of epochs alone. */
  readonly detailed: boolean;
  /** The id of the last event that the page has, of an earlier connection with the same wish; null for none. */
  readonly lastEvent: string | null;
}

const numbersOnly = ({ epoch, phase, n }: Point): Point => ({ epoch, phase, n });

/** Tells until the page goes away. */
export async function tell(response: ServerResponse, catalogue: Catalogue, wish: Wish): Promise<void> {
  const { ids, detailed } = wish;
  const positions = wish.lastEvent?.split(",") ?? [];
  const tails = new Map<string, RecordTail>();
  const stepTails = new Map<string, RecordTail>();
  const sentRows = new Map<string, string>();
  const sentDetails = new Map<string, string>();
  let sentStudies = "";
  let isOpen = true;
  let wake = (): void => {};
  response.once("close", () => {
    isOpen = false;
    wake();
  });
  const send = async (event: string, data: unknown, id: string | null = null): Promise<void> => {
    const mark = id === null ? "" : `id: ${id}\n`;
    const flows = response.write(`event: ${event}\n${mark}data: ${JSON.stringify(data)}\n\n`);
    // A page that reads slowly, or sleeps, must not fill the memory here.
    if (!flows && isOpen)
      await new Promise<void>((resolve) => {
        wake = resolve;
        response.once("drain", resolve);
      });
  };
  const position = (): string => ids.map((id) => tails.get(id)?.position ?? "").join(",");

  const sendList = async (): Promise<void> => {
    const first = sentRows.size === 0;
    const changed = [...catalogue.runs.values()].filter((run) => sentRows.get(run.id) !== run.stamp);
    const gone = [...sentRows.keys()].filter((id) => !catalogue.runs.has(id));
    const studies = [...catalogue.studies.values()].map(({ id, name }) => ({ id, name }));
    const told = JSON.stringify(studies);
    if (!first && changed.length === 0 && gone.length === 0 && told === sentStudies) return;
    for (const id of gone) sentRows.delete(id);
    for (const run of changed) sentRows.set(run.id, run.stamp);
    sentStudies = told;
    // What a page still has from before a new connection is void.
    await send("rows", { all: first, rows: changed.map((run) => run.row()), gone, studies });
  };

  const sendRun = async (id: string, index: number): Promise<void> => {
    const run = catalogue.runs.get(id);
    if (run === undefined) return;
    if (sentDetails.get(id) !== run.stamp) {
      sentDetails.set(id, run.stamp);
      await send("detail", { id, detail: run.detail() });
    }
    const known = positions[index] ?? "";
    // A page that is told everything has nothing of it before.
    let fromStart = !tails.has(id) && known === "";
    const tail = tails.get(id) ?? new RecordTail(run.folder, known);
    tails.set(id, tail);
    for (let more = true; more && isOpen; ) {
      const part = tail.read();
      more = part.more;
      const points = part.records.flatMap((record) => pointOf(record) ?? []);
      if (part.reset || points.length > 0) {
        const told = detailed ? points : points.map(numbersOnly);
        await send("points", { id, reset: part.reset || fromStart, points: told }, position());
        fromStart = false;
      }
      if (more) await new Promise(setImmediate);
    }
  };

  /** All steps anew with every connection: they are few numbers each, and not counted in the position. */
  const sendSteps = async (id: string): Promise<void> => {
    const run = catalogue.runs.get(id);
    if (run === undefined) return;
    let reset = !stepTails.has(id);
    const tail = stepTails.get(id) ?? new RecordTail(run.folder, "", stepsFileName);
    stepTails.set(id, tail);
    for (let more = true; more && isOpen; ) {
      const part = tail.read();
      more = part.more;
      reset ||= part.reset;
      const steps = part.records.flatMap((record) => {
        const step = stepPointOf(record);
        return step === null ? [] : [step];
      });
      if (part.reset || steps.length > 0) {
        await send("steps", { id, reset, steps });
        reset = false;
      }
      if (more) await new Promise(setImmediate);
    }
  };

  response.write(`retry: ${retryMilliseconds}\n\n`);
  let beat = performance.now();
  for (let round = 0; isOpen; round++) {
    catalogue.refresh(pollMilliseconds / 2000);
    await sendList();
    for (const [index, id] of ids.entries()) {
      if (isOpen) await sendRun(id, index);
      if (isOpen && detailed) await sendSteps(id);
    }
    if (round === 0 && isOpen) await send("ready", {}, position());
    if (performance.now() - beat > heartbeatMilliseconds) {
      beat = performance.now();
      response.write(": still here\n\n");
    }
    if (!isOpen) break;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollMilliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
