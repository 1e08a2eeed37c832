// Mutations of genotype texts: whatever comes, the answer is a genotype or an error of one line with its own code.

import { expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { validateGenotype } from "../space/genotype.js";
import { randomGenotype } from "../space/random-genotype.js";
import { formatGenotypeJson, parseGenotypeJson } from "./genotype-json.js";
import { formatGenotypePython, parseGenotypePython } from "./genotype-python.js";
import { resolveGenotype } from "./genotype-resolve.js";

const mutations = 50_000;
const fragments = [
  "[",
  "]",
  "(",
  ")",
  ",",
  "'",
  '"',
  "{",
  "}",
  ":",
  "=",
  "0",
  "-1",
  "1e999",
  "null",
  "\n",
  "\0",
  "é",
  "\ud800",
  "range(",
  "Genotype",
  "__proto__",
  "#",
  "\\",
  "none",
  "5".repeat(400),
  "[".repeat(4000),
];

/** One to four cuts, repeats, insertions, exchanges of characters. */
function mutate(text: string, stream: RandomStream): string {
  let result = text;
  for (let edits = 1 + stream.integer(4); edits > 0; edits--) {
    const at = stream.integer(result.length + 1);
    const length = stream.integer(stream.uniform() < 0.5 ? 3 : 60);
    const piece = [
      () => "",
      () => fragments[stream.integer(fragments.length)],
      () => result.slice(at, at + length).repeat(2),
      () => String.fromCharCode(stream.integer(stream.uniform() < 0.8 ? 128 : 65536)),
      () => [...result.slice(at, at + length)].reverse().join(""),
      () => text.slice(stream.integer(text.length)).slice(0, length),
    ][stream.integer(6)]();
    result = result.slice(0, at) + piece + result.slice(at + (stream.uniform() < 0.3 ? 0 : length));
  }
  return result;
}

test.each([
  ["JSON", formatGenotypeJson, parseGenotypeJson],
  ["Python", formatGenotypePython, parseGenotypePython],
] as const)("%s: no mutation brings anything but a valid genotype or a refusal", (form, format, parse) => {
  const stream = RandomStream.named(1, `mutations/${form}`);
  let accepted = 0;
  for (let i = 0; i < mutations; i++) {
    const text = mutate(format(randomGenotype(stream)), stream);
    for (const read of [parse, (any: string) => resolveGenotype(any).genotype]) {
      try {
        const genotype = read(text);
        expect(validateGenotype(genotype)).toEqual(genotype);
        expect(parse(format(genotype))).toEqual(genotype);
        accepted++;
      } catch (error) {
        if (!(error instanceof IstaError) || error.code !== "GENOTYPE_INVALID") throw error;
        expect(error.message).not.toMatch(/\p{Cc}/u);
        expect(error.message.length).toBeLessThan(400);
      }
    }
  }
  // Some mutations are harmless or make another genotype; most are neither.
  expect(accepted).toBeGreaterThan(mutations / 100);
  expect(accepted).toBeLessThan(mutations);
});

test("random noise is refused", () => {
  const stream = RandomStream.named(1, "noise");
  for (let i = 0; i < mutations; i++) {
    const text = String.fromCharCode(
      ...Array.from({ length: stream.integer(80) }, () => stream.integer(128)),
    );
    for (const read of [parseGenotypeJson, parseGenotypePython, resolveGenotype])
      expect(() => read(text)).toThrow(IstaError);
  }
});
