// What only searches have: strips of operations, the cells with a slider, and figures of each node's code.
import type { ChoicePoint, Point, SpaceInfo } from "../types.js";
import { ChartGrid, formatNumber, formatShare, type Line } from "./charts.js";
import { make, setText } from "./elements.js";
import type { Source } from "./source.js";
import { Strips } from "./strip.js";
import { answerOf, changesBetween } from "./verdicts.js";

/** The cells after an epoch, what is new in them ringed. */
export class CellsBlock {
  readonly element: HTMLElement;
  private readonly image = make("img", { class: "cells", alt: "" });
  private readonly words = make("p", { class: "note", "aria-live": "polite" });
  private readonly none = make("p", { class: "empty" }, "No cells are recorded.");
  private shown = "";

  constructor(
    private readonly source: Source,
    private readonly id: string,
    private readonly space: SpaceInfo | null,
  ) {
    const scroll = make("div", { class: "scroll", tabindex: 0 }, this.image);
    this.element = make(
      "section",
      { class: "block" },
      make("h2", {}, "Cells"),
      this.words,
      scroll,
      this.none,
    );
    this.image.addEventListener("error", () => {
      this.image.hidden = true;
      this.none.hidden = false;
    });
    this.image.addEventListener("load", () => {
      this.image.hidden = false;
      this.none.hidden = true;
    });
  }

  /** Shows the cells that the run ended with, which no epoch has. */
  setFinal(): void {
    if (this.shown === "final") return;
    this.shown = "final";
    this.show(this.source.cells(this.id, null, false));
    this.image.alt = "the cells that were chosen in the end";
    setText(this.words, "Chosen in the end");
  }

  private show(address: string | null): void {
    this.none.hidden = address !== null;
    this.image.hidden = address === null;
    if (address !== null) this.image.src = address;
  }

  /** @param place of the epoch among the points */
  set(points: readonly Point[], place: number): void {
    const [before, point] = [points[place - 1], points[place]];
    if (point === undefined) return;
    const [earlier, now] = [before && answerOf(before), answerOf(point)];
    const key = JSON.stringify([point.epoch, now, earlier]);
    if (key === this.shown) return;
    this.shown = key;
    this.show(this.source.cells(this.id, point.epoch, before !== undefined));
    this.image.alt = this.inWords(now);
    setText(this.words, this.changeWords(point.epoch, earlier, now));
  }

  private name(choice: number, candidate: number): string {
    const [operation, from] = this.space?.choices[choice]?.candidates[candidate] ?? [];
    return operation === undefined
      ? `candidate ${candidate}`
      : `${this.space?.operations[operation].label} from ${from}`;
  }

  private inWords(kept: ReturnType<typeof answerOf>): string {
    const nodes = kept?.map((candidates, choice) => {
      const name = this.space?.choices[choice]?.name ?? `choice ${choice + 1}`;
      return `${name}: ${candidates.map((one) => this.name(choice, one)).join(" and ")}`;
    });
    return nodes?.join("; ") ?? "cells";
  }

  private changeWords(
    epoch: number,
    earlier: ReturnType<typeof answerOf>,
    now: ReturnType<typeof answerOf>,
  ): string {
    const begin = `After epoch ${epoch + 1}`;
    if (earlier === undefined || now === undefined) return begin;
    const counts = changesBetween(earlier, now);
    const changed = counts.flatMap((count, choice) => {
      if (count === 0) return [];
      const added = now[choice].filter((one) => !earlier[choice].includes(one));
      const gone = earlier[choice].filter((one) => !now[choice].includes(one));
      const list = (ones: readonly number[]): string => ones.map((one) => this.name(choice, one)).join(", ");
      return [`${this.space?.choices[choice]?.name ?? choice}: ${list(added)} instead of ${list(gone)}`];
    });
    return changed.length === 0 ? `${begin}: as before` : `${begin}: ${changed.join("; ")}`;
  }
}

/** Values of one place of a list, over epochs. */
const over = (points: readonly Point[], value: (point: Point) => number | undefined): (number | null)[] =>
  points.map((point) => value(point) ?? null);

/** The figures of each node: code, weights, residuals, freezing, mixtures. */
export class CodesBlock {
  readonly element: HTMLElement;
  private readonly all = new ChartGrid("Nodes");
  private readonly one: ChartGrid;
  private readonly choice: HTMLSelectElement;
  private points: readonly Point[] = [];
  private epoch: number | null = null;

  constructor(private readonly space: SpaceInfo) {
    this.one = new ChartGrid("One node");
    const options = space.choices.map(({ name }, index) => make("option", { value: index }, name));
    this.choice = make(
      "select",
      {
        change: () => {
          this.set(this.points);
          this.point(this.epoch);
        },
      },
      ...options,
    );
    this.one.element.querySelector("h2")?.after(make("label", { class: "tools" }, "Node ", this.choice));
    this.element = make("div", {}, this.all.element, this.one.element);
  }

  private get hasCodes(): boolean {
    return this.points.some(({ choices }) => choices !== undefined);
  }

  set(points: readonly Point[]): void {
    this.points = points;
    this.element.hidden = !this.hasCodes;
    if (!this.hasCodes) return;
    const epochs = points.map(({ epoch }) => epoch + 1);
    const { choices } = this.space;
    const ofAll = (value: (choice: ChoicePoint) => number | undefined): Line[] =>
      choices.map(({ name }, index) => ({
        label: name,
        values: over(points, (point) => {
          const one = point.choices?.[index];
          return one === undefined ? undefined : value(one);
        }),
      }));
    this.all.set(
      "residual",
      {
        title: "Residual of the recovery",
        unit: "share of b",
        format: formatNumber,
        note: "What of b the kept connections cannot say; 0 is a code of just these.",
      },
      { epochs, lines: ofAll(({ residual }) => residual) },
    );
    this.all.set(
      "distance",
      { title: "Movement of the sparse code", unit: "in an epoch", format: formatNumber, logarithmic: true },
      {
        epochs,
        lines: ofAll(({ distance }) => (distance !== undefined && distance > 0 ? distance : undefined)),
      },
    );
    const frozen = over(points, ({ choices: all }) =>
      all?.some((one) => one.frozen !== undefined) ? all.filter((one) => one.frozen).length : undefined,
    );
    // A two-stage search never freezes anything.
    const freezes = frozen.some((count) => (count ?? 0) > 0);
    this.all.set(
      "frozen",
      { title: "Frozen nodes", unit: `of ${choices.length}`, format: formatNumber },
      { epochs, lines: freezes ? [{ label: "frozen", values: frozen }] : [] },
    );
    this.setOne(points, epochs);
  }

  private setOne(points: readonly Point[], epochs: readonly number[]): void {
    const index = Number(this.choice.value);
    const own = points.map(({ choices }) => choices?.[index]);
    const entries = Math.max(0, ...own.map((one) => one?.b?.length ?? 0));
    const code = Array.from({ length: entries }, (_, entry) => ({
      label: `b${entry + 1}`,
      values: own.map((one) => one?.b?.[entry] ?? null),
      width: 1.5,
    }));
    this.one.set(
      "code",
      { title: "Compressed code b", unit: "", format: formatNumber, note: "What Adam moves." },
      { epochs, lines: code },
    );
    const kept = [...new Set(points.flatMap(({ support }) => support?.[index] ?? []))];
    const perCandidate = (which: "w" | "z"): Line[] =>
      kept.map((candidate) => ({
        label: this.name(index, candidate),
        values: points.map(({ support, choices }) => {
          const slot = support?.[index]?.indexOf(candidate) ?? -1;
          return slot < 0 ? null : (choices?.[index]?.[which]?.[slot] ?? null);
        }),
      }));
    this.one.set(
      "weights",
      { title: "Weights w of the kept connections", unit: "", format: formatNumber },
      { epochs, lines: perCandidate("w") },
    );
    this.one.set(
      "sparse",
      { title: "Sparse code z", unit: "", format: formatNumber },
      { epochs, lines: perCandidate("z") },
    );
    this.one.set(
      "mixtures",
      {
        title: "Weights of the candidates",
        unit: "%",
        format: formatShare,
        note: "The eight that are largest in the end.",
      },
      { epochs, lines: this.mixtures(own, index) },
    );
  }

  private name(choice: number, candidate: number): string {
    const [operation, from] = this.space.choices[choice].candidates[candidate] ?? [0, 0];
    return `${this.space.operations[operation].label} from ${from}`;
  }

  private mixtures(own: readonly (ChoicePoint | undefined)[], choice: number): Line[] {
    const last = own.findLast((one) => one?.mixtures !== undefined)?.mixtures ?? [];
    const { candidates } = this.space.choices[choice];
    const lines = last.flatMap(({ predecessor, weights }, part) => {
      const names = candidates.flatMap(([operation, from]) =>
        from === predecessor ? [this.space.operations[operation].label] : [],
      );
      // A column that can never be kept comes first, where there is one.
      const hidden = weights.length - names.length;
      return weights.map((final, column) => ({
        label: `${column < hidden ? "none" : names[column - hidden]} from ${predecessor}`,
        values: own.map((one) => one?.mixtures?.[part]?.weights[column] ?? null),
        final,
      }));
    });
    return lines.sort((a, b) => b.final - a.final).slice(0, 8);
  }

  /** Puts the cursor of all charts on this epoch, from 1; null: nowhere. */
  point(epoch: number | null): void {
    this.epoch = epoch;
    this.all.point(epoch);
    this.one.point(epoch);
  }

  close(): void {
    this.all.close();
    this.one.close();
  }
}

/** The strips of a search; with trials, of what is tried as well. */
export class StripsBlock {
  readonly element: HTMLElement;
  private readonly answer: Strips;
  private readonly tried: Strips;

  constructor(space: SpaceInfo, onPick: (place: number) => void) {
    const note =
      "A column for each epoch, a row for each connection that a node keeps; the number is the earlier node, a line below means frozen. Still colours: the search has settled.";
    this.answer = new Strips("What it would end with", note, space, onPick);
    this.tried = new Strips("What it tried", "The network that was trained in each epoch.", space, onPick);
    this.element = make("div", {}, this.answer.element, this.tried.element);
  }

  set(points: readonly Point[]): void {
    this.element.hidden = !points.some((point) => answerOf(point) !== undefined);
    this.tried.element.hidden = !points.some(({ answer }) => answer !== undefined);
    this.answer.set(points, answerOf);
    this.tried.set(points, ({ support }) => support);
  }

  point(place: number | null): void {
    this.answer.point(place);
    this.tried.point(place);
  }

  close(): void {
    this.answer.close();
    this.tried.close();
  }
}
