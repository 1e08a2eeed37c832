// The strip of operations by epoch: a row for each kept connection, a column for each epoch, the colour is the operation.
import type { ChoiceInfo, Point, SpaceInfo } from "../types.js";
import { colour, make, setText } from "./elements.js";
import { slotsOf } from "./series.js";
import type { Kept } from "./verdicts.js";

const rowHeight = 17;
const choiceGap = 5;
const labelWidth = 64;
/** From here on there is room for the number of the earlier node in a cell. */
const cellWithNumber = 15;
const widestCell = 40;

interface Row {
  readonly choice: number;
  readonly slot: number;
  readonly top: number;
}

/** "normal node 2" in the strip of the group "normal" is just "node 2". */
const shortName = ({ name, group }: ChoiceInfo): string =>
  name.startsWith(`${group} `) ? name.slice(group.length + 1) : name;

/** The strip of one group of choices, such as the normal cells. */
class GroupStrip {
  readonly element: HTMLElement;
  private readonly canvas = make("canvas", { role: "img" });
  private readonly readout = make("p", { class: "note" });
  private readonly rows: Row[];
  private readonly height: number;
  private slots = new Map<number, (number | null)[][]>();
  private points: readonly Point[] = [];
  private place: number | null = null;
  private readonly resized = new ResizeObserver(() => this.draw());
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly redraw = (): void => this.draw();

  constructor(
    title: string,
    private readonly space: SpaceInfo,
    private readonly choices: readonly number[],
    private readonly onPick: (place: number) => void,
  ) {
    let top = 0;
    this.rows = choices.flatMap((choice) => {
      const rows = Array.from({ length: space.choices[choice].kept }, (_, slot) => {
        const row = { choice, slot, top };
        top += rowHeight;
        return row;
      });
      top += choiceGap;
      return rows;
    });
    this.height = top - choiceGap;
    this.element = make(
      "figure",
      { class: "strip" },
      make("figcaption", {}, title),
      this.canvas,
      this.readout,
    );
    this.canvas.addEventListener("pointermove", (event) => this.tell(event));
    this.canvas.addEventListener("pointerleave", () => setText(this.readout, this.summary()));
    this.canvas.addEventListener("click", (event) => {
      const at = this.placeOf(event);
      if (at !== null) this.onPick(at);
    });
    this.resized.observe(this.element);
    this.dark.addEventListener("change", this.redraw);
  }

  set(points: readonly Point[], which: (point: Point) => Kept | undefined): void {
    this.points = points;
    const kept = points.map(which);
    this.slots = new Map(
      this.choices.map((choice) => [choice, slotsOf(kept.map((selection) => selection?.[choice]))]),
    );
    setText(this.readout, this.summary());
    this.canvas.setAttribute("aria-label", this.summary());
    this.draw();
  }

  point(place: number | null): void {
    this.place = place;
    this.draw();
  }

  close(): void {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.redraw);
  }

  private candidate(choice: number, slot: number, place: number): number | null {
    return this.slots.get(choice)?.[place]?.[slot] ?? null;
  }

  private changedAt({ choice, slot }: Row, place: number): boolean {
    return place > 0 && this.candidate(choice, slot, place) !== this.candidate(choice, slot, place - 1);
  }

  /** The strip in words, for those who cannot see it, and below it. */
  private summary(): string {
    const still = this.choices.filter((choice) => {
      const rows = this.rows.filter((row) => row.choice === choice);
      return !this.points.some((_, place) => rows.some((row) => this.changedAt(row, place)));
    });
    const changes = this.points.reduce(
      (sum, _, place) => sum + this.rows.filter((row) => this.changedAt(row, place)).length,
      0,
    );
    const names = still.map((choice) => shortName(this.space.choices[choice])).join(", ");
    const never = still.length === 0 ? "" : still.length === this.choices.length ? "" : `; never: ${names}`;
    return changes === 0 ? "No change so far" : `${changes} changes in ${this.points.length} epochs${never}`;
  }

  private get cellWidth(): number {
    const width = this.element.clientWidth - labelWidth;
    return Math.min(widestCell, width / Math.max(1, this.points.length));
  }

  private placeOf({ offsetX }: MouseEvent): number | null {
    const place = Math.floor((offsetX - labelWidth) / this.cellWidth);
    return place >= 0 && place < this.points.length ? place : null;
  }

  private tell(event: PointerEvent): void {
    const place = this.placeOf(event);
    const row = this.rows.find(({ top }) => event.offsetY >= top && event.offsetY < top + rowHeight);
    const candidate =
      place === null || row === undefined ? null : this.candidate(row.choice, row.slot, place);
    if (place === null || row === undefined || candidate === null) {
      setText(this.readout, this.summary());
      return;
    }
    const choice = this.space.choices[row.choice];
    const [operation, from] = choice.candidates[candidate] ?? [0, 0];
    const frozen = this.points[place].choices?.[row.choice]?.frozen === true ? ", frozen" : "";
    const words = `${this.space.operations[operation].label} from ${from}${frozen}`;
    setText(this.readout, `Epoch ${this.points[place].epoch + 1}, ${shortName(choice)}: ${words}`);
  }

  private draw(): void {
    const width = this.element.clientWidth;
    if (width === 0) return;
    const scale = devicePixelRatio;
    const { canvas } = this;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round((this.height + 1) * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${this.height + 1}px`;
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.scale(scale, scale);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const [ink, faint, card] = [colour("ink"), colour("faint"), colour("card")];
    const cell = this.cellWidth;
    for (const choice of this.choices) {
      const own = this.rows.filter((row) => row.choice === choice);
      const middle = own[0].top + (own.length * rowHeight) / 2;
      context.fillStyle = faint;
      context.textAlign = "left";
      context.fillText(shortName(this.space.choices[choice]), 0, middle, labelWidth - 6);
    }
    context.textAlign = "center";
    for (const row of this.rows)
      for (let place = 0; place < this.points.length; place += this.lasts(row, place))
        this.drawStretch(context, row, place, cell, card);
    const { place } = this;
    if (place !== null && place < this.points.length) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.strokeRect(labelWidth + place * cell, 1, Math.max(2, cell), this.height - 1);
    }
  }

  /** Epochs in which a row does not change, as one rectangle. */
  private drawStretch(
    context: CanvasRenderingContext2D,
    row: Row,
    place: number,
    cell: number,
    card: string,
  ): void {
    const candidate = this.candidate(row.choice, row.slot, place);
    if (candidate === null) return;
    const [operation, from] = this.space.choices[row.choice].candidates[candidate] ?? [0, 0];
    const { fill, ink } = this.space.operations[operation];
    const x = labelWidth + place * cell;
    const count = this.lasts(row, place);
    context.fillStyle = fill;
    context.fillRect(x, row.top, count * cell, rowHeight - 1);
    if (place > 0) {
      // Seen also where only the earlier node is another one.
      context.fillStyle = card;
      context.fillRect(x - 0.75, row.top, 1.5, rowHeight - 1);
    }
    context.fillStyle = ink;
    for (let at = place; at < place + count; at++)
      if (this.points[at].choices?.[row.choice]?.frozen === true)
        context.fillRect(labelWidth + at * cell, row.top + rowHeight - 3, cell, 2);
    const middle = row.top + rowHeight / 2;
    if (cell >= cellWithNumber)
      for (let at = place; at < place + count; at++)
        context.fillText(String(from), labelWidth + (at + 0.5) * cell, middle);
    else if (count * cell >= cellWithNumber) context.fillText(String(from), x + 7.5, middle);
  }

  /** Epochs from a place on in which a row does not change. */
  private lasts(row: Row, place: number): number {
    let count = 1;
    while (place + count < this.points.length && !this.changedAt(row, place + count)) count++;
    return count;
  }
}

/** The strips of all groups with a legend. */
export class Strips {
  readonly element: HTMLElement;
  private readonly strips: GroupStrip[];

  constructor(title: string, note: string, space: SpaceInfo, onPick: (place: number) => void) {
    const groups = [...new Set(space.choices.map(({ group }) => group))];
    const choicesOf = (group: string): number[] =>
      [...space.choices.keys()].filter((choice) => space.choices[choice].group === group);
    this.strips = groups.map(
      (group) =>
        new GroupStrip(`${group[0].toUpperCase()}${group.slice(1)}`, space, choicesOf(group), onPick),
    );
    const legend = space.operations.map(({ label, fill }) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = fill;
      return make("li", {}, swatch, label);
    });
    this.element = make(
      "section",
      { class: "block" },
      make("h2", {}, title),
      make("p", { class: "note" }, note),
      make("div", { class: "strips" }, ...this.strips.map(({ element }) => element)),
      make("ul", { class: "legend" }, ...legend),
    );
  }

  set(points: readonly Point[], which: (point: Point) => Kept | undefined): void {
    for (const strip of this.strips) strip.set(points, which);
  }

  point(place: number | null): void {
    for (const strip of this.strips) strip.point(place);
  }

  close(): void {
    for (const strip of this.strips) strip.close();
  }
}
