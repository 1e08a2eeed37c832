// Where the page has its data from: the server that follows the runs, or the page itself when it was saved.
import type { Point, RunDetail, RunRow, SavedPage, StepPoint, StudyRow, StudyTable } from "../types.js";

export interface ShownRun {
  detail: RunDetail | null;
  points: Point[];
  /** Rows of single steps, where a run records them. */
  steps: StepPoint[];
}

export interface Source {
  readonly rows: ReadonlyMap<string, RunRow>;
  readonly studies: readonly StudyRow[];
  readonly runs: ReadonlyMap<string, ShownRun>;
  /** When the rows came, milliseconds since 1970. */
  readonly received: number;
  /** Words on the connection; empty where all is well. */
  readonly trouble: string;
  /** When a saved page was saved; null of a live one. */
  readonly saved: string | null;
  /** Whether everything that there was has come. */
  readonly ready: boolean;
  /** Says which runs are shown. */
  show(ids: readonly string[], detailed: boolean): void;
  /**
   * Address of the drawing of the cells after an epoch (from 0; null: of those that the run ended with), what is new since the
   * one before ringed; null where there is none.
   */
  cells(id: string, epoch: number | null, hasBefore: boolean): string | null;
  table(id: string): Promise<StudyTable>;
}

class SavedSource implements Source {
  readonly rows: ReadonlyMap<string, RunRow>;
  readonly runs: ReadonlyMap<string, ShownRun>;
  readonly studies: readonly StudyRow[];
  readonly received: number;
  readonly trouble = "";
  readonly ready = true;
  readonly saved: string;

  constructor(private readonly page: SavedPage) {
    this.rows = new Map(page.rows.map((row) => [row.id, row]));
    this.studies = page.studies;
    this.runs = new Map(
      Object.entries(page.runs).map(([id, { detail, points, steps }]) => [
        id,
        { detail, points: [...points], steps: [...steps] },
      ]),
    );
    this.saved = page.saved;
    this.received = Date.parse(page.saved);
  }

  show(): void {}

  cells(id: string, epoch: number | null): string | null {
    const { cells = {}, finalCells = null } = this.page.runs[id] ?? {};
    const before = Object.keys(cells)
      .map(Number)
      .filter((at) => at <= (epoch ?? Number.POSITIVE_INFINITY));
    const svg = epoch === null ? finalCells : cells[Math.max(...before)];
    return svg ? `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}` : null;
  }

  async table(id: string): Promise<StudyTable> {
    return this.page.tables[id] ?? { problem: "it was not saved with this page" };
  }
}

class LiveSource implements Source {
  readonly rows = new Map<string, RunRow>();
  studies: readonly StudyRow[] = [];
  readonly runs = new Map<string, ShownRun>();
  received = Date.now();
  trouble = "";
  ready = false;
  readonly saved = null;
  private events: EventSource | null = null;
  private wish = "";
  private last = "";
  private again = 0;

  constructor(private readonly changed: () => void) {}

  show(ids: readonly string[], detailed: boolean): void {
    const query = new URLSearchParams(ids.map((id) => ["run", id]));
    if (detailed) query.set("detailed", "");
    if (query.toString() === this.wish && this.events !== null) return;
    this.wish = query.toString();
    this.last = "";
    this.runs.clear();
    for (const id of ids) this.runs.set(id, { detail: null, points: [], steps: [] });
    this.ready = false;
    this.connect();
  }

  private connect(): void {
    this.events?.close();
    clearTimeout(this.again);
    // A browser sends the last id by itself when it connects again, but not with a new connection.
    const last = this.last === "" ? "" : `&last=${encodeURIComponent(this.last)}`;
    const events = new EventSource(`/events?${this.wish}${last}`);
    this.events = events;
    const on = (name: string, action: (data: unknown) => void): void =>
      events.addEventListener(name, (event) => {
        const { data, lastEventId } = event as MessageEvent<string>;
        if (lastEventId !== "") this.last = lastEventId;
        this.trouble = "";
        action(JSON.parse(data));
        this.changed();
      });
    on("rows", (data) => this.takeRows(data as RowsEvent));
    on("detail", (data) => {
      const { id, detail } = data as { id: string; detail: RunDetail };
      const run = this.runs.get(id);
      if (run !== undefined) run.detail = detail;
    });
    on("points", (data) => {
      const { id, reset, points } = data as { id: string; reset: boolean; points: Point[] };
      const run = this.runs.get(id);
      if (run === undefined) return;
      if (reset) run.points = [];
      run.points.push(...points);
    });
    on("steps", (data) => {
      const { id, reset, steps } = data as { id: string; reset: boolean; steps: StepPoint[] };
      const run = this.runs.get(id);
      if (run === undefined) return;
      if (reset) run.steps = [];
      // One after the other: as arguments of one call, very many are too many.
      for (const step of steps) run.steps.push(step);
    });
    on("ready", () => {
      this.ready = true;
    });
    events.onerror = () => {
      this.trouble = "The dashboard does not answer: what is shown may be old. Trying again…";
      this.changed();
      // After an answer that is no stream, such as a refusal, browsers give up.
      if (events.readyState === EventSource.CLOSED)
        this.again = window.setTimeout(() => this.connect(), 2000);
    };
  }

  private takeRows({ all, rows, gone, studies }: RowsEvent): void {
    if (all) this.rows.clear();
    for (const id of gone) this.rows.delete(id);
    for (const row of rows) this.rows.set(row.id, row);
    this.studies = studies;
    this.received = Date.now();
  }

  cells(id: string, epoch: number | null, hasBefore: boolean): string {
    const query = new URLSearchParams(epoch === null ? { run: id } : { run: id, epoch: String(epoch) });
    if (hasBefore && epoch !== null) query.set("before", String(epoch - 1));
    return `/api/cells.svg?${query}`;
  }

  async table(id: string): Promise<StudyTable> {
    const answer = await fetch(`/api/study?${new URLSearchParams({ id })}`);
    return answer.ok ? ((await answer.json()) as StudyTable) : { problem: await answer.text() };
  }
}

interface RowsEvent {
  readonly all: boolean;
  readonly rows: readonly RunRow[];
  readonly gone: readonly string[];
  readonly studies: readonly StudyRow[];
}

/** @param changed called when something has come */
export function openSource(changed: () => void): Source {
  const saved = document.getElementById("saved-page");
  return saved === null ? new LiveSource(changed) : new SavedSource(JSON.parse(saved.textContent ?? ""));
}
