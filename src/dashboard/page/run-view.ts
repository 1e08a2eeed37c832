// The page of one run: four answers at the top, then what they come from.
import { formatCount } from "../../base/format.js";
import type { Point, StepPoint } from "../types.js";
import {
  ChartGrid,
  type ChartOptions,
  formatMemory,
  formatNumber,
  formatShare,
  type Line,
} from "./charts.js";
import { make, setText, type View } from "./elements.js";
import { CellsBlock, CodesBlock, StripsBlock } from "./search-view.js";
import { epochsOfSteps } from "./series.js";
import type { ShownRun, Source } from "./source.js";
import {
  choosesInTheEnd,
  movement,
  outcome,
  overfitting,
  progress,
  secondsLeftNow,
  type Verdict,
} from "./verdicts.js";

/** Epochs before which another phase begins. */
const phaseMarks = (points: readonly Point[]): { epoch: number; words: string }[] =>
  points.flatMap(({ epoch, phase }, index) =>
    index > 0 && phase !== points[index - 1].phase ? [{ epoch: epoch + 1, words: phase }] : [],
  );

const best = (
  values: readonly (number | null)[],
  better: (a: number, b: number) => number,
): (number | null)[] => {
  let top: number | null = null;
  return values.map((value) => {
    if (value !== null) top = top === null ? value : better(top, value);
    return top;
  });
};

/** Sets the charts that all runs have. */
function setCurves(grid: ChartGrid, points: readonly Point[], isTrials: boolean): void {
  const epochs = points.map(({ epoch }) => epoch + 1);
  const of = (figure: string): (number | null)[] => points.map(({ n }) => n[figure] ?? null);
  const marks = isTrials ? [] : phaseMarks(points);
  const scattered = isTrials;
  const set = (name: string, title: string, unit: string, format: ChartOptions["format"], lines: Line[]) =>
    grid.set(name, { title, unit, format }, { epochs, lines, marks });
  const heldOut = of("validationLoss");
  const heldAccuracy = of("validationAccuracy");
  set("loss", "Loss", isTrials ? "of each trial" : "cross entropy", formatNumber, [
    { label: "training", values: of("loss"), scattered },
    { label: "held-out", values: heldOut, scattered },
    ...(isTrials ? [{ label: "best so far", values: best(heldOut, Math.min), colour: 3 }] : []),
  ]);
  set("accuracy", "Accuracy", isTrials ? "of each trial" : "of images", formatShare, [
    { label: "training", values: of("accuracy"), scattered },
    { label: "held-out", values: heldAccuracy, scattered },
    ...(isTrials ? [{ label: "best so far", values: best(heldAccuracy, Math.max), colour: 3 }] : []),
  ]);
  const columns = [...new Set(points.flatMap(({ known }) => Object.keys(known ?? {})))];
  set(
    "known",
    "What the table knows of the answer",
    "%, never seen by the search",
    formatNumber,
    columns.map((column) => ({ label: column, values: points.map(({ known }) => known?.[column] ?? null) })),
  );
  set("recovery", "Held-out loss around the recovery", "", formatNumber, [
    { label: "before", values: of("lossBeforeRecovery") },
    { label: "after", values: of("lossAfterRecovery") },
  ]);
  set("connections", "Connections", "", formatNumber, [
    { label: "tried so far", values: of("connectionsTried") },
    { label: "new in the answer", values: of("newConnections"), colour: 3 },
  ]);
  const sizes = of("parameters");
  // Of a training it never changes.
  const sizeChanges = new Set(sizes.filter((one) => one !== null)).size > 1;
  set("size", "Size of the network", "parameters", (value) => formatCount(Math.round(value)), [
    { label: "parameters", values: sizeChanges ? sizes : [] },
  ]);
  set("rate", "Learning rate", "", formatNumber, [{ label: "learning rate", values: of("learningRate") }]);
  set("speed", "Speed", "images/s", formatNumber, [{ label: "images/s", values: of("imagesPerSecond") }]);
  set("memory", "Memory", "of the process", formatMemory, [
    { label: "resident", values: of("residentBytes") },
  ]);
}

/** A row of terms and values. */
function factList(facts: readonly (readonly [string, string])[]): HTMLElement {
  return make(
    "dl",
    { class: "facts" },
    ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
}

const plain = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));

export class RunView implements View {
  readonly trail: string;
  readonly wish: { ids: readonly string[]; detailed: boolean };
  readonly element = make("article");
  private readonly tiles = make("div", { class: "tiles" });
  private readonly bar = make("progress", { class: "whole", max: 1, value: 0, "aria-label": "Epochs done" });
  private readonly slider: HTMLInputElement;
  private readonly sliderWords = make("output");
  private readonly sliderBlock: HTMLElement;
  private readonly curves = new ChartGrid("Curves");
  private readonly facts = make("details", { class: "block" }, make("summary", {}, "Options and facts"));
  private readonly missing = make("p", { class: "empty" });
  private readonly searchPart = make("div");
  private readonly codesPart = make("div");
  private strips: StripsBlock | null = null;
  private cells: CellsBlock | null = null;
  private codes: CodesBlock | null = null;
  private space: string | null = null;
  /** Place among the points; null follows the last one. */
  private place: number | null = null;
  private drawn = { points: 0, last: -1 };
  private drawnSteps = "";
  private told = "";
  private readonly timer = window.setInterval(() => this.setTiles(), 1000);

  constructor(
    private readonly source: Source,
    private readonly id: string,
  ) {
    this.trail = id;
    this.wish = { ids: [id], detailed: true };
    this.slider = make("input", {
      type: "range",
      id: "epoch",
      min: 0,
      value: 0,
      input: () => this.pick(Number(this.slider.value)),
    });
    const latest = make("button", { type: "button", click: () => this.pick(null) }, "Latest");
    const label = make("label", { for: "epoch" }, "Epoch");
    this.sliderBlock = make("div", { class: "slider" }, label, this.slider, this.sliderWords, latest);
    this.element.append(
      make("h1", {}, id),
      this.missing,
      this.bar,
      this.tiles,
      this.sliderBlock,
      this.searchPart,
      this.curves.element,
      this.codesPart,
      this.facts,
    );
  }

  private get run(): ShownRun {
    return this.source.runs.get(this.id) ?? { detail: null, points: [], steps: [] };
  }

  update(): void {
    const { detail, points, steps } = this.run;
    const isThere = this.source.rows.has(this.id);
    this.missing.hidden = isThere || !this.source.ready;
    setText(this.missing, `There is no run ${this.id} here (any more).`);
    this.setTiles();
    this.setFacts();
    this.makeSearchPart();
    const last = points.length - 1;
    this.sliderBlock.hidden = points.length < 2;
    this.slider.max = String(Math.max(0, last));
    const now = { points: points.length, last: points[last]?.epoch ?? -1 };
    const isOld = now.points === this.drawn.points && now.last === this.drawn.last;
    this.drawn = now;
    if (!isOld) setCurves(this.curves, points, detail?.row.method === "ista-trials");
    this.setSteps(steps, points);
    if (isOld) return;
    this.strips?.set(points);
    this.codes?.set(points);
    this.pick(this.place !== null && this.place < last ? this.place : null);
  }

  private setSteps(steps: readonly StepPoint[], points: readonly Point[]): void {
    const latest = `${steps.length} ${steps.at(-1)?.[0]} ${points.length}`;
    if (latest === this.drawnSteps) return;
    this.drawnSteps = latest;
    const epochs = epochsOfSteps(steps, points);
    const marks = phaseMarks(points);
    const set = (name: string, title: string, format: ChartOptions["format"], values: number[]) => {
      const line = { label: "training", values, width: 1 };
      this.curves.set(name, { title, unit: "means between steps", format }, { epochs, lines: [line], marks });
    };
    set(
      "step-loss",
      "Loss within epochs",
      formatNumber,
      steps.map(([, , loss]) => loss),
    );
    set(
      "step-accuracy",
      "Accuracy within epochs",
      formatShare,
      steps.map(([, , , accuracy]) => accuracy),
    );
  }

  /** Shows an epoch; null the last one, and those that come. */
  private pick(place: number | null): void {
    const { points } = this.run;
    const last = points.length - 1;
    this.place = place === last ? null : place;
    const at = this.place ?? last;
    if (at < 0) return;
    this.slider.value = String(at);
    const { epoch, phase } = points[at];
    setText(this.sliderWords, `${epoch + 1} · ${phase}${this.place === null ? " (latest)" : ""}`);
    this.slider.setAttribute("aria-valuetext", `epoch ${epoch + 1}`);
    const row = this.source.rows.get(this.id);
    if (row !== undefined && choosesInTheEnd(row)) this.cells?.setFinal();
    else this.cells?.set(points, at);
    this.strips?.point(at);
    // The cursor of the charts is the reader's as long as the last epoch is shown.
    const pointed = this.place === null ? null : epoch + 1;
    this.curves.point(pointed);
    this.codes?.point(pointed);
  }

  private setTiles(): void {
    const row = this.source.rows.get(this.id);
    if (row === undefined) return;
    const { detail, points } = this.run;
    const now = this.source.saved === null ? Date.now() : this.source.received;
    const left = secondsLeftNow(row, this.source.received, now);
    this.bar.value = row.epochs === null ? 0 : row.epoch / Math.max(1, row.epochs);
    const verdicts = [
      progress(row, detail, left, now),
      movement(row, points),
      overfitting(row, points),
      outcome(row, detail, points),
    ];
    const key = JSON.stringify(verdicts);
    if (key === this.told) return;
    this.told = key;
    this.tiles.replaceChildren(...verdicts.map(tile));
  }

  private makeSearchPart(): void {
    const { detail } = this.run;
    if (detail === null || detail.row.kind !== "search") return;
    const name = detail.space?.name ?? "";
    if (this.space === name) return;
    this.space = name;
    this.cells = new CellsBlock(this.source, this.id, detail.space);
    if (detail.space !== null && !choosesInTheEnd(detail.row)) {
      this.strips = new StripsBlock(detail.space, (place) => this.pick(place));
      this.codes = new CodesBlock(detail.space);
      this.searchPart.append(this.strips.element);
      this.codesPart.append(this.codes.element);
    }
    this.searchPart.append(this.cells.element);
    this.drawn = { points: 0, last: -1 };
  }

  private setFacts(): void {
    const { detail } = this.run;
    if (detail === null) return;
    const { config, meta, summary } = detail;
    const list = (values: Readonly<Record<string, unknown>> | null): (readonly [string, string])[] =>
      Object.entries(values ?? {})
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value]) => [name, plain(value)] as const);
    const command = Array.isArray(meta.command) ? `ista-nas ${meta.command.join(" ")}` : "";
    const parts = [
      make("h3", {}, "Run"),
      factList(list({ ...meta, command })),
      ...(summary === null ? [] : [make("h3", {}, "Summary"), factList(list(summary))]),
      make("h3", {}, "Options"),
      factList(list(config)),
    ];
    const key = JSON.stringify([config, meta, summary]);
    if (this.facts.dataset.key === key) return;
    this.facts.dataset.key = key;
    this.facts.replaceChildren(make("summary", {}, "Options and facts"), ...parts);
  }

  close(): void {
    clearInterval(this.timer);
    for (const part of [this.curves, this.strips, this.codes]) part?.close();
  }
}

const tile = ({ title, words, note, tone }: Verdict): HTMLElement =>
  make(
    "section",
    { class: `tile ${tone}` },
    make("h2", {}, title),
    make("p", { class: "words" }, words),
    make("p", { class: "note" }, note),
  );
