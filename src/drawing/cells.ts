// Drawings of genotypes: an SVG of both cells, and text for the terminal.

import { type Primitive, primitives } from "../space/darts.js";
import type { Genotype, GenotypePair } from "../space/genotype.js";
import { type DrawnCell, type DrawnConnection, layoutCell, metrics, type Point } from "./layout.js";

/** Fill and text of each operation: colours of Okabe and Ito (2008), told apart with any colour vision. */
const colours: Readonly<Record<Primitive, { readonly fill: string; readonly ink: string }>> = {
  max_pool_3x3: { fill: "#e69f00", ink: "#1b1200" },
  avg_pool_3x3: { fill: "#d55e00", ink: "#190900" },
  skip_connect: { fill: "#6b737e", ink: "#ffffff" },
  sep_conv_3x3: { fill: "#56b4e9", ink: "#04121c" },
  sep_conv_5x5: { fill: "#0072b2", ink: "#ffffff" },
  dil_conv_3x3: { fill: "#009e73", ink: "#00140e" },
  dil_conv_5x5: { fill: "#cc79a7", ink: "#1f0715" },
};

const label = (operation: Primitive): string =>
  operation === "skip_connect" ? "skip" : operation.replaceAll("_", " ").replace(/(\d)x(\d)/, "$1×$2");

/** Text for between tags of an SVG document. */
export const escapeXml = (text: string): string =>
  // Control characters are not allowed in XML at all.
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be removed
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");

const number = (value: number): string => String(Math.round(value * 10) / 10);

/** A smooth line through the points: curves across the gaps between columns, straight through a column. */
function path(course: readonly Point[]): string {
  const parts = [`M${number(course[0].x)} ${number(course[0].y)}`];
  for (let i = 1; i < course.length; i++) {
    const [from, to] = [course[i - 1], course[i]];
    if (i % 2 === 0) {
      parts.push(`H${number(to.x)}`);
      continue;
    }
    const bend = (to.x - from.x) * 0.5;
    parts.push(
      `C${number(from.x + bend)} ${number(from.y)} ${number(to.x - bend)} ${number(to.y)} ${number(to.x)} ${number(to.y)}`,
    );
  }
  return parts.join("");
}

function pill(at: Point, operation: Primitive, suffix: string): string {
  const { fill, ink } = colours[operation];
  const { pillWidth: width, pillHeight: height } = metrics;
  return [
    `<rect x="${number(at.x)}" y="${number(at.y - height / 2)}" width="${width}" height="${height}" rx="${height / 2}" fill="${fill}"/>`,
    `<text class="op" x="${number(at.x + width / 2)}" y="${number(at.y + 4.3)}" fill="${ink}">${label(operation)}${suffix}</text>`,
  ].join("");
}

/** Text with a subscript in italics, such as c with k-2. */
function terminal(centre: Point, subscript: string): string {
  const { terminalWidth: width, terminalHeight: height } = metrics;
  const [x, y] = [centre.x - width / 2, centre.y - height / 2];
  return [
    `<rect class="end" x="${number(x)}" y="${number(y)}" width="${width}" height="${height}" rx="7"/>`,
    `<text class="name" x="${number(centre.x)}" y="${number(centre.y + 4)}"><tspan font-style="italic">c</tspan><tspan class="sub" dy="4">${subscript}</tspan></text>`,
  ].join("");
}

function drawCell(cell: DrawnCell, reduction: boolean): string {
  const lines: string[] = [];
  const front: string[] = [];
  for (const node of cell.nodes) lines.push(`<path class="out" d="${path(node.outputCourse)}"/>`);
  for (const node of cell.nodes) {
    for (const connection of node.connections) {
      const { fill } = colours[connection.operation];
      lines.push(`<path class="edge" stroke="${fill}" d="${path(connection.course)}"/>`);
      lines.push(`<path class="edge" stroke="${fill}" d="${joinPath(connection, node.centre)}"/>`);
      front.push(
        pill(connection.pill, connection.operation, reduction && connection.predecessor < 2 ? " /2" : ""),
      );
    }
    const { x, y } = node.centre;
    front.push(`<circle class="node" cx="${number(x)}" cy="${number(y)}" r="${metrics.nodeRadius}"/>`);
    front.push(`<text class="name" x="${number(x)}" y="${number(y + 4.5)}">${node.index}</text>`);
  }
  front.push(terminal(cell.inputs[0], "k−2"), terminal(cell.inputs[1], "k−1"), terminal(cell.output, "k"));
  return [...lines, ...front].join("\n");
}

function joinPath({ pill: at }: DrawnConnection, centre: Point): string {
  const start = { x: at.x + metrics.pillWidth, y: at.y };
  return path([start, { x: centre.x - metrics.nodeRadius, y: centre.y }]);
}

const style = `
text{font-family:system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:13px;text-anchor:middle}
.op{font-size:12px;font-weight:600}.sub{font-size:10px}.name{fill:#1c2128;font-weight:600}
.title{fill:#1c2128;font-size:16px;font-weight:700;text-anchor:start}.note{fill:#59636e;text-anchor:start}
.panel{fill:#ffffff;stroke:#d1d9e0}.end{fill:#eef1f4;stroke:#59636e;stroke-width:1.4}.node{fill:#ffffff;stroke:#1c2128;stroke-width:1.8}
.edge{fill:none;stroke-width:2.4}.out{fill:none;stroke:#9aa4af;stroke-width:1.4;stroke-dasharray:2 4;stroke-linecap:round}
@media (prefers-color-scheme:dark){.panel{fill:#161b22;stroke:#3d444d}.name,.title{fill:#e6edf3}.note{fill:#9198a1}
.end{fill:#262c36;stroke:#9198a1}.node{fill:#161b22;stroke:#e6edf3}.out{stroke:#6e7681}}
`;

const margin = 28;
const titleHeight = 46;
const legendRow = 30;

/** The legend's rows: swatches of the operations that occur, as many in a row as the width holds. */
function drawLegend(used: readonly Primitive[], width: number, top: number): { svg: string; height: number } {
  const step = metrics.pillWidth + 16;
  const columns = Math.max(1, Math.floor((width + 16) / step));
  const parts = used.map((operation, index) =>
    pill(
      { x: margin + (index % columns) * step, y: top + 12 + Math.floor(index / columns) * legendRow },
      operation,
      "",
    ),
  );
  const rows = Math.ceil(used.length / columns);
  const y = top + rows * legendRow + 12;
  parts.push(
    `<path class="out" d="M${margin} ${y}h34"/>`,
    `<text class="note" x="${margin + 44}" y="${y + 4}">concatenated · a node adds its two operations · /2: stride 2</text>`,
  );
  return { svg: parts.join("\n"), height: (rows + 1) * legendRow };
}

export interface DrawingOptions {
  /** A line above the cells, such as the name of the run. */
  readonly title?: string;
}

/**
 * Both cells of a genotype as an SVG document: inputs left, output right, the operations in front of the node that adds them.
 * It brings its own panel, so that it can be read on any background, follows the reader's dark mode, and needs no fonts or files.
 */
export function drawGenotypeSvg(genotype: Genotype, options: DrawingOptions = {}): string {
  const cells = [
    { name: "Normal cell", note: "keeps the size", reduction: false, cell: layoutCell(genotype.normal) },
    {
      name: "Reduction cell",
      note: "halves the size, doubles the channels",
      reduction: true,
      cell: layoutCell(genotype.reduce),
    },
  ];
  const inner = Math.max(...cells.map(({ cell }) => cell.width), 560);
  const width = inner + 2 * margin;
  const body: string[] = [];
  let top = margin;
  if (options.title !== undefined) {
    body.push(
      `<text class="title" x="${margin}" y="${top + 8}">${escapeXml(options.title.slice(0, 80))}</text>`,
    );
    top += titleHeight - 12;
  }
  for (const { name, note, reduction, cell } of cells) {
    body.push(
      `<text class="title" x="${margin}" y="${top + 8}">${name}<tspan class="note" font-size="13" font-weight="400" dx="10">${note}</tspan></text>`,
      `<g transform="translate(${number(margin + (inner - cell.width) / 2)} ${number(top + titleHeight)})">`,
      drawCell(cell, reduction),
      "</g>",
    );
    top += titleHeight + cell.height + margin + 12;
  }
  const used = primitives.filter((operation) =>
    [...genotype.normal, ...genotype.reduce].some(([chosen]) => chosen === operation),
  );
  const legend = drawLegend(used, inner, top);
  const height = top + legend.height + margin / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${number(width)}" height="${number(height)}" viewBox="0 0 ${number(width)} ${number(height)}" role="img">
<title>${escapeXml(options.title ?? "Normal and reduction cell")}</title>
<style>${style}</style>
<rect class="panel" x="0.5" y="0.5" width="${number(width - 1)}" height="${number(height - 1)}" rx="12"/>
${body.join("\n")}
${legend.svg}
</svg>
`;
}

function textOfCell(name: string, pairs: readonly GenotypePair[], reduction: boolean): string[] {
  const source = (predecessor: number): string =>
    predecessor === 0 ? "c_{k-2}" : predecessor === 1 ? "c_{k-1}" : `node ${predecessor}`;
  const width = Math.max(...primitives.map(({ length }) => length)) + 5;
  const lines = pairs.map(([operation, predecessor], index) => {
    const stride = reduction && predecessor < 2 ? " /2" : "";
    const line = `  ${source(predecessor).padEnd(8)}── ${`${operation}${stride} `.padEnd(width, "─")}`;
    return index % 2 === 0 ? `${line}─┐` : `${line}─┴─▶ node ${2 + (index - 1) / 2}`;
  });
  return [name, ...lines, "  nodes 2, 3, 4, 5 ── concatenated ──▶ c_{k}"];
}

/** Both cells as lines of text for a terminal; `/2` marks operations of stride 2. */
export function drawGenotypeText(genotype: Genotype): string {
  return [
    ...textOfCell("Normal cell", genotype.normal, false),
    "",
    ...textOfCell("Reduction cell", genotype.reduce, true),
  ].join("\n");
}
