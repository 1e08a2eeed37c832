// Comma-separated values (RFC 4180): quoted fields, any line ends, and the line of every row for messages.
import { IstaError } from "../base/errors.js";

export interface CsvRow {
  /** In which it begins, from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

const byteOrderMark = "\ufeff";

/**
 * The rows of a text; empty lines are left out. A field is what stands between commas, or between double quotes, where commas, line
 * ends and doubled quotes belong to it.
 * @param path for messages
 * @throws IstaError TABLE_INVALID naming the line of a quote that is not closed, or closed too early
 */
export function parseCsv(text: string, path: string): CsvRow[] {
  const rows: CsvRow[] = [];
  let line = 1;
  let at = text.startsWith(byteOrderMark) ? 1 : 0;
  const refuse = (where: number, what: string): never => {
    throw new IstaError("TABLE_INVALID", `read ${path}: line ${where}: ${what}`);
  };

  /** From an opening quote to behind the closing one. */
  const quoted = (): string => {
    const opened = line;
    let field = "";
    for (at += 1; ; ) {
      const end = text.indexOf('"', at);
      if (end < 0) return refuse(opened, 'expected a closing quote ", the file ends before');
      field += text.slice(at, end);
      at = end + 1;
      if (text[at] !== '"') break;
      field += '"';
      at += 1;
    }
    line += field.split(/\r\n|\n|\r/).length - 1;
    if (at < text.length && !",\r\n".includes(text[at]))
      refuse(
        line,
        `expected a comma or the end of the line after a closing quote, got ${JSON.stringify(text[at])}`,
      );
    return field;
  };
  const plain = /[^,\r\n]*/y;
  const lineEnd = /\r\n|\n|\r/y;
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    at += found?.length ?? 0;
    return found;
  };

  while (at < text.length) {
    const begun = line;
    const fields: string[] = [];
    for (;;) {
      fields.push(text[at] === '"' ? quoted() : take(plain)!);
      if (text[at] !== ",") break;
      at += 1;
    }
    if (take(lineEnd) !== null) line += 1;
    if (fields.length > 1 || fields[0].trim() !== "") rows.push({ line: begun, fields });
  }
  return rows;
}

/** Rows as text; fields with commas, quotes or line ends are quoted. */
export const formatCsv = (rows: readonly (readonly string[])[]): string =>
  rows
    .map((fields) =>
      fields.map((field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(","),
    )
    .map((line) => `${line}\n`)
    .join("");
