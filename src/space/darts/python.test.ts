// The Python form of genotypes: what is read, what is refused and how the place is told.

import { describe, expect, test } from "vitest";
import { expectRefusal } from "../../../test/support/genotypes.js";
import { resolveGenotype } from "../../formats/genotype-resolve.js";
import { darts } from "./space.js";

const { selection } = darts.named.ISTA_twostage;
const [{ format, parse, recognises }] = darts.texts;

test("the Python form is the one that the PyTorch programs use", () => {
  expect(format(selection)).toBe(
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('dil_conv_3x3', 2), " +
      "('dil_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 2), ('skip_connect', 0)], normal_concat=range(2, 6), " +
      "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('dil_conv_5x5', 2), ('max_pool_3x3', 1), " +
      "('dil_conv_5x5', 3), ('sep_conv_3x3', 1), ('dil_conv_5x5', 4), ('sep_conv_5x5', 1)], reduce_concat=range(2, 6))",
  );
});

describe("genotypes as people have them", () => {
  const text = format(selection);
  const pairs = (part: string): string => {
    const [all] = new RegExp(`\\b${part}=\\[[^\\]]*\\]`).exec(text)!;
    return all;
  };
  /** The pairs of a cell, each made into something else: the pair, its number, its operation and its predecessor. */
  const rewritten = (make: (operation: string, from: string, index: number) => string, join = ", "): string =>
    ["normal", "reduce"].reduce((whole, part) => {
      const items = [...pairs(part).matchAll(/\('(\w+)', (\d)\)/g)];
      return whole.replace(
        pairs(part),
        `${part}=[${items.map(([, operation, from], index) => make(operation, from, index)).join(join)}]`,
      );
    }, text);
  const fields = JSON.stringify({
    normal: [...pairs("normal").matchAll(/\('(\w+)', (\d)\)/g)].map(([, op, from]) => [op, Number(from)]),
    normal_concat: [2, 3, 4, 5],
    reduce: [...pairs("reduce").matchAll(/\('(\w+)', (\d)\)/g)].map(([, op, from]) => [op, Number(from)]),
    reduce_concat: [2, 3, 4, 5],
  });
  const backwards = rewritten((operation, from, index) => `('${operation}', ${from}, ${2 + (index >> 1)})`);

  test.each<[string, string]>([
    ["a line of a log", `2024-03-21 10:12:33,123 genotype = ${text}`],
    [
      "a line of the DARTS programs' log",
      `03/21 10:12:33 AM genotype = ${text}\n03/21 10:12:34 AM epoch 1 lr 2.5e-2`,
    ],
    ["a text in quotes", `'${text.replaceAll("'", "\\'")}'`],
    ["a text in double quotes", `"${text}"`],
    [
      "pairs nested by node",
      rewritten((op, from, i) => `${i % 2 ? "" : "["}('${op}', ${from})${i % 2 ? "]" : ""}`),
    ],
    ["a node as third field", backwards],
    [
      "nodes in another order, which the third field tells",
      backwards.replace(/normal=\[(.*?), (\(\S+, \d, 5\), \(\S+, \d, 5\))\]/, "normal=[$2, $1]"),
    ],
    ["a weight as third field", rewritten((op, from, i) => `('${op}', ${from}, 0.${i + 1}5)`)],
    ["numbers of NumPy 2", rewritten((op, from) => `(np.str_('${op}'), np.int64(${from}))`)],
    ["lists for pairs", rewritten((op, from) => `['${op}', ${from}]`)],
    ["JSON with Python's names", fields],
    [
      "a module with one",
      `from collections import namedtuple\n\nGenotype = namedtuple('Genotype', 'normal')\n\nBEST = ${text}\n`,
    ],
    ["the same one twice in a log", `a ${text}\nb ${text}\n`],
  ])("%s", (_, form) => {
    expect(resolveGenotype(form)).toEqual({ space: darts, selection, norms: null, source: "python" });
  });

  test("a module with several gives the one that is named, by an alias too", () => {
    const other = format(darts.named.ISTA_onestage.selection);
    const five =
      "NASNet = Genotype(normal=[('sep_conv_7x7', 1)], normal_concat=[2], reduce=[], reduce_concat=[2])";
    const module = `${five}\n\nONE = ${other}\nTWO = ${text}\n\nUSUAL = TWO\n`;
    expect(resolveGenotype(module, darts, "ONE").selection).toEqual(darts.named.ISTA_onestage.selection);
    for (const name of ["TWO", "USUAL"])
      expect(resolveGenotype(module, darts, name).selection).toEqual(selection);
    expectRefusal(
      () => resolveGenotype(module),
      "got 4, named NASNet, ONE, TWO, USUAL; say which with FILE:NAME",
    );
    expectRefusal(() => resolveGenotype(module, darts, "THREE"), 'named "THREE", got 4, named NASNet');
    expectRefusal(() => resolveGenotype(module, darts, "NASNet"), "$.normal");
  });
});

describe("the Python parser reads", () => {
  const text = format(selection);
  const reduce = text.slice(text.indexOf("reduce=["), text.indexOf(", reduce_concat"));
  test.each<[string, string]>([
    ["an assignment", `ISTA_twostage = ${text}`],
    ["a list for the concatenation", text.replaceAll("range(2, 6)", "[2, 3, 4, 5]")],
    ["a tuple for the concatenation", text.replace("range(2, 6)", "(2, 3, 4, 5)")],
    ["double quotes", text.replaceAll("'", '"')],
    ["no spaces", text.replaceAll(" ", "")],
    [
      "trailing commas, lines and comments",
      text.replace("[(", "[  # first\n  (").replaceAll(")]", "),\n]").replace(/\)$/, ",\n)\n# end"),
    ],
    ["fields in another order", text.replace(`, ${reduce}`, "").replace("Genotype(", `Genotype(${reduce}, `)],
  ])("%s", (_, form) => {
    expect(parse(form)).toEqual(selection);
    expect(recognises(`\n ${form}\n`)).toBe(true);
    expect(resolveGenotype(`\n ${form}\n`)).toEqual({
      space: darts,
      selection,
      norms: null,
      source: "python",
    });
  });

  test.each<[string, string, string]>([
    ["nothing", "", "expected Genotype(...) at line 1, column 1 of the Python form, got end of text"],
    [
      "another call",
      "eval(normal=[])",
      'expected Genotype(...) at line 1, column 1 of the Python form, got "eval"',
    ],
    ["code after the end", `${text}; import os`, 'unexpected ";" at line 1'],
    ["a second value", `${text} Genotype`, "expected nothing more at line 1"],
    ["an attribute", text.replace("range", "os.system"), "expected range(...) or a list at line 1, column"],
    [
      "a call for an operation",
      text.replace("'skip_connect'", "open('x')"),
      "expected an operation in quotes at line 1, column 19",
    ],
    ["an escape", text.replace("'skip_connect'", "'skip\\x41'"), 'unexpected "\'" at line 1, column 19'],
    [
      "an unknown field",
      text.replace("normal_concat", "norm_concat"),
      "expected one of normal, normal_concat, reduce, reduce_concat, each once",
    ],
    ["a field twice", text.replace("reduce=", "normal="), "each once at line 1"],
    ["a field of a prototype", text.replace("normal_concat", "constructor"), "each once"],
    ["no closing", text.slice(0, -1), 'expected "," or ")" at line 1'],
    [
      "a pair of four",
      text.replace("('skip_connect', 0)", "('skip_connect', 0, 1, 2)"),
      'expected ")" at line 1',
    ],
    ["a negative number", text.replace("0)", "-1)"), 'unexpected "-"'],
    ["a float", text.replace("0)", "0.5)"), "expected a whole number at line 1"],
    ["a huge number", text.replace("0)", "99999999999)"), 'unexpected "9"'],
    [
      "an unknown operation",
      text.replace("skip_connect", "none"),
      "at $.normal[0][0]: expected one of max_pool_3x3",
    ],
    [
      "a later predecessor",
      text.replace("'skip_connect', 0", "'skip_connect', 2"),
      "at $.normal[0][1]: expected a predecessor of node 2, 0 to 1, got 2",
    ],
    [
      "a missing field",
      text.replace(/, reduce_concat.*/, ")"),
      "at $.reduceConcat: expected the nodes [2, 3, 4, 5], got nothing",
    ],
    [
      "another range",
      text.replace("range(2, 6)", "range(0, 999999999)"),
      'at $.normalConcat: expected the nodes [2, 3, 4, 5], got "0,1,2,3,4,5,6"',
    ],
    ["a wrong line", text.replace(", reduce=", ",\n  reduce=!"), 'unexpected "!" at line 2, column 10'],
  ])("but not %s", (_, form, message) => {
    expectRefusal(() => parse(form), message);
  });
});
