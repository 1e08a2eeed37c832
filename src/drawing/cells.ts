// Drawings of architectures of any space: an SVG of its cells, and text for the terminal.

import { printable } from "../base/terminal.js";
import { operationLook } from "../space/operation.js";
import type { CellSketch, TerminalLabel } from "../space/sketch.js";
import type { Architecture, Selection } from "../space/space.js";
import { type DrawnCell, type DrawnConnection, layoutCell, metrics, type Point } from "./layout.js";

/** Text for between tags of an SVG document. */
export const escapeXml = (text: string): string =>
  // Most control characters are not allowed in XML at all, and direction marks would show another text here, too.
  printable(text)
    .replace(/[\ufffe\uffff]/g, "")
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

function pill(at: Point, operation: string, suffix: string, isNew = false): string {
  const { label, colour } = operationLook(operation);
  const { fill, ink } = colour;
  const { pillWidth: width, pillHeight: height } = metrics;
  return [
    isNew
      ? `<rect class="new" x="${number(at.x - 3)}" y="${number(at.y - height / 2 - 3)}" width="${width + 6}" height="${height + 6}" rx="${height / 2 + 3}"/>`
      : "",
    `<rect x="${number(at.x)}" y="${number(at.y - height / 2)}" width="${width}" height="${height}" rx="${height / 2}" fill="${fill}"/>`,
    `<text class="op" x="${number(at.x + width / 2)}" y="${number(at.y + 4.3)}" fill="${ink}">${escapeXml(label)}${suffix}</text>`,
  ].join("");
}

function terminal(centre: Point, { text, subscript }: TerminalLabel): string {
  const { terminalWidth: width, terminalHeight: height } = metrics;
  const [x, y] = [centre.x - width / 2, centre.y - height / 2];
  return [
    `<rect class="end" x="${number(x)}" y="${number(y)}" width="${width}" height="${height}" rx="7"/>`,
    `<text class="name" x="${number(centre.x)}" y="${number(centre.y + 4)}">${subscript === "" ? escapeXml(text) : `<tspan font-style="italic">${escapeXml(text)}</tspan><tspan class="sub" dy="4">${escapeXml(subscript)}</tspan>`}</text>`,
  ].join("");
}

/** @param before the cell that this one is compared with: connections that it does not have are marked */
function drawCell(cell: DrawnCell, sketch: CellSketch, before?: CellSketch): string {
  const lines: string[] = [];
  const front: string[] = [];
  for (const { outputCourse } of cell.nodes)
    if (outputCourse !== null) lines.push(`<path class="out" d="${path(outputCourse)}"/>`);
  for (const [index, node] of cell.nodes.entries()) {
    const earlier = before?.nodes[index].connections;
    for (const connection of node.connections) {
      const { operation, from } = connection;
      const isNew = earlier?.some((one) => one.operation === operation && one.from === from) === false;
      const { fill } = operationLook(operation).colour;
      lines.push(`<path class="edge" stroke="${fill}" d="${path(connection.course)}"/>`);
      lines.push(`<path class="edge" stroke="${fill}" d="${joinPath(connection, node.centre)}"/>`);
      front.push(pill(connection.pill, operation, connection.suffix, isNew));
    }
    const { x, y } = node.centre;
    front.push(`<circle class="node" cx="${number(x)}" cy="${number(y)}" r="${metrics.nodeRadius}"/>`);
    front.push(`<text class="name" x="${number(x)}" y="${number(y + 4.5)}">${escapeXml(node.label)}</text>`);
  }
  for (const [index, label] of sketch.inputs.entries()) front.push(terminal(cell.inputs[index], label));
  front.push(terminal(cell.output, sketch.output));
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
.edge{fill:none;stroke-width:2.4}.new{fill:none;stroke:#1c2128;stroke-width:2.6}.out{fill:none;stroke:#9aa4af;stroke-width:1.4;stroke-dasharray:2 4;stroke-linecap:round}
@media (prefers-color-scheme:dark){.panel{fill:#161b22;stroke:#3d444d}.name,.title{fill:#e6edf3}.note{fill:#9198a1}
.new{stroke:#e6edf3}.end{fill:#262c36;stroke:#9198a1}.node{fill:#161b22;stroke:#e6edf3}.out{stroke:#6e7681}}
`;

const margin = 28;
const titleHeight = 46;
const legendRow = 30;

/** The legend's rows: swatches of the operations that occur, as many in a row as the width holds. */
function drawLegend(
  used: readonly string[],
  note: string,
  width: number,
  top: number,
): { svg: string; height: number } {
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
    `<path class="out" d="M${margin} ${number(y)}h34"/>`,
    `<text class="note" x="${margin + 44}" y="${number(y + 4)}">${escapeXml(note)}</text>`,
  );
  return { svg: parts.join("\n"), height: (rows + 1) * legendRow };
}

export interface DrawingOptions {
  /** A line above the cells, such as the name of the run. */
  readonly title?: string;
  /** The architecture before, of the same space: connections that it did not have are ringed. */
  readonly before?: Selection;
}

/** What the lines of the drawing mean. */
function legendNote(cells: readonly CellSketch[]): string {
  const suffixes = new Set(
    cells.flatMap(({ nodes }) => nodes.flatMap(({ connections }) => connections.map(({ suffix }) => suffix))),
  );
  const stride = suffixes.has(" /2") ? " · /2: stride 2" : "";
  return `${cells[0].outputNote} · a node adds its operations${stride}`;
}

/**
 * The cells of an architecture as an SVG document: inputs left, output right, the operations in front of the node that adds them.
 * It brings its own panel, so that it can be read on any background, follows the reader's dark mode, and needs no fonts or files.
 */
export function drawSvg({ space, selection }: Architecture, options: DrawingOptions = {}): string {
  const sketches = space.sketch(selection);
  const earlier = options.before === undefined ? [] : space.sketch(options.before);
  const cells = sketches.map((sketch, index) => ({
    sketch,
    cell: layoutCell(sketch),
    before: earlier.at(index),
  }));
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
  for (const { sketch, cell, before } of cells) {
    body.push(
      `<text class="title" x="${margin}" y="${top + 8}">${escapeXml(sketch.title)}<tspan class="note" font-size="13" font-weight="400" dx="10">${escapeXml(sketch.note)}</tspan></text>`,
      `<g transform="translate(${number(margin + (inner - cell.width) / 2)} ${number(top + titleHeight)})">`,
      drawCell(cell, sketch, before),
      "</g>",
    );
    top += titleHeight + cell.height + margin + 12;
  }
  const chosen = sketches.flatMap(({ nodes }) =>
    nodes.flatMap(({ connections }) => connections.map(({ operation }) => operation)),
  );
  const order = space.choices.flatMap(({ candidates }) => candidates.map(({ operation }) => operation));
  const used = [...new Set(order)].filter((operation) => chosen.includes(operation));
  const legend = drawLegend(
    used,
    `${legendNote(sketches)}${options.before === undefined ? "" : " · ringed: new"}`,
    inner,
    top,
  );
  const height = top + legend.height + margin / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${number(width)}" height="${number(height)}" viewBox="0 0 ${number(width)} ${number(height)}" role="img">
<title>${escapeXml(options.title ?? sketches.map(({ title }) => title).join(", "))}</title>
<style>${style}</style>
<rect class="panel" x="0.5" y="0.5" width="${number(width - 1)}" height="${number(height - 1)}" rx="12"/>
${body.join("\n")}
${legend.svg}
</svg>
`;
}

const terminalText = ({ text, subscript }: TerminalLabel): string =>
  subscript === "" ? text : `${text}_{${subscript.replace("−", "-")}}`;

const widthOf = ({ nodes }: CellSketch): number =>
  Math.max(
    ...nodes.flatMap(({ connections }) => connections.map((one) => one.operation.length + one.suffix.length)),
  );

/** @param width of the column of operations, one for all cells of a drawing */
function textOfCell(sketch: CellSketch, width: number): string[] {
  const { title, inputs, nodes, output, outputFrom, outputNote } = sketch;
  const nameOf = (index: number): string =>
    index < inputs.length ? terminalText(inputs[index]) : `node ${nodes[index - inputs.length].label}`;
  const lines = nodes.flatMap(({ label, connections }) =>
    connections.map(({ operation, suffix, from }, index) => {
      const line = `  ${nameOf(from).padEnd(8)}── ${`${operation}${suffix} `.padEnd(width, "─")}`;
      const last = index === connections.length - 1;
      const corner = last ? (index === 0 ? "──" : "─┴") : index === 0 ? "─┐" : "─┤";
      return last ? `${line}${corner}─▶ node ${label}` : `${line}${corner}`;
    }),
  );
  const parts = outputFrom.map((index) => nodes[index - inputs.length].label).join(", ");
  const from = outputFrom.length === 1 ? `node ${parts}` : `nodes ${parts}`;
  return [title, ...lines, `  ${from} ── ${outputNote} ──▶ ${terminalText(output)}`];
}

/** The cells as lines of text for a terminal; `/2` marks operations of stride 2. */
export function drawText({ space, selection }: Architecture): string {
  const sketches = space.sketch(selection);
  const width = Math.max(...sketches.map(widthOf)) + 2;
  return sketches.map((sketch) => textOfCell(sketch, width).join("\n")).join("\n\n");
}
