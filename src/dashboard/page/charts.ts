// Curves over epochs with uPlot, in the colours of the page, with one cursor for all.
import type uPlot from "uplot";
import { colour, lineColours, lineDash, make, setText } from "./elements.js";
import type { Values } from "./series.js";

declare global {
  interface Window {
    uPlot: typeof uPlot;
  }
}

export interface Line {
  readonly label: string;
  readonly values: Values;
  /** Number of its colour; its place among the lines where not given. */
  readonly colour?: number;
  /** Points without a line between them. */
  readonly scattered?: boolean;
  readonly dash?: readonly number[];
  readonly width?: number;
  /** Values below and above, as a band behind the line. */
  readonly band?: { readonly low: Values; readonly high: Values };
  /** Not named below the chart: one of many of the same. */
  readonly isQuiet?: boolean;
}

export interface ChartData {
  /** Epochs, from 1; of single steps with the part of the epoch that is done. */
  readonly epochs: readonly number[];
  readonly lines: readonly Line[];
  /** Epochs before which something else begins, with its name. */
  readonly marks?: readonly { readonly epoch: number; readonly words: string }[];
}

export interface ChartOptions {
  readonly title: string;
  /** What is on the vertical axis, such as "%". */
  readonly unit: string;
  /** With as many significant digits as are given, three where none are. */
  readonly format: (value: number, digits?: number) => string;
  /** Below the title. */
  readonly note?: string;
  readonly logarithmic?: boolean;
}

const chartHeight = 200;
const syncKey = "epochs";

/** What must be alike for a chart to be kept and only given other data. */
const shapeOf = ({ lines }: ChartData): string =>
  JSON.stringify(lines.map(({ values: _, band, ...rest }) => ({ ...rest, band: band !== undefined })));

export class Chart {
  readonly element: HTMLElement;
  private readonly frame = make("div", { class: "plot" });
  private readonly empty = make("p", { class: "empty" }, "Nothing recorded");
  private plot: uPlot | null = null;
  private shape = "";
  private marks: NonNullable<ChartData["marks"]> = [];
  private readonly resized: ResizeObserver;
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly redraw = (): void => this.plot?.redraw(false);

  constructor(private readonly options: ChartOptions) {
    const { title, unit, note } = options;
    this.element = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, title, make("span", { class: "unit" }, unit)),
      note === undefined ? null : make("p", { class: "note" }, note),
      this.frame,
      this.empty,
    );
    this.resized = new ResizeObserver(() => {
      const width = Math.floor(this.frame.clientWidth);
      if (width > 0 && this.plot !== null && this.plot.width !== width)
        this.plot.setSize({ width, height: chartHeight });
    });
    this.resized.observe(this.frame);
    this.dark.addEventListener("change", this.redraw);
  }

  /** Shows data; lines without any value are left out. */
  set(data: ChartData): void {
    const lines = data.lines.filter(({ values }) => values.some((value) => value !== null));
    this.empty.hidden = lines.length > 0;
    this.frame.hidden = lines.length === 0;
    this.marks = data.marks ?? [];
    if (lines.length === 0) {
      this.remove();
      return;
    }
    const columns = [
      data.epochs,
      ...lines.flatMap(({ values, band }) => (band === undefined ? [values] : [values, band.high, band.low])),
    ] as unknown as uPlot.AlignedData;
    const shape = shapeOf({ ...data, lines });
    if (this.plot !== null && shape === this.shape) {
      this.plot.setData(columns);
      return;
    }
    this.remove();
    this.shape = shape;
    const width = Math.max(200, Math.floor(this.frame.clientWidth));
    this.plot = new window.uPlot(this.plotOptions(lines, width), columns, this.frame);
  }

  /** Puts the cursor on this epoch, from 1; null: nowhere. */
  point(epoch: number | null): void {
    if (this.plot === null) return;
    const { over } = this.plot;
    // Outside of it there is none.
    const left = epoch === null ? -10 : this.plot.valToPos(epoch, "x");
    this.plot.setCursor({ left, top: epoch === null ? -10 : over.clientHeight / 2 });
  }

  private series(lines: readonly Line[]): uPlot.Series[] {
    const { format } = this.options;
    const value = (_: uPlot, raw: number | null): string => (raw === null ? "–" : format(raw));
    return lines.flatMap((line, index): uPlot.Series[] => {
      const number = line.colour ?? index;
      const stroke = (): string => colour(lineColours[number % lineColours.length]);
      const hidden = { stroke: "transparent", points: { show: false }, label: `${line.label} ±`, value };
      return [
        {
          label: line.label,
          stroke,
          width: line.width ?? 2,
          dash: [...(line.dash ?? lineDash(number))],
          spanGaps: true,
          value,
          ...(line.scattered ? { paths: () => null } : {}),
          points: line.scattered ? { show: true, size: 6, fill: stroke } : { size: 5, fill: stroke },
        },
        ...(line.band === undefined ? [] : [hidden, hidden]),
      ];
    });
  }

  private plotOptions(lines: readonly Line[], width: number): uPlot.Options {
    const { format, logarithmic } = this.options;
    const axis = {
      stroke: () => colour("faint"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: () => colour("grid"), width: 1 },
      ticks: { stroke: () => colour("grid"), width: 1, size: 4 },
    };
    let place = 0;
    const bands: uPlot.Band[] = [];
    for (const [index, line] of lines.entries()) {
      place += 1;
      if (line.band === undefined) continue;
      const number = line.colour ?? index;
      bands.push({
        series: [place + 1, place + 2],
        fill: () =>
          `color-mix(in srgb, ${colour(lineColours[number % lineColours.length])} 22%, transparent)`,
      } as unknown as uPlot.Band);
      place += 2;
    }
    return {
      width,
      height: chartHeight,
      series: [
        { label: "epoch", value: (_, raw) => (raw === null ? "–" : formatNumber(raw, 6)) },
        ...this.series(lines),
      ],
      bands,
      scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : {} },
      axes: [
        { ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
        {
          ...axis,
          size: 62,
          values: (_, splits) => axisLabels(splits, format),
        },
      ],
      cursor: {
        sync: { key: syncKey, setSeries: false },
        points: { size: 7 },
        drag: { x: true, y: false },
      },
      legend: { show: !lines.every(({ isQuiet }) => isQuiet) && lines.length <= 12 },
      hooks: {
        draw: [(plot) => this.drawMarks(plot)],
        // Without a cursor the last values are told.
        setLegend: [
          (plot) => {
            const last = plot.data[0].length - 1;
            if (plot.legend.idx === null && last >= 0) plot.setLegend({ idx: last }, false);
          },
        ],
      },
    };
  }

  private drawMarks(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("faint");
    ctx.fillStyle = colour("faint");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.setLineDash([4, 4]);
    for (const { epoch, words } of this.marks) {
      const x = Math.round(plot.valToPos(epoch - 0.5, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(words, x + 4 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }

  private remove(): void {
    this.plot?.destroy();
    this.plot = null;
  }

  close(): void {
    this.remove();
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.redraw);
  }
}

/** As many digits as tell the labels apart. */
function axisLabels(splits: readonly (number | null)[], format: ChartOptions["format"]): (string | null)[] {
  for (let digits = 3; ; digits++) {
    const labels = splits.map((one) => (one === null ? null : format(one, digits)));
    if (digits === 7 || new Set(labels).size === new Set(splits).size) return labels;
  }
}

/** Numbers of any size in few letters. */
export function formatNumber(value: number, digits = 3): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(Math.max(1, digits - 2));
  return String(Number(value.toPrecision(digits)));
}

/** A share of 0..1 in per cent. */
export const formatShare = (value: number, digits = 3): string => `${formatNumber(100 * value, digits)} %`;

/** Memory, without letters that an axis has no room for. */
export const formatMemory = (bytes: number, digits = 3): string =>
  bytes >= 2 ** 30
    ? `${formatNumber(bytes / 2 ** 30, digits)} GiB`
    : `${formatNumber(bytes / 2 ** 20, digits)} MiB`;

/** Charts beside each other; what has nothing to show is left out. */
export class ChartGrid {
  readonly element: HTMLElement;
  private readonly charts = new Map<string, Chart>();

  constructor(title: string) {
    this.element = make("section", { class: "block", hidden: true }, make("h2", {}, title));
    this.grid = make("div", { class: "charts" });
    this.element.append(this.grid);
  }

  private readonly grid: HTMLElement;

  /** Changes or adds a chart. */
  set(name: string, options: ChartOptions, data: ChartData): void {
    const isEmpty = data.lines.every(({ values }) => values.every((value) => value === null));
    let chart = this.charts.get(name);
    if (chart === undefined) {
      if (isEmpty) return;
      chart = new Chart(options);
      this.charts.set(name, chart);
      this.grid.append(chart.element);
    }
    const unit = chart.element.querySelector(".unit");
    if (unit !== null) setText(unit, options.unit);
    chart.element.hidden = isEmpty;
    chart.set(data);
    this.element.hidden = [...this.charts.values()].every(({ element }) => element.hidden);
  }

  point(epoch: number | null): void {
    for (const chart of this.charts.values()) chart.point(epoch);
  }

  close(): void {
    for (const chart of this.charts.values()) chart.close();
  }
}
