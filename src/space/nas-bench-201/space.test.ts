// NAS-Bench-201 as a space: choices, the text of cells, the JSON form, published cells, random cells, drawings.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectRefusal } from "../../../test/support/genotypes.js";
import { RandomStream } from "../../base/random.js";
import { randomSelection, type Selection, sameSelection, validateSelection } from "../space.js";
import { nasBench201 } from "./space.js";

const { choices, fromGenotype, toGenotype, named } = nasBench201;
const [{ parse, format, recognises }] = nasBench201.texts;
const operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];

/** Of every edge one operation. */
const selections = fc
  .array(fc.nat(4), { minLength: 6, maxLength: 6 })
  .map((edges): Selection => [[edges[0]], [edges[1], 5 + edges[2]], [edges[3], 5 + edges[4], 10 + edges[5]]]);

test("node j keeps one of five operations on each of the j nodes before it", () => {
  expect(choices.map(({ id, name, group, kept }) => [id, name, group, kept])).toEqual([
    ["cell/1", "node 1", "cell", 1],
    ["cell/2", "node 2", "cell", 2],
    ["cell/3", "node 3", "cell", 3],
  ]);
  for (const [index, { candidates, distinctPredecessors }] of choices.entries()) {
    expect(distinctPredecessors).toBe(true);
    expect(candidates).toEqual(
      Array.from({ length: index + 1 }, (_, predecessor) =>
        operations.map((operation) => ({ operation, predecessor })),
      ).flat(),
    );
  }
});

describe("the text of a cell", () => {
  test("is the one of NAS-Bench-201, edges node by node", () => {
    expect(format([[3], [0, 6], [4, 7, 10]])).toBe(
      "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|",
    );
  });

  test("reads back what it writes, and is recognised", () => {
    fc.assert(
      fc.property(selections, (selection) => {
        const text = format(selection);
        validateSelection(nasBench201, selection);
        expect(parse(text)).toEqual(selection);
        expect(recognises(text)).toBe(true);
        expect(text).toMatch(/^\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|$/);
      }),
    );
  });

  test("has its edges by predecessor, whatever the order of the selection", () => {
    fc.assert(
      fc.property(selections, (selection) => {
        const turned = selection.map((chosen) => [...chosen].reverse());
        expect(format(turned)).toBe(format(selection));
        expect(sameSelection(parse(format(turned)), turned)).toBe(true);
      }),
    );
  });

  const text = format([[3], [0, 6], [4, 7, 10]]);
  test.each([
    ["quotes around it", `"${text}"`],
    ["space around it", `\n  ${text}\t`],
    ["spaces around its parts", text.replaceAll("+", " + ").replaceAll("|", " | ").trim()],
  ])("may have %s", (_, form) => {
    expect(parse(form)).toEqual(parse(text));
    expect(recognises(form.trim())).toBe(/^"?\|/.test(form.trim()));
  });

  test.each([
    ["nothing", "", "expected 3 nodes joined by +, as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, got 1"],
    [
      "four nodes",
      `${text}+|none~0|`,
      "expected 3 nodes joined by +, as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, got 4",
    ],
    ["a node without bars", text.slice(1), 'at node 1: expected 1 edges between bars, got "nor_conv_3x3~0|"'],
    [
      "an edge too few",
      text.replace("|none~0", ""),
      'at node 2: expected 2 edges between bars, got "|skip_connect~1|"',
    ],
    [
      "an edge too many",
      text.replace("|none~2|", "|none~2|none~3|"),
      "at node 3: expected 3 edges between bars, got",
    ],
    [
      "an edge from elsewhere",
      text.replace("none~0", "none~1"),
      'at node 2: expected operation~0, got "none~1"',
    ],
    ["no predecessor", text.replace("none~0", "none"), 'at node 2: expected operation~0, got "none"'],
    ["no operation", text.replace("none~0", "~0"), 'at node 2: expected operation~0, got "~0"'],
    ["a huge number", text.replace("~2", `~${"2".repeat(400)}`), "at node 3: expected operation~2, got"],
    [
      "an operation of another space",
      text.replace("skip_connect", "sep_conv_3x3"),
      'at node 2: expected one of none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3, got "sep_conv_3x3"',
    ],
    ["a prototype", text.replace("skip_connect", "__proto__"), 'got "__proto__"'],
    ["a control character", text.replace("none~0", "no\u0007ne~0"), 'got "no\\u0007ne~0"'],
    ["too much", `${text}${" ".repeat(20_000)}`, "expected at most 16384 characters, got 20"],
  ])("is refused with %s, and the place is told", (_, form, message) => {
    expectRefusal(() => parse(form), message);
  });

  test("is not taken for one where it does not begin like one", () => {
    for (const other of ["", "ISTA_onestage", "random:3", "Genotype(normal=[])", "{}", "||", "a|none~0|"])
      expect(recognises(other)).toBe(false);
  });
});

describe("the JSON form", () => {
  const cell = format([[3], [0, 6], [4, 7, 10]]);

  test("names the space and has the cell as text", () => {
    expect(toGenotype([[3], [0, 6], [4, 7, 10]])).toEqual({ space: "nas-bench-201", cell });
    expect(nasBench201.formatGenotype([[3], [0, 6], [4, 7, 10]])).toBe(
      `{ "space": "nas-bench-201", "cell": "${cell}" }\n`,
    );
    fc.assert(
      fc.property(selections, (selection) => {
        expect(fromGenotype(JSON.parse(JSON.stringify(toGenotype(selection))))).toEqual(selection);
        expect(fromGenotype(JSON.parse(nasBench201.formatGenotype(selection)))).toEqual(selection);
      }),
    );
  });

  test.each<[string, unknown, string]>([
    ["null", null, "at $: expected an object, got null"],
    ["an array", [], "at $: expected an object, got an array of 0"],
    ["another space", { space: "darts", cell }, 'at $.space: expected "nas-bench-201", got "darts"'],
    [
      "an extra key",
      { space: "nas-bench-201", cell, nodes: 4 },
      "at $.nodes: expected only the keys space, cell",
    ],
    ["no cell", { space: "nas-bench-201" }, "at $.cell: expected a text |op~0|+"],
    ["a cell of arrays", { space: "nas-bench-201", cell: [["none"]] }, "at $.cell: expected a text |op~0|"],
    ["half a cell", { space: "nas-bench-201", cell: "|none~0|" }, "at $.cell: expected 3 nodes joined by +"],
    [
      "a wrong edge",
      { space: "nas-bench-201", cell: cell.replace("none~2", "none~1") },
      'at $.cell, node 3: expected operation~2, got "none~1"',
    ],
    [
      "an unknown operation",
      { space: "nas-bench-201", cell: cell.replace("none~0", "zero~0") },
      "at $.cell, node 2: expected one of none, ",
    ],
  ])("is refused if it is %s, and the path is told", (_, value, message) => {
    expectRefusal(() => fromGenotype(value), message);
  });

  test("anything else is refused with an error of its own", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expectRefusal(() => fromGenotype(value), "genotype: ");
        expectRefusal(() => fromGenotype({ space: "nas-bench-201", cell: value }), "genotype: ");
      }),
    );
  });
});

test("published cells", () => {
  expect(Object.keys(named)).toEqual(["all_nor_conv_3x3", "ResNet_cell"]);
  const texts = Object.values(named).map(({ selection }) => format(selection));
  expect(texts).toEqual([
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
  ]);
  for (const { norms, selection } of Object.values(named)) {
    expect(norms).toEqual(nasBench201.norms.plainEvaluation);
    validateSelection(nasBench201, selection);
  }
});

test("random cells have every operation equally often on every edge, one on each, and follow the seed", () => {
  const counts = choices.map(({ candidates }) => candidates.map(() => 0));
  const count = 5000;
  const stream = RandomStream.named(1, "test");
  for (let draw = 0; draw < count; draw++) {
    const selection = randomSelection(nasBench201, stream);
    validateSelection(nasBench201, selection);
    for (const [choice, chosen] of selection.entries()) {
      expect(chosen.map((index) => choices[choice].candidates[index].predecessor)).toEqual([
        ...chosen.keys(),
      ]);
      for (const index of chosen) counts[choice][index] += 1;
    }
  }
  // Five standard deviations of a binomial.
  for (const number of counts.flat())
    expect(Math.abs(number - count / 5)).toBeLessThanOrEqual(5 * Math.sqrt(count * 0.2 * 0.8));
  const again = (seed: number) => randomSelection(nasBench201, RandomStream.named(seed, "test"));
  expect(again(5)).toEqual(again(5));
  expect(again(5)).not.toEqual(again(6));
});

test("a choice that keeps more than it has predecessors draws distinct candidates", () => {
  const [first, ...rest] = choices;
  const space = { ...nasBench201, choices: [{ ...first, kept: 3, distinctPredecessors: false }, ...rest] };
  const drawn = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const [chosen] = randomSelection(space, RandomStream.named(seed, "test"));
    expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b));
    expect(chosen).toHaveLength(3);
    for (const index of chosen) drawn.add(index);
  }
  expect([...drawn].sort()).toEqual([0, 1, 2, 3, 4]);
});

test("what is drawn are the edges by node, and the last node as output", () => {
  const [cell, ...others] = nasBench201.sketch([[3], [6, 0], [10, 4, 7]]);
  expect(others).toEqual([]);
  expect(cell.inputs).toHaveLength(1);
  expect(cell.nodes).toEqual([
    { label: "1", connections: [{ operation: "nor_conv_3x3", suffix: "", from: 0 }] },
    {
      label: "2",
      connections: [
        { operation: "none", suffix: "", from: 0 },
        { operation: "skip_connect", suffix: "", from: 1 },
      ],
    },
    {
      label: "3",
      connections: [
        { operation: "avg_pool_3x3", suffix: "", from: 0 },
        { operation: "nor_conv_1x1", suffix: "", from: 1 },
        { operation: "none", suffix: "", from: 2 },
      ],
    },
  ]);
  expect(cell.outputFrom).toEqual([3]);
});
