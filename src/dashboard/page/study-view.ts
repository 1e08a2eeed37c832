// The table of a study: its arms, their differences, what they cost.
import { formatBytes, formatCount, formatDuration } from "../../base/format.js";
import type { Report } from "../../study/report.js";
import type { StudyTable } from "../types.js";
import { make, setText, type View } from "./elements.js";
import { compareAddress } from "./list.js";
import type { Source } from "./source.js";

const refreshMilliseconds = 5000;

const perCent = (value: number): string => value.toFixed(2);
const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
const orDash = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? "–" : format(value);
const range = (
  value: readonly [number, number] | null | undefined,
  format: (value: number) => string,
): string => (value === null || value === undefined ? "–" : `${format(value[0])} to ${format(value[1])}`);
const probability = (p: number): string => (p < 0.001 ? p.toExponential(0) : p.toFixed(3));

function tableOf(titles: readonly string[], rows: readonly (readonly string[])[]): HTMLElement {
  const cells = (row: readonly string[]) =>
    row.map((text, index) => make(index === 0 ? "th" : "td", index === 0 ? { scope: "row" } : {}, text));
  return make(
    "div",
    { class: "scroll", tabindex: 0 },
    make(
      "table",
      { class: "figures" },
      make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))),
    ),
  );
}

const words: Readonly<Record<string, string>> = {
  testAccuracy: "test accuracy",
  validationAccuracy: "held-out accuracy",
};

function reportParts(report: Report): (Node | string)[] {
  const { arms, differences, baseline, paired, column, missing } = report;
  const parts: (Node | string)[] = [
    make("p", { class: "note" }, `${words[column] ?? column}, per cent`),
    tableOf(
      ["Arm", "Runs", "Mean", "SD", "95 % interval", "Best", "Worst"],
      arms.map((arm) => [
        ...[arm.arm, String(arm.count), perCent(arm.mean), orDash(arm.deviation, perCent)],
        ...[range(arm.interval, perCent), perCent(arm.best.value), perCent(arm.worst.value)],
      ]),
    ),
  ];
  if (differences.length > 0)
    parts.push(
      make("h2", {}, `Difference to ${baseline}${paired ? ", paired by seed" : ""}`),
      tableOf(
        ["Arm", paired ? "Pairs" : "Runs", "Difference", "95 % interval", "P", "P (t test)"],
        differences.map(({ arm, count, difference }) => [
          ...[arm, String(count), orDash(difference?.mean, signed), range(difference?.interval, signed)],
          ...[orDash(difference?.permutation.p, probability), orDash(difference?.studentP, probability)],
        ]),
      ),
    );
  parts.push(
    make("h2", {}, "Cost of a run"),
    tableOf(
      ["Arm", "Processor time", "Time", "Peak memory", "Parameters"],
      arms.map((arm) => [
        ...[arm.arm, orDash(arm.processorSeconds?.mean, formatDuration), formatDuration(arm.seconds.mean)],
        ...[orDash(arm.peakMemoryBytes, formatBytes), orDash(arm.parameters?.mean, formatCount)],
      ]),
    ),
  );
  if (missing.length > 0)
    parts.push(
      make("h2", {}, "Left out"),
      make(
        "ul",
        {},
        ...missing.map(({ arm, seed, reason }) =>
          make("li", {}, `${arm}${seed === null ? "" : ` seed ${seed}`}: ${reason}`),
        ),
      ),
    );
  return parts;
}

export class StudyView implements View {
  readonly wish = { ids: [], detailed: false };
  readonly trail: string;
  readonly element = make("article");
  private readonly body = make("section", { class: "block" }, make("p", { class: "empty" }, "Looking…"));
  private readonly runs = make("p", { class: "tools" });
  private shown = "";
  private asked = Number.NEGATIVE_INFINITY;
  /** What changes between two looks is seen at the next one. */
  private readonly timer = window.setInterval(() => this.update(), refreshMilliseconds);

  constructor(
    private readonly source: Source,
    private readonly id: string,
  ) {
    this.trail = `study ${id}`;
    this.element.append(make("h1", {}, `Study ${id}`), this.runs, this.body);
  }

  update(): void {
    const own = [...this.source.rows.values()].filter((row) => row.id.startsWith(`${this.id}/`));
    const running = own.filter(({ state }) => state === "running").length;
    const text = `${own.length} runs, ${running} running`;
    if (this.runs.dataset.key !== text) {
      this.runs.dataset.key = text;
      const link = make("a", { class: "button", href: compareAddress(own.map(({ id }) => id)) });
      setText(link, "Lay its runs over each other");
      this.runs.replaceChildren(make("span", { class: "note" }, text), own.length < 2 ? "" : link);
    }
    const now = performance.now();
    if (now - this.asked < refreshMilliseconds / 2) return;
    this.asked = now;
    this.source.table(this.id).then(
      (table) => this.show(table),
      () => this.show({ problem: "The dashboard does not answer." }),
    );
  }

  private show(table: StudyTable): void {
    const key = JSON.stringify(table);
    if (key === this.shown) return;
    this.shown = key;
    this.body.replaceChildren(
      ...("problem" in table ? [make("p", { class: "empty" }, table.problem)] : reportParts(table.report)),
    );
  }

  close(): void {
    clearInterval(this.timer);
  }
}
