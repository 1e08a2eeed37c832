// Drawings: complete, without overlaps, well-formed for any genotype, and readable where it is drawn.

import * as fc from "fast-check";
import sharp from "sharp";
import { expect, test } from "vitest";
import { RandomStream } from "../base/random.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { operationLook } from "../space/operation.js";
import { randomSelection } from "../space/space.js";
import { drawSvg, drawText } from "./cells.js";
import { layoutCell, metrics, type Point } from "./layout.js";

const published = (name: string) => ({ space: darts, selection: darts.named[name].selection });

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const box = (left: number, y: number, width: number, height: number): Box => ({
  left,
  right: left + width,
  top: y - height / 2,
  bottom: y + height / 2,
});

const apart = (a: Box, b: Box): boolean =>
  a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;

test.each([darts, nasBench201])(
  "boxes of a cell of $name keep apart, lie inside the drawing, and lines pass columns between them",
  (space) => {
    const selections = fc.nat().map((seed) => randomSelection(space, RandomStream.named(seed, "test")));
    fc.assert(
      fc.property(selections, (selection) => {
        const [sketch] = space.sketch(selection);
        const cell = layoutCell(sketch);
        const terminal = ({ x, y }: Point): Box =>
          box(x - metrics.terminalWidth / 2, y, metrics.terminalWidth, metrics.terminalHeight);
        const boxes = [
          ...[...cell.inputs, cell.output].map(terminal),
          ...cell.nodes.flatMap(({ centre, connections }) => [
            box(centre.x - metrics.nodeRadius, centre.y, 2 * metrics.nodeRadius, 2 * metrics.nodeRadius),
            ...connections.map(({ pill }) => box(pill.x, pill.y, metrics.pillWidth, metrics.pillHeight)),
          ]),
        ];
        for (const [i, a] of boxes.entries()) {
          expect(
            a.left >= -1e-6 &&
              a.top >= -1e-6 &&
              a.right <= cell.width + 1e-6 &&
              a.bottom <= cell.height + 1e-6,
          ).toBe(true);
          for (const b of boxes.slice(0, i)) expect(apart(a, b)).toBe(true);
        }
        const outputs = cell.nodes.flatMap(({ outputCourse }) =>
          outputCourse === null ? [] : [outputCourse],
        );
        expect(outputs).toHaveLength(sketch.outputFrom.length);
        const courses = [
          ...outputs,
          ...cell.nodes.flatMap(({ connections }) => connections.map((one) => one.course)),
        ];
        for (const course of courses) {
          // Points come in pairs: out of one column, into the next; every second stretch runs straight through a column.
          expect(course.length % 2).toBe(0);
          for (let i = 1; i < course.length; i++) expect(course[i].x).toBeGreaterThan(course[i - 1].x);
          for (let i = 1; i + 1 < course.length; i += 2) {
            const lane = box(course[i].x, course[i].y, course[i + 1].x - course[i].x, 2);
            expect(course[i + 1].y).toBe(course[i].y);
            for (const other of boxes) expect(apart(lane, other)).toBe(true);
          }
        }
        const own = space.choices.filter(({ group }) => group === space.choices[0].group);
        expect(cell.nodes.map(({ label }) => label)).toEqual(sketch.nodes.map(({ label }) => label));
        for (const [node, { connections }] of cell.nodes.entries()) {
          const wanted = selection[node].map((index) => own[node].candidates[index]);
          expect(connections.map(({ operation, from }) => [operation, from])).toEqual(
            wanted.map(({ operation, predecessor }) => [operation, predecessor]),
          );
        }
      }),
      { numRuns: 40, seed: 1 },
    );
  },
);

test("the same genotype always gives the same drawing", () => {
  const { space, selection } = published("ISTA_onestage");
  expect(drawSvg({ space, selection })).toBe(drawSvg({ space, selection: structuredClone(selection) }));
});

test("an SVG renders to a picture with the colours of its operations, with any title", async () => {
  const titles = ["runs/a & b <c>", '"]]>\u0000\u0007', "x".repeat(1000), ""];
  for (const [index, name] of (["ISTA_twostage", "ISTA_onestage", "ISTA_ImageNet"] as const).entries()) {
    const svg = drawSvg(published(name), { title: titles[index] });
    expect(svg).not.toMatch(/NaN|undefined|Infinity|<script|href|url\(/);
    const { data, info } = await sharp(Buffer.from(svg))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(info.width).toBeGreaterThan(500);
    const found = new Set<string>();
    for (let i = 0; i < data.length; i += 3) found.add(`#${data.subarray(i, i + 3).toString("hex")}`);
    const fills = [...svg.matchAll(/fill="(#[0-9a-f]{6})"\/>/g)].map(([, colour]) => colour);
    expect(fills.length).toBeGreaterThanOrEqual(16);
    for (const colour of fills) expect(found).toContain(colour);
  }
});

test("every connection is labelled, with its stride", () => {
  const svg = drawSvg(published("ISTA_twostage"));
  const labels = [...svg.matchAll(/class="op"[^>]*>([^<]*)</g)].map(([, label]) => label);
  expect(labels.filter((label) => label === "avg pool 3×3 /2")).toHaveLength(1);
  expect(labels.filter((label) => label === "sep conv 5×5 /2")).toHaveLength(2);
  // 16 connections and a legend of the 7 operations that occur.
  expect(labels).toHaveLength(16 + 7);
});

test("connections that the architecture before did not have are ringed, and no others", () => {
  const { space, selection } = published("ISTA_twostage");
  const before = selection.map((kept, choice) => {
    if (choice !== 1 && choice !== 6) return kept;
    const [, other] = kept;
    const free = space.choices[choice].candidates.findIndex((_, index) => !kept.includes(index));
    return [free, other].sort((a, b) => a - b);
  });
  const rings = (svg: string): number => svg.match(/<rect class="new"/g)?.length ?? 0;
  expect(rings(drawSvg({ space, selection }))).toBe(0);
  expect(rings(drawSvg({ space, selection }, { before: selection }))).toBe(0);
  const svg = drawSvg({ space, selection }, { before });
  expect(rings(svg)).toBe(2);
  const ringed = [...svg.matchAll(/<rect class="new"[^>]*\/><rect[^>]*\/><text class="op"[^>]*>([^<]*)</g)];
  const labels = [1, 6].map((choice) => space.choices[choice].candidates[selection[choice][0]].operation);
  expect(ringed.map(([, label]) => label.replace(" /2", ""))).toEqual(
    labels.map((operation) => operationLook(operation).label),
  );
  expect(svg).toContain("ringed: new");
});

test("labels stand out from their pills, and dark mode changes panel and ink together", () => {
  const luminance = (colour: string): number => {
    const [r, g, b] = [1, 3, 5].map((i) => {
      const value = Number.parseInt(colour.slice(i, i + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string): number => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const svg = drawSvg(published("ISTA_twostage"));
  const operations = [darts, nasBench201].flatMap(({ choices }) =>
    choices.flatMap(({ candidates }) => candidates.map(({ operation }) => operation)),
  );
  for (const { fill, ink } of [...new Set(operations)].map((operation) => operationLook(operation).colour))
    expect(contrast(fill, ink)).toBeGreaterThan(4.5);
  for (const [, fill, ink] of svg.matchAll(/rx="12" fill="(#\w{6})"\/><text class="op"[^>]*fill="(#\w{6})"/g))
    expect(contrast(fill, ink)).toBeGreaterThan(4.5);
  const [light, dark] = svg.split("@media");
  const colour = (style: string, rule: RegExp): string => rule.exec(style)![1];
  for (const style of [light, dark])
    expect(
      contrast(colour(style, /\.panel\{fill:(#\w{6})/), colour(style, /\.name[^{]*\{fill:(#\w{6})/)),
    ).toBeGreaterThan(10);
});

test("the text for a terminal", () => {
  expect(drawText(published("ISTA_twostage")).split("\n")).toEqual([
    "Normal cell",
    "  c_{k-2} ── skip_connect ─────┐",
    "  c_{k-1} ── dil_conv_3x3 ─────┴─▶ node 2",
    "  c_{k-2} ── sep_conv_5x5 ─────┐",
    "  node 2  ── dil_conv_3x3 ─────┴─▶ node 3",
    "  c_{k-1} ── dil_conv_3x3 ─────┐",
    "  c_{k-2} ── sep_conv_3x3 ─────┴─▶ node 4",
    "  node 2  ── sep_conv_3x3 ─────┐",
    "  c_{k-2} ── skip_connect ─────┴─▶ node 5",
    "  nodes 2, 3, 4, 5 ── concatenated ──▶ c_{k}",
    "",
    "Reduction cell",
    "  c_{k-2} ── avg_pool_3x3 /2 ──┐",
    "  c_{k-1} ── sep_conv_5x5 /2 ──┴─▶ node 2",
    "  node 2  ── dil_conv_5x5 ─────┐",
    "  c_{k-1} ── max_pool_3x3 /2 ──┴─▶ node 3",
    "  node 3  ── dil_conv_5x5 ─────┐",
    "  c_{k-1} ── sep_conv_3x3 /2 ──┴─▶ node 4",
    "  node 4  ── dil_conv_5x5 ─────┐",
    "  c_{k-1} ── sep_conv_5x5 /2 ──┴─▶ node 5",
    "  nodes 2, 3, 4, 5 ── concatenated ──▶ c_{k}",
  ]);
});

test("a cell of NAS-Bench-201 in both drawings: every edge, the last node put out, no strides", () => {
  const text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|";
  const architecture = { space: nasBench201, selection: nasBench201.texts[0].parse(text) };
  expect(drawText(architecture).split("\n")).toEqual([
    "Cell",
    "  0       ── nor_conv_3x3 ────▶ node 1",
    "  0       ── none ──────────┐",
    "  node 1  ── skip_connect ──┴─▶ node 2",
    "  0       ── avg_pool_3x3 ──┐",
    "  node 1  ── nor_conv_1x1 ──┤",
    "  node 2  ── none ──────────┴─▶ node 3",
    "  node 3 ── the last node ──▶ out",
  ]);
  const svg = drawSvg(architecture);
  const labels = [...svg.matchAll(/class="op"[^>]*>([^<]*)</g)].map(([, label]) => label);
  // The six edges, node by node, and a legend of the operations in the order of the space.
  expect(labels).toEqual([
    ...["nor conv 3×3", "none", "skip", "avg pool 3×3", "nor conv 1×1", "none"],
    ...["none", "skip", "nor conv 1×1", "nor conv 3×3", "avg pool 3×3"],
  ]);
  expect(svg.match(/class="out" d="M[\d. -]+C/g)).toHaveLength(1);
  expect(svg).not.toContain(" /2");
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
});
