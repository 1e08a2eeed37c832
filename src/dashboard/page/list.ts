// The list of runs: the running ones first, with what is known of each, and which of them are to be laid over each other.
import { formatDuration, formatPercent } from "../../base/format.js";
import type { RunRow } from "../types.js";
import { make, setText, type View } from "./elements.js";
import type { Source } from "./source.js";
import { secondsLeftNow } from "./verdicts.js";

export const runAddress = (id: string): string => `#/run/${encodeURIComponent(id)}`;
export const compareAddress = (ids: readonly string[]): string =>
  `#/compare/${ids.map(encodeURIComponent).join(",")}`;
export const studyAddress = (id: string): string => `#/study/${encodeURIComponent(id)}`;

interface Column {
  readonly title: string;
  readonly name: string;
  /** What is compared; larger first where `descends`. */
  readonly key: (row: RunRow) => string | number;
  readonly descends?: boolean;
}

const accuracyOf = (row: RunRow): { value: number; what: string } | null =>
  row.testAccuracy !== null
    ? { value: row.testAccuracy, what: "test" }
    : row.validationAccuracy !== null
      ? { value: row.validationAccuracy, what: "held-out" }
      : row.accuracy !== null
        ? { value: row.accuracy, what: "training" }
        : null;

const stateOrder: readonly RunRow["state"][] = [
  ...(["running", "failed", "unreadable", "stopped", "interrupted", "finished"] as const),
];

const columns: readonly Column[] = [
  { title: "Run", name: "run", key: ({ id }) => id },
  { title: "Kind", name: "kind", key: ({ method, kind }) => method ?? kind ?? "" },
  { title: "State", name: "state", key: ({ state }) => stateOrder.indexOf(state) },
  {
    title: "Epochs",
    name: "epochs",
    key: ({ epoch, epochs }) => epoch / Math.max(1, epochs ?? epoch),
    descends: true,
  },
  { title: "Left", name: "left", key: ({ secondsLeft }) => secondsLeft ?? Number.POSITIVE_INFINITY },
  { title: "Accuracy", name: "accuracy", key: (row) => accuracyOf(row)?.value ?? -1, descends: true },
  { title: "Found", name: "found", key: ({ found }) => found ?? "" },
];

/** Running ones first, the newest first among equals. */
const usualOrder = (a: RunRow, b: RunRow): number =>
  Number(b.state === "running") - Number(a.state === "running") ||
  (b.created ?? "").localeCompare(a.created ?? "") ||
  a.id.localeCompare(b.id, undefined, { numeric: true });

function compare(column: Column, a: RunRow, b: RunRow): number {
  const [first, second] = [column.key(a), column.key(b)];
  const order =
    typeof first === "string" || typeof second === "string"
      ? String(first).localeCompare(String(second), undefined, { numeric: true })
      : first - second;
  return column.descends ? -order : order;
}

/** A row of the table, made once and changed after that. */
class ListRow {
  readonly element: HTMLTableRowElement;
  readonly box: HTMLInputElement;
  private readonly cells = new Map<string, HTMLTableCellElement>();
  private readonly bar = make("progress", { max: 1, value: 0 });
  private readonly epochs = make("span");
  private readonly badge = make("span", { class: "badge" });
  private shown: RunRow | null = null;

  constructor({ id }: RunRow, onPick: () => void) {
    this.box = make("input", { type: "checkbox", "aria-label": `Compare ${id}`, change: onPick });
    this.element = make("tr", {}, make("td", { class: "pick" }, this.box));
    for (const { name } of columns) {
      const cell = make("td", { class: name });
      this.cells.set(name, cell);
      this.element.append(cell);
    }
    this.cell("run").append(make("a", { href: runAddress(id) }, id));
    this.cell("state").append(this.badge);
    this.cell("epochs").append(this.bar, this.epochs);
  }

  private cell(name: string): HTMLTableCellElement {
    return this.cells.get(name)!;
  }

  get row(): RunRow {
    return this.shown!;
  }

  set(row: RunRow): void {
    if (row === this.shown) return;
    this.shown = row;
    setText(this.cell("kind"), row.method ?? row.kind ?? "?");
    setText(this.badge, row.state);
    this.badge.className = `badge ${row.state}`;
    this.badge.title = row.problem ?? "";
    this.bar.value = row.epochs === null ? 0 : row.epoch / Math.max(1, row.epochs);
    setText(this.epochs, row.epochs === null ? String(row.epoch) : `${row.epoch} / ${row.epochs}`);
    const accuracy = accuracyOf(row);
    setText(this.cell("accuracy"), accuracy === null ? "" : formatPercent(accuracy.value, 1));
    if (accuracy !== null) this.cell("accuracy").append(make("span", { class: "what" }, ` ${accuracy.what}`));
    setText(this.cell("found"), row.found ?? "");
  }

  tick(received: number, now: number): void {
    const left = secondsLeftNow(this.row, received, now);
    setText(this.cell("left"), left === null || this.row.state !== "running" ? "" : formatDuration(left));
  }
}

/** The view of all runs. */
export class RunList implements View {
  readonly trail = "";
  readonly wish = { ids: [], detailed: false };
  readonly element: HTMLElement;
  private readonly rows = new Map<string, ListRow>();
  private readonly body = make("tbody");
  private readonly head = make("tr");
  private readonly filter: HTMLInputElement;
  private readonly compareLink = make("a", { class: "button", hidden: true });
  private readonly counts = make("p", { class: "note", role: "status" });
  private readonly studies = make("p", { class: "studies" });
  private readonly table: HTMLTableElement;
  private sorted: Column | null = null;
  private reversed = false;
  private order = "";
  private readonly timer = window.setInterval(() => this.tick(), 1000);

  constructor(private readonly source: Source) {
    this.filter = make("input", {
      type: "search",
      id: "filter",
      placeholder: "Filter (press /)",
      "aria-label": "Filter runs by words",
      input: () => this.update(),
    });
    this.head.append(
      make("th", { class: "pick" }, make("span", { class: "hidden" }, "Compare")),
      ...columns.map((column) => {
        const button = make("button", { type: "button", click: () => this.sortBy(column) }, column.title);
        return make("th", { class: column.name, scope: "col" }, button);
      }),
    );
    this.table = make("table", { class: "runs" }, make("thead", {}, this.head), this.body);
    this.element = make(
      "section",
      { class: "list" },
      make("h1", {}, "Runs"),
      this.studies,
      make("div", { class: "tools" }, this.filter, this.compareLink, this.counts),
      this.table,
    );
  }

  private sortBy(column: Column): void {
    this.reversed = this.sorted === column && !this.reversed;
    this.sorted = column;
    for (const [index, { name }] of columns.entries()) {
      const cell = this.head.children[index + 1];
      const direction = this.reversed ? "descending" : "ascending";
      if (name === column.name) cell.setAttribute("aria-sort", direction);
      else cell.removeAttribute("aria-sort");
    }
    this.update();
  }

  private matches(row: RunRow): boolean {
    const text = [row.id, row.kind, row.method, row.space, row.state, row.found, `seed ${row.seed}`]
      .join(" ")
      .toLowerCase();
    return this.filter.value
      .toLowerCase()
      .split(/\s+/)
      .every((word) => text.includes(word));
  }

  update(): void {
    const { rows: found, studies, ready } = this.source;
    for (const [id, one] of this.rows) {
      if (found.has(id)) continue;
      one.element.remove();
      this.rows.delete(id);
    }
    for (const row of found.values()) {
      let one = this.rows.get(row.id);
      if (one === undefined) {
        one = new ListRow(row, () => this.picked());
        this.rows.set(row.id, one);
      }
      one.set(row);
    }
    const shown = [...found.values()].filter((row) => this.matches(row));
    const { sorted } = this;
    shown.sort((a, b) => {
      const order = sorted === null ? 0 : compare(sorted, a, b);
      return (this.reversed ? -order : order) || usualOrder(a, b);
    });
    const order = JSON.stringify(shown.map(({ id }) => id));
    if (order !== this.order) {
      // Moving rows about would take the focus away: only where the order has changed.
      this.order = order;
      this.body.replaceChildren(...shown.map(({ id }) => this.rows.get(id)!.element));
    }
    this.table.hidden = shown.length === 0;
    this.showCounts(shown.length, ready);
    this.showStudies(studies);
    this.tick();
    this.picked();
  }

  private showCounts(shown: number, ready: boolean): void {
    const all = [...this.source.rows.values()];
    const running = all.filter(({ state }) => state === "running").length;
    const some = shown === all.length ? "" : `${shown} of `;
    const words =
      all.length === 0
        ? ready
          ? "No runs here yet. `ista-nas search` begins one; it will appear by itself."
          : "Looking…"
        : `${some}${all.length} runs, ${running} running`;
    setText(this.counts, words);
  }

  private showStudies(studies: Source["studies"]): void {
    const key = JSON.stringify(studies);
    if (this.studies.dataset.key === key) return;
    this.studies.dataset.key = key;
    const links = studies.map(({ id, name }) =>
      make("a", { class: "button", href: studyAddress(id) }, `Study ${name}`),
    );
    this.studies.replaceChildren(...links);
  }

  private picked(): void {
    const ids = [...this.rows.values()].filter(({ box }) => box.checked).map(({ row }) => row.id);
    this.compareLink.hidden = ids.length < 2;
    setText(this.compareLink, `Lay ${ids.length} runs over each other`);
    this.compareLink.href = compareAddress(ids);
  }

  private tick(): void {
    const now = Date.now();
    if (this.source.saved === null) for (const row of this.rows.values()) row.tick(this.source.received, now);
  }

  close(): void {
    clearInterval(this.timer);
  }
}
