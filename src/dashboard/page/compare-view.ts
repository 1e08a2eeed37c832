// Several runs laid over each other: a line each, or mean and band of those that differ in the seed alone.
import type { Point, RunRow } from "../types.js";
import {
  ChartGrid,
  type ChartOptions,
  formatMemory,
  formatNumber,
  formatShare,
  type Line,
} from "./charts.js";
import { colour, lineColours, make, setText, type View } from "./elements.js";
import { runAddress } from "./list.js";
import { bandOf, commonEpochs, valuesAt } from "./series.js";
import type { Source } from "./source.js";

interface Group {
  readonly name: string;
  readonly members: readonly { readonly row: RunRow; readonly points: readonly Point[] }[];
}

const figures: readonly (readonly [
  name: string,
  title: string,
  unit: string,
  format: ChartOptions["format"],
])[] = [
  ["loss", "Training loss", "cross entropy", formatNumber],
  ["validationLoss", "Held-out loss", "cross entropy", formatNumber],
  ["accuracy", "Training accuracy", "of images", formatShare],
  ["validationAccuracy", "Held-out accuracy", "of images", formatShare],
  ["newConnections", "New connections in the answer", "in an epoch", formatNumber],
  ["connectionsTried", "Connections tried so far", "", formatNumber],
  ["parameters", "Size of the network", "parameters", formatNumber],
  ["learningRate", "Learning rate", "", formatNumber],
  ["imagesPerSecond", "Speed", "images/s", formatNumber],
  ["residentBytes", "Memory", "of the process", formatMemory],
];

/** What the names of a group's runs begin with, or the method where they share nothing. */
function groupName(members: Group["members"]): string {
  const rows = members.map(({ row }) => row);
  if (rows.length === 1) return rows[0].id;
  const [first, ...rest] = rows.map(({ id }) => id);
  let length = first.length;
  for (const other of rest) while (!other.startsWith(first.slice(0, length))) length -= 1;
  const common = first.slice(0, length).replace(/[-_/ ]*(seed)?[-_/ ]*$/, "");
  return `${common === "" ? (rows[0].method ?? rows[0].kind ?? "runs") : common} (${rows.length} seeds)`;
}

export class CompareView implements View {
  readonly wish: { ids: readonly string[]; detailed: boolean };
  readonly trail: string;
  readonly element = make("article");
  private readonly legend = make("ul", { class: "legend groups" });
  private readonly grid = new ChartGrid("Curves");
  private readonly together: HTMLInputElement;
  private readonly words = make("p", { class: "note" });

  constructor(
    private readonly source: Source,
    ids: readonly string[],
  ) {
    this.wish = { ids, detailed: false };
    this.trail = `${ids.length} runs`;
    this.together = make("input", {
      type: "checkbox",
      id: "together",
      checked: true,
      change: () => this.update(),
    });
    const label = make("label", { for: "together" }, "Mean and band of runs that differ in the seed alone");
    this.element.append(
      make("h1", {}, "Runs over each other"),
      make("p", { class: "tools whole" }, this.together, label),
      this.words,
      this.legend,
      this.grid.element,
    );
  }

  private groups(): Group[] {
    const byKey = new Map<string, { row: RunRow; points: readonly Point[] }[]>();
    for (const id of this.wish.ids) {
      const row = this.source.rows.get(id);
      if (row === undefined) continue;
      const key = this.together.checked ? row.group : id;
      const members = byKey.get(key) ?? [];
      members.push({ row, points: this.source.runs.get(id)?.points ?? [] });
      byKey.set(key, members);
    }
    const groups = [...byKey.values()].map((members) => ({ name: groupName(members), members }));
    // Named alike but not made alike.
    return groups.map((group, index) => {
      const isUnique = groups.every(({ name }, other) => other === index || name !== group.name);
      const [{ row }] = group.members;
      return isUnique ? group : { ...group, name: `${group.name}, ${row.method ?? row.kind}` };
    });
  }

  update(): void {
    const groups = this.groups();
    const epochs = commonEpochs(groups.flatMap(({ members }) => members.map(({ points }) => points)));
    const banded = groups.some(({ members }) => members.length > 1);
    setText(
      this.words,
      banded
        ? "Line: mean over the seeds that have come so far. Band: one standard deviation around it."
        : "",
    );
    for (const [name, title, unit, format] of figures) {
      const lines = groups.map(({ name: label, members }, index): Line => {
        const values = members.map(({ points }) => valuesAt(points, epochs, name));
        const common = { label, colour: index, isQuiet: true };
        if (members.length === 1) return { ...common, values: values[0] };
        const { mean, low, high } = bandOf(values);
        return { ...common, values: mean, band: { low, high } };
      });
      this.grid.set(name, { title, unit, format }, { epochs, lines });
    }
    this.legend.replaceChildren(
      ...groups.map(({ name, members }, index) => {
        const swatch = make("span", { class: `swatch dash${Math.floor(index / lineColours.length) % 4}` });
        swatch.style.borderColor = colour(lineColours[index % lineColours.length]);
        const links = members.flatMap(({ row }, place) => [
          place === 0 ? "" : ", ",
          make("a", { href: runAddress(row.id) }, members.length === 1 ? row.id : `seed ${row.seed}`),
        ]);
        return make("li", {}, swatch, members.length === 1 ? null : `${name}: `, ...links);
      }),
    );
  }

  close(): void {
    this.grid.close();
  }
}
