// Mutations of genotype texts: whatever comes, the answer is a genotype or an error of one line with its own code.

import { expect, test } from "vitest";
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { type Architecture, randomSelection, type Space, validateSelection } from "../space/space.js";
import { formatGenotypeJson, parseGenotypeJson } from "./genotype-json.js";
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

interface Form {
  format(architecture: Architecture): string;
  parse(text: string): Architecture;
}

const ownForm = (space: Space): Form => ({
  format: ({ selection }) => space.texts[0].format(selection),
  parse: (text) => ({ space, selection: space.texts[0].parse(text) }),
});
const json: Form = { format: formatGenotypeJson, parse: parseGenotypeJson };

test.each<[string, Space, Form]>([
  ["JSON", darts, json],
  ["Python", darts, ownForm(darts)],
  ["JSON of NAS-Bench-201", nasBench201, json],
  ["text of NAS-Bench-201", nasBench201, ownForm(nasBench201)],
])("%s: no mutation brings anything but a valid genotype or a refusal", (name, space, { format, parse }) => {
  const stream = RandomStream.named(1, `mutations/${name}`);
  let accepted = 0;
  for (let i = 0; i < mutations; i++) {
    const text = mutate(format({ space, selection: randomSelection(space, stream) }), stream);
    for (const read of [parse, resolveGenotype]) {
      try {
        const { selection } = read(text);
        validateSelection(space, selection);
        expect(parse(format({ space, selection }))).toEqual({ space, selection });
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
    for (const read of [parseGenotypeJson, darts.texts[0].parse, nasBench201.texts[0].parse, resolveGenotype])
      expect(() => read(text)).toThrow(IstaError);
  }
});
