// Genotypes in the Python form of the DARTS family of programs, by a small strict parser: nothing is ever evaluated.

import { IstaError } from "../../base/errors.js";
import { quote, requireGenotypeLength } from "../text.js";
import type { DartsGenotype, GenotypePair } from "./genotype.js";

interface Token {
  readonly kind: "name" | "string" | "integer" | "float" | "symbol" | "end";
  readonly text: string;
  readonly offset: number;
}

const tokenPattern =
  /(?<space>\s+|#[^\n]*)|(?<name>[A-Za-z_]\w*)|(?<string>'[^'\\\n]*'|"[^"\\\n]*")|(?<integer>\d{1,9}(?![\w.]))|(?<float>-?\d{1,9}\.\d{0,20}(?:e[+-]?\d{1,3})?(?!\w))|(?<symbol>[()[\],=.])/y;

/** Line and column, from 1, of an offset. */
function position(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `line ${before.length}, column ${before[before.length - 1].length + 1}`;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(tokenPattern);
  for (let offset = 0; offset < text.length; offset = pattern.lastIndex) {
    pattern.lastIndex = offset;
    const groups = pattern.exec(text)?.groups;
    if (groups === undefined)
      throw new IstaError(
        "GENOTYPE_INVALID",
        `genotype: unexpected ${quote(text[offset])} at ${position(text, offset)} of the Python form`,
      );
    for (const kind of ["name", "string", "integer", "float", "symbol"] as const)
      if (groups[kind] !== undefined)
        tokens.push({ kind, text: kind === "string" ? groups[kind].slice(1, -1) : groups[kind], offset });
  }
  tokens.push({ kind: "end", text: "end of text", offset: text.length });
  return tokens;
}

const fieldNames = {
  normal: "normal",
  normal_concat: "normalConcat",
  reduce: "reduce",
  reduce_concat: "reduceConcat",
} as const;

/** A connection with what some programs add to it: the node that it goes to, or a weight. */
interface Connection {
  readonly pair: readonly [operation: string, predecessor: number];
  readonly target: number | null;
}

/** Where connections say which node they go to, they need not be in the order of the nodes. */
function inNodeOrder(connections: readonly Connection[]): Connection["pair"][] {
  const told = connections.every(({ target }) => target !== null);
  const ordered = told ? connections.toSorted((a, b) => a.target! - b.target!) : connections;
  return ordered.map(({ pair }) => pair);
}

/** Recursive descent over a grammar without recursion: nesting is bounded by the grammar itself. */
class Parser {
  private next = 0;
  private readonly tokens: readonly Token[];

  constructor(private readonly text: string) {
    this.tokens = tokenize(text);
  }

  private get token(): Token {
    return this.tokens[this.next];
  }

  private fail(expected: string): never {
    const { kind, text, offset } = this.token;
    const got = kind === "end" ? text : quote(text);
    throw new IstaError(
      "GENOTYPE_INVALID",
      `genotype: expected ${expected} at ${position(this.text, offset)} of the Python form, got ${got}`,
    );
  }

  private accept(kind: Token["kind"], text?: string): boolean {
    const matches = this.token.kind === kind && (text === undefined || this.token.text === text);
    if (matches) this.next++;
    return matches;
  }

  private take(kind: Token["kind"], expected: string, text?: string): string {
    const found = this.token.text;
    if (!this.accept(kind, text)) this.fail(expected);
    return found;
  }

  /** A value, or one as NumPy 2 and others print it: `np.int64(0)`, `np.str_('none')`. */
  private wrapped<T>(kind: RegExp, value: () => T): T {
    const names =
      /^(np|numpy|torch)$/.test(this.token.text) && this.tokens[this.next + 1].text === "." ? 2 : 0;
    const call = this.tokens[this.next + names];
    if (call.kind !== "name" || !kind.test(call.text) || this.tokens[this.next + names + 1]?.text !== "(")
      return value();
    this.next += names + 2;
    const found = value();
    this.take("symbol", '")"', ")");
    return found;
  }

  private integer(): number {
    return this.wrapped(/^(u?int\d*_?|intp|longlong|tensor)$/, () =>
      Number(this.take("integer", "a whole number")),
    );
  }

  private operation(): string {
    return this.wrapped(/^str_?$/, () => this.take("string", "an operation in quotes"));
  }

  /** Items up to the closing symbol, with commas between and perhaps one after the last. */
  private items<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.accept("symbol", close)) {
      if (items.length > 0) {
        this.take("symbol", `"," or "${close}"`, ",");
        if (this.accept("symbol", close)) break;
      }
      items.push(item());
    }
    return items;
  }

  private list<T>(expected: string, item: () => T): T[] {
    if (this.accept("symbol", "[")) return this.items("]", item);
    if (this.accept("symbol", "(")) return this.items(")", item);
    return this.fail(expected);
  }

  private pair(): Connection {
    const listed = this.accept("symbol", "[");
    if (!listed) this.take("symbol", "a pair ('operation', predecessor)", "(");
    const operation = this.operation();
    this.take("symbol", '","', ",");
    const predecessor = this.integer();
    let target: number | null = null;
    if (this.accept("symbol", ",") && !this.accept("float"))
      target = this.token.kind === "symbol" ? null : this.integer();
    const close = listed ? "]" : ")";
    this.take("symbol", `"${close}"`, close);
    return { pair: [operation, predecessor], target };
  }

  /** The connections of a cell, in one list or in one for each node. */
  private connections(): Connection[] {
    const opens = (token: Token | undefined): boolean =>
      token?.kind === "symbol" && (token.text === "(" || token.text === "[");
    return this.list("a list of pairs", () =>
      opens(this.token) && opens(this.tokens[this.next + 1])
        ? this.list("a list of pairs", () => this.pair())
        : [this.pair()],
    ).flat();
  }

  private concatenation(): number[] {
    if (!this.accept("name", "range")) return this.list("range(...) or a list", () => this.integer());
    this.take("symbol", '"("', "(");
    const start = this.integer();
    this.take("symbol", '","', ",");
    const stop = this.integer();
    this.take("symbol", '")"', ")");
    // A cell has 6 nodes; a longer range is wrong and need not be spelt out.
    return Array.from({ length: Math.min(Math.max(0, stop - start), 7) }, (_, index) => start + index);
  }

  /** `[NAME =] Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...)`, the fields in any order. */
  parse(): Record<string, unknown> {
    if (this.token.kind === "name" && this.tokens[this.next + 1].text === "=") this.next += 2;
    this.take("name", "Genotype(...)", "Genotype");
    this.take("symbol", '"("', "(");
    const fields = new Map<string, unknown>();
    this.items(")", () => {
      const name = this.token.text;
      const known = this.token.kind === "name" && Object.hasOwn(fieldNames, name);
      if (!known || fields.has(name)) this.fail(`one of ${Object.keys(fieldNames).join(", ")}, each once`);
      this.next++;
      this.take("symbol", '"="', "=");
      fields.set(name, name.endsWith("concat") ? this.concatenation() : inNodeOrder(this.connections()));
    });
    if (this.token.kind !== "end") this.fail("nothing more");
    const entries = Object.entries(fieldNames).map(([python, json]) => [json, fields.get(python)]);
    return Object.fromEntries(entries);
  }
}

/**
 * The fields of the JSON form, still to be validated, from `Genotype(normal=[('skip_connect', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=[2, 3, 4, 5])`,
 * with or without `NAME =` before it.
 * @throws GENOTYPE_INVALID saying what is wrong and where: line and column of the text, or the JSON path of a value.
 */
export function parsePython(text: string): Record<string, unknown> {
  requireGenotypeLength(text);
  return new Parser(text).parse();
}

/** A genotype in a longer text, and the name that it is given there. */
export interface FoundGenotype {
  readonly name: string | null;
  readonly text: string;
}

/** Beginning of a text that is the Python form and nothing else. */
const bare = /^(?:\s|#.*\n)*(?:[A-Za-z_]\w*\s*=\s*)?Genotype\s*\(/;

/**
 * The genotypes in a text that has something else around them, such as a line of a log, a text in quotes, or a module with several; none
 * where the text is just one. Those that are there twice under one name are one.
 */
export function findPython(text: string): FoundGenotype[] {
  const found = new Map<string, FoundGenotype>();
  const calls = [...text.matchAll(/(?:\b([A-Za-z_]\w*)\s*=\s*)?\bGenotype\s*\(/g)];
  if (calls.length === 1 && bare.test(text)) return [];
  for (const { 0: head, 1: name = null, index } of calls) {
    let end = index + head.length;
    for (let open = 1; open > 0 && end < text.length; end++) {
      if (text[end] === "(") open += 1;
      if (text[end] === ")") open -= 1;
    }
    const start = index + head.lastIndexOf("Genotype");
    // In a text in quotes, quotes are escaped.
    const call = text.slice(start, end).replace(/\\(['"])/g, "$1");
    found.set(`${name} ${call}`, { name, text: call });
  }
  // DARTS = DARTS_V2
  for (const [, name, other] of text.matchAll(/^([A-Za-z_]\w*)[ \t]*=[ \t]*([A-Za-z_]\w*)[ \t]*(?:#.*)?$/gm))
    for (const one of [...found.values()].filter((known) => known.name === other))
      found.set(`${name} ${one.text}`, { name, text: one.text });
  return [...found.values()];
}

/** Whether a text is the JSON of a PyTorch program's genotype: its fields with their Python names. */
export const looksLikeFieldsJson = (text: string): boolean =>
  text.trimStart().startsWith("{") && /"(normal|reduce)_concat"\s*:/.test(text);

/** The fields of the JSON form from JSON with the Python names. @throws GENOTYPE_INVALID */
export function parseFieldsJson(text: string): Record<string, unknown> {
  requireGenotypeLength(text);
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.replace(/[\s\p{Cc}]+/gu, " ");
    throw new IstaError("GENOTYPE_INVALID", `genotype: expected JSON, but ${reason}`, { cause: error });
  }
  // Written again as the call that it was, so that one grammar reads both.
  const known = Object.entries(value).filter(([name]) => Object.hasOwn(fieldNames, name));
  return parsePython(`Genotype(${known.map(([name, one]) => `${name}=${JSON.stringify(one)}`).join(", ")})`);
}

/** The Python form on one line, as the PyTorch programs print and read it. */
export function formatPython(genotype: DartsGenotype): string {
  const pairs = (cell: readonly GenotypePair[]): string =>
    cell.map(([operation, predecessor]) => `('${operation}', ${predecessor})`).join(", ");
  const range = (nodes: readonly number[]): string => `range(${nodes[0]}, ${nodes[nodes.length - 1] + 1})`;
  const { normal, normalConcat, reduce, reduceConcat } = genotype;
  return `Genotype(normal=[${pairs(normal)}], normal_concat=${range(normalConcat)}, reduce=[${pairs(reduce)}], reduce_concat=${range(reduceConcat)})`;
}

/** Whether a text has the beginning of the Python form in it. */
export const looksLikePython = (text: string): boolean => /\bGenotype\s*\(/.test(text);
