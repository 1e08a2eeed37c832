// Curves and strips as pictures: what lies where, what is written, whatever the values are.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../space/spaces.js";
import { type Curve, drawCurvesSvg } from "./curves.js";
import { drawSupportsSvg, type NodeCourse } from "./supports.js";

const curve = (points: readonly (readonly [number, number])[], more: Partial<Curve> = {}): Curve => ({
  name: "training",
  colour: 0,
  dashed: false,
  dots: false,
  points: points.map(([x, y]) => ({ x, y })),
  band: null,
  ...more,
});

const drawn = (...curves: Curve[]): string =>
  drawCurvesSvg([{ title: "Loss (nats)", curves }], "a run", "note", "epoch");
const numbersOf = (path: string): number[][] =>
  path.split("L").map((pair) => pair.replace("M", "").split(" ").map(Number));
const pathsOf = (svg: string): number[][][] =>
  [...svg.matchAll(/<path class="curve"[^>]* d="([^"]*)"/g)].map(([, d]) => numbersOf(d));

describe("curves", () => {
  it("go from left to right, higher values higher up, all curves to one scale", () => {
    const svg = drawn(
      curve([
        [1, 2],
        [2, 1],
        [4, 1.5],
      ]),
      curve(
        [
          [1, 1],
          [4, 2],
        ],
        { name: "held out" },
      ),
    );
    const [first, second] = pathsOf(svg);
    const [a, b, c] = first;
    expect(b[0] - a[0]).toBeCloseTo((c[0] - a[0]) / 3, 1);
    expect(b[1]).toBeGreaterThan(c[1]);
    expect(second).toEqual([
      [a[0], b[1]],
      [c[0], a[1]],
    ]);
    for (const word of ["Loss (nats)", "training", "held out", ">epoch<"]) expect(svg).toContain(word);
  });

  it("stay inside of the picture, for any values and any number of them", () => {
    const value = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    const property = fc.property(
      fc.array(value, { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      (ys, dots) => {
        const svg = drawn(
          curve(
            ys.map((y, x) => [x + 1, y]),
            { dots },
          ),
        );
        const [, width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg)!.map(Number);
        const circles = [...svg.matchAll(/<circle cx="([^"]*)" cy="([^"]*)"/g)].map(([, x, y]) => [+x, +y]);
        const points = [...pathsOf(svg).flat(), ...circles];
        expect(points.length).toBeGreaterThanOrEqual(ys.length);
        for (const [x, y] of points) {
          expect(x >= 0 && x <= width).toBe(true);
          expect(y >= 0 && y <= height).toBe(true);
        }
      },
    );
    fc.assert(property, { numRuns: 60, seed: 1 });
  });

  it("say all names, however many, and escape them", () => {
    const curves = Array.from({ length: 12 }, (_, index) =>
      curve(
        [
          [1, index],
          [2, index],
        ],
        { name: `<run> number ${index} & more`, colour: index },
      ),
    );
    const svg = drawn(...curves);
    for (let index = 0; index < 12; index++)
      expect(svg).toContain(`>&lt;run&gt; number ${index} &amp; more</text>`);
    expect(svg).not.toContain("<run>");
  });

  it("have a band around the mean of several runs", () => {
    const band = [
      { x: 1, low: 1, high: 3 },
      { x: 2, low: 2, high: 2.5 },
    ];
    const svg = drawn(
      curve(
        [
          [1, 2],
          [2, 2.2],
        ],
        { band },
      ),
    );
    const [, d] = /<path class="band"[^>]* d="([^"]*)Z"/.exec(svg)!;
    const corners = numbersOf(d);
    const [mean] = pathsOf(svg);
    expect(corners).toHaveLength(4);
    expect(corners[0][1]).toBeLessThan(mean[0][1]);
    expect(corners[3][1]).toBeGreaterThan(mean[0][1]);
  });
});

describe("what nodes keep", () => {
  const candidate = (operation: string, predecessor: number) => ({ operation, predecessor });
  const [skip, pool, other] = [
    candidate("skip_connect", 0),
    candidate("max_pool_3x3", 0),
    candidate("skip_connect", 1),
  ];
  const node = (kept: NodeCourse["kept"], frozenFrom: number | null = null): NodeCourse => ({
    name: "node 2",
    group: "normal",
    kept,
    frozenFrom,
  });
  const tips = (svg: string): string[] =>
    [...svg.matchAll(/<title>(node 2, [^<]*)<\/title>/g)].map(([, text]) => text);

  it("is one stretch for as long as it stays, another one where the operation or its input changes", () => {
    const svg = drawSupportsSvg([node([[skip], [skip], [pool], [other], [other]])], "a run", "epoch");
    expect(tips(svg)).toEqual([
      "node 2, epoch 1 to 2: skip from 0",
      "node 2, epoch 3 to 3: max pool 3×3 from 0",
      "node 2, epoch 4 to 5: skip from 1",
    ]);
  });

  it("stays in its line, whatever order it is named in", () => {
    const svg = drawSupportsSvg(
      [
        node([
          [skip, pool],
          [pool, skip],
          [other, pool],
        ]),
      ],
      "a run",
      "epoch",
    );
    expect(tips(svg)).toEqual([
      "node 2, epoch 1 to 2: skip from 0",
      "node 2, epoch 3 to 3: skip from 1",
      "node 2, epoch 1 to 3: max pool 3×3 from 0",
    ]);
  });

  it("is marked from where it is frozen", () => {
    expect(drawSupportsSvg([node([[skip], [pool], [pool]], 1)], "a run", "epoch")).toContain(
      "frozen from epoch 2 on",
    );
    expect(drawSupportsSvg([node([[skip]])], "a run", "epoch")).not.toContain("frozen");
  });
});
