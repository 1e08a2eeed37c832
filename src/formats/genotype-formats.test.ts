// Genotype texts: JSON, the spaces' own forms, names; what is refused and how the place is told.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectRefusal } from "../../test/support/genotypes.js";
import { RandomStream } from "../base/random.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { randomSelection } from "../space/space.js";
import { largestGenotypeText } from "../space/text.js";
import { formatGenotypeJson, parseGenotypeJson } from "./genotype-json.js";
import { randomArchitecture, resolveGenotype } from "./genotype-resolve.js";

describe.each([darts, nasBench201])("in $name", (space) => {
  const selections = fc.nat().map((seed) => randomSelection(space, RandomStream.named(seed, "test")));
  const [form] = space.texts;

  test("both forms read back what they write, and resolve to the same", () => {
    fc.assert(
      fc.property(selections, (selection) => {
        const json = formatGenotypeJson({ space, selection });
        const text = form.format(selection);
        expect(parseGenotypeJson(json)).toEqual({ space, selection });
        expect(form.parse(text)).toEqual(selection);
        for (const preferred of [darts, nasBench201]) {
          expect(resolveGenotype(json, preferred)).toEqual({ space, selection, norms: null, source: "json" });
          expect(resolveGenotype(text, preferred)).toEqual({
            space,
            selection,
            norms: null,
            source: form.name,
          });
        }
      }),
    );
  });

  test("names resolve to published architectures, whichever space is asked first", () => {
    for (const [name, { selection, norms }] of Object.entries(space.named))
      for (const preferred of [darts, nasBench201])
        expect(resolveGenotype(name, preferred)).toEqual({ space, selection, norms, source: "name" });
  });

  test("random architectures go by their seed, of the space that is named or asked first", () => {
    const architecture = { ...randomArchitecture(17, space), norms: null, source: "random" };
    expect(architecture.space).toBe(space);
    expect(resolveGenotype("random:17", space)).toEqual(architecture);
    for (const preferred of [darts, nasBench201])
      expect(resolveGenotype(`random:${space.name}:17`, preferred)).toEqual(architecture);
    expect(randomArchitecture(17, space)).not.toEqual(randomArchitecture(18, space));
  });
});

const genotype = formatGenotypeJson({ space: darts, selection: darts.named.ISTA_twostage.selection });

test("the JSON form of DARTS has a line for each node", () => {
  expect(genotype).toBe(`{
  "space": "darts",
  "normal": [
    ["skip_connect", 0], ["dil_conv_3x3", 1],
    ["sep_conv_5x5", 0], ["dil_conv_3x3", 2],
    ["dil_conv_3x3", 1], ["sep_conv_3x3", 0],
    ["sep_conv_3x3", 2], ["skip_connect", 0]
  ],
  "normalConcat": [2, 3, 4, 5],
  "reduce": [
    ["avg_pool_3x3", 0], ["sep_conv_5x5", 1],
    ["dil_conv_5x5", 2], ["max_pool_3x3", 1],
    ["dil_conv_5x5", 3], ["sep_conv_3x3", 1],
    ["dil_conv_5x5", 4], ["sep_conv_5x5", 1]
  ],
  "reduceConcat": [2, 3, 4, 5]
}
`);
});

test.each<[string, string, string]>([
  ["text", "hello", "expected JSON, but"],
  ["half a file", genotype.slice(0, 100), "expected JSON, but"],
  ["a list", "[]", "at $: expected an object, got an array of 0"],
  ["nothing", "null", "at $: expected an object, got null"],
  [
    "a prototype",
    '{"__proto__": 1, "space": "darts"}',
    "at $.__proto__: expected only the keys space, normal",
  ],
  [
    "of no space",
    "{}",
    'at $.space: expected "darts" or "nas-bench-201" (--plugin FILE adds others), got nothing',
  ],
  ["of a space that is a number", '{"space": 1}', "at $.space: expected"],
  ["of a space of a prototype", '{"space": "__proto__"}', 'at $.space: expected "darts" or'],
  [
    "another space",
    genotype.replace("darts", "nats"),
    'at $.space: expected "darts" or "nas-bench-201" (--plugin FILE adds others), got "nats"',
  ],
  [
    "of the wrong one",
    genotype.replace("darts", "nas-bench-201"),
    "at $.normal: expected only the keys space, cell",
  ],
  ["too much", " ".repeat(largestGenotypeText + 1), "expected at most 16384 characters, got 16385"],
])("JSON that is %s is refused", (_, text, message) => {
  expectRefusal(() => parseGenotypeJson(text), message);
});

test("names, and random cells by their seed", () => {
  expect(resolveGenotype("ISTA_onestage")).toEqual({
    space: darts,
    selection: darts.named.ISTA_onestage.selection,
    norms: darts.norms.normalisedEvaluation,
    source: "name",
  });
  expect(resolveGenotype("random:17")).toEqual({ ...randomArchitecture(17), norms: null, source: "random" });
  const known =
    "expected a name (ISTA_twostage, ISTA_onestage, ISTA_ImageNet, DARTS_V2, PC_DARTS_cifar, all_nor_conv_3x3, ResNet_cell), " +
    "random:SEED, JSON or Genotype(...) or |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, got";
  const strange = ["random:", "random:-1", "random:1e3", "random:other:1", "random::1"];
  for (const text of ["", "ISTA", "toString", "__proto__", ...strange, "x".repeat(1e6)])
    expectRefusal(() => resolveGenotype(text), known);
  expectRefusal(() => resolveGenotype(`{${" ".repeat(1e6)}}`), "at most 16384 characters");
  expectRefusal(() => resolveGenotype(`Genotype(${" ".repeat(1e6)})`), "at most 16384 characters");
  expectRefusal(() => resolveGenotype(`|none~0|${" ".repeat(1e6)}`.concat("|")), "at most 16384 characters");
});
