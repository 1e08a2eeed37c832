// Tables of known accuracies, such as NAS-Bench-201's: CSV, perhaps gzipped, with a column `architecture`.
import { gunzipSync } from "node:zlib";
import { IstaError } from "../base/errors.js";
import { readFileLimited } from "../base/files.js";
import { type Selection, type Space, selectionKey, validateSelection } from "../space/space.js";
import { quote } from "../space/text.js";
import { type CsvRow, parseCsv } from "./csv.js";
import { parseGenotypeJson } from "./genotype-json.js";

/** Accuracies of one architecture by the names of the table's columns, per cent as they stand there; empty fields are left out. */
export type KnownAccuracies = Readonly<Record<string, number>>;

/** "validation 91.2 %, test 93.8 %" */
export const formatKnown = (known: KnownAccuracies | null): string =>
  known === null
    ? "not in the table"
    : Object.entries(known)
        .map(([column, value]) => `${column} ${value} %`)
        .join(", ");

const architectureColumn = "architecture";

/** Of the file, and of what it decompresses to. */
const maximumBytes = 64 << 20;
const maximumNameLength = 100;

export class AccuracyTable {
  private constructor(
    readonly path: string,
    /** The names of the columns of accuracies, in the order of the file. */
    readonly columns: readonly string[],
    private readonly rows: ReadonlyMap<
      string,
      { readonly selection: Selection; readonly accuracies: KnownAccuracies }
    >,
  ) {}

  /**
   * Every column but `architecture` is one of accuracies. Architectures are in a text form of the space or in the JSON form.
   * @throws IstaError TABLE_INVALID naming the line, FILE_*
   */
  static read(path: string, space: Space): AccuracyTable {
    const [header, ...rows] = parseCsv(readText(path), path);
    const { names, position } = readHeader(path, header);
    const found = new Map<string, { line: number; selection: Selection; accuracies: KnownAccuracies }>();
    for (const { line, fields } of rows) {
      const refuse = refusing(path, line);
      if (fields.length !== names.length)
        refuse(`expected ${names.length} fields as in the first line, got ${fields.length}`);
      const selection = readArchitecture(fields[position], space, refuse);
      const key = selectionKey(selection);
      const before = found.get(key);
      if (before !== undefined)
        refuse(
          `expected every architecture once, got ${quote(fields[position])} of line ${before.line} again; leave one of them out`,
        );
      const values = fields.flatMap((field, column): [string, number][] =>
        column === position || field.trim() === ""
          ? []
          : [[names[column], readAccuracy(field, names[column], refuse)]],
      );
      found.set(key, { line, selection, accuracies: Object.fromEntries(values) });
    }
    if (found.size === 0)
      throw new IstaError(
        "TABLE_INVALID",
        `read ${path}: expected rows below the first line, there are none`,
      );
    return new AccuracyTable(
      path,
      names.filter((_, column) => column !== position),
      found,
    );
  }

  /** Null for an architecture that the table does not have. */
  lookup(selection: Selection): KnownAccuracies | null {
    return this.rows.get(selectionKey(selection))?.accuracies ?? null;
  }

  /** The architectures whose accuracy in a column is known, in an order that the file's has no part in. */
  architectures(column: string): Selection[] {
    return [...this.rows]
      .filter(([, { accuracies }]) => Object.hasOwn(accuracies, column))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { selection }]) => selection);
  }

  /** The first column whose name says that it is of validation images, else the first one. */
  get validationColumn(): string {
    return this.columns.find((name) => /val/i.test(name)) ?? this.columns[0];
  }
}

type Refuse = (what: string) => never;

const refusing =
  (path: string, line: number): Refuse =>
  (what) => {
    throw new IstaError("TABLE_INVALID", `read ${path}: line ${line}: ${what}`);
  };

/** The text of a file, which is decompressed where its first bytes are those of gzip. */
function readText(path: string): string {
  const bytes = readFileLimited(path, maximumBytes);
  const refuse = (what: string, cause: unknown): never => {
    throw new IstaError("TABLE_INVALID", `read ${path}: ${what}`, { cause });
  };
  let content: Uint8Array = bytes;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      content = gunzipSync(bytes, { maxOutputLength: maximumBytes });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        throw new IstaError(
          "FILE_TOO_LARGE",
          `read ${path}: expected at most ${maximumBytes} bytes in the gzip file, it has more`,
          { cause },
        );
      }
      return refuse(
        `expected gzip data, it does not decompress (${(cause as Error).message}); copy it again`,
        cause,
      );
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    return refuse("expected CSV in UTF-8, perhaps gzipped, got other bytes", cause);
  }
}

function readHeader(path: string, header: CsvRow | undefined): { names: string[]; position: number } {
  if (header === undefined)
    throw new IstaError(
      "TABLE_INVALID",
      `read ${path}: expected a first line with names of columns, it is empty`,
    );
  const refuse = refusing(path, header.line);
  const names = header.fields.map((name) => name.trim());
  const position = names.indexOf(architectureColumn);
  if (position < 0)
    refuse(`expected a column ${architectureColumn}, got ${names.slice(0, 8).map(quote).join(", ")}`);
  if (names.length < 2) refuse(`expected columns of accuracies beside ${architectureColumn}, got none`);
  for (const [index, name] of names.entries()) {
    if (name === "" || name.length > maximumNameLength || /\p{Cc}/u.test(name))
      refuse(
        `expected printable names of columns of 1 to ${maximumNameLength} characters, got ${quote(name)}`,
      );
    if (names.indexOf(name) !== index) refuse(`expected every column once, got ${quote(name)} again`);
  }
  return { names, position };
}

function readArchitecture(text: string, space: Space, refuse: Refuse): Selection {
  const trimmed = text.trim();
  try {
    if (trimmed.startsWith("{")) {
      const found = parseGenotypeJson(trimmed);
      if (found.space !== space)
        refuse(`expected an architecture of ${space.name}, got one of ${found.space.name}`);
      return found.selection;
    }
    const form = space.texts.find((one) => one.recognises(trimmed));
    if (form === undefined) {
      const forms = [...space.texts.map(({ name }) => name), "JSON"].join(" or ");
      return refuse(
        `expected an architecture of ${space.name} as ${forms}, got ${quote(text)}; is it a table of another --space?`,
      );
    }
    const selection = form.parse(trimmed);
    validateSelection(space, selection);
    return selection;
  } catch (error) {
    if (!(error instanceof IstaError) || error.code !== "GENOTYPE_INVALID") throw error;
    return refuse(`expected an architecture of ${space.name}: ${error.message}`);
  }
}

function readAccuracy(field: string, column: string, refuse: Refuse): number {
  const text = field.trim();
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= 0 && value <= 100))
    refuse(
      `expected a number of 0 to 100 (per cent) in the column ${column}, got ${quote(field)}; leave columns out that are no accuracies`,
    );
  return value;
}
