// Codes as JSON for checkpoints, validated on reading.

import { IstaError } from "../base/errors.js";
import type { ChoiceCode, Codes } from "./codes.js";
import { type MeasurementKind, measurementKinds, validateMatrix } from "./measurement.js";
import type { Recovery } from "./recovery.js";

/** Turns every Float64Array in a structure into an array of numbers. JSON prints doubles so that they read back exactly. */
type Plain<T> = T extends Float64Array
  ? number[]
  : T extends number | string | boolean
    ? T
    : { [key in keyof T]: Plain<T[key]> };

export type CodesJson = readonly Plain<ChoiceCode>[];

const numbers = (values: Float64Array): number[] => Array.from(values);

export function codesToJson(codes: Codes): CodesJson {
  return codes.map(({ measurement, compressed, recovery, adam, frozen }) => ({
    measurement: { ...measurement, data: numbers(measurement.data) },
    compressed: numbers(compressed),
    recovery: {
      ...recovery,
      code: numbers(recovery.code),
      solution: numbers(recovery.solution),
      support: [...recovery.support],
      weights: numbers(recovery.weights),
    },
    adam: { step: adam.step, mean: [...adam.mean], squareMean: [...adam.squareMean] },
    frozen,
  }));
}

function describeValue(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value);
}

function refuse(path: string, expected: string, value: unknown): never {
  throw new IstaError(
    "CODES_INVALID",
    `saved codes: at ${path}: expected ${expected}, got ${describeValue(value)}`,
  );
}

type Fields = Record<string, unknown>;

function object(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(path, "an object", value);
  return value as Fields;
}

function number(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) refuse(path, "a finite number", value);
  return value;
}

function whole(value: unknown, path: string, least: number, most: number): number {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    refuse(path, `a whole number from ${least} to ${most}`, value);
  return value as number;
}

function vector(value: unknown, path: string, length: number): number[] {
  if (!Array.isArray(value) || value.length !== length) refuse(path, `an array of ${length} numbers`, value);
  return Array.from(value, (entry: unknown, index) => number(entry, `${path}[${index}]`));
}

/** Far beyond any search space, and small enough to allocate without a thought. */
const largestDimension = 4096;

function readRecovery(value: unknown, path: string, columns: number): Recovery {
  const fields = object(value, path);
  if (!Array.isArray(fields.support) || fields.support.length < 1 || fields.support.length > columns)
    refuse(`${path}.support`, `an array of 1 to ${columns} indices`, fields.support);
  const support = Array.from(fields.support, (entry: unknown, index) =>
    whole(entry, `${path}.support[${index}]`, 0, columns - 1),
  );
  const unordered = support.findIndex((entry, index) => index > 0 && entry <= support[index - 1]);
  if (unordered >= 0) refuse(`${path}.support[${unordered}]`, "ascending indices", support[unordered]);
  const code = Float64Array.from(vector(fields.code, `${path}.code`, columns));
  const stray = code.findIndex((entry, index) => entry !== 0 && !support.includes(index));
  if (stray >= 0) refuse(`${path}.code[${stray}]`, "0 outside the support", code[stray]);
  // Older checkpoints have the sparse code alone.
  const solution =
    fields.solution === undefined
      ? code
      : Float64Array.from(vector(fields.solution, `${path}.solution`, columns));
  return {
    code,
    solution,
    support,
    weights: Float64Array.from(vector(fields.weights, `${path}.weights`, support.length)),
    residual: number(fields.residual, `${path}.residual`),
    nonzeros: whole(fields.nonzeros, `${path}.nonzeros`, 0, columns),
    completed: whole(fields.completed, `${path}.completed`, 0, support.length),
    lambda: number(fields.lambda, `${path}.lambda`),
  };
}

function readChoice(value: unknown, path: string): ChoiceCode {
  const fields = object(value, path);
  const matrix = object(fields.measurement, `${path}.measurement`);
  if (!measurementKinds.includes(matrix.kind as MeasurementKind))
    refuse(`${path}.measurement.kind`, `one of ${measurementKinds.join(", ")}`, matrix.kind);
  const rows = whole(matrix.rows, `${path}.measurement.rows`, 1, largestDimension);
  const columns = whole(matrix.columns, `${path}.measurement.columns`, 1, largestDimension);
  const measurement = {
    kind: matrix.kind as MeasurementKind,
    rows,
    columns,
    data: Float64Array.from(vector(matrix.data, `${path}.measurement.data`, rows * columns)),
  };
  validateMatrix(measurement, "saved codes");
  const adam = object(fields.adam, `${path}.adam`);
  const squareMean = vector(adam.squareMean, `${path}.adam.squareMean`, rows);
  const negative = squareMean.findIndex((entry) => entry < 0);
  if (negative >= 0)
    refuse(`${path}.adam.squareMean[${negative}]`, "no negative number", squareMean[negative]);
  if (typeof fields.frozen !== "boolean") refuse(`${path}.frozen`, "true or false", fields.frozen);
  return {
    measurement,
    compressed: Float64Array.from(vector(fields.compressed, `${path}.compressed`, rows)),
    recovery: readRecovery(fields.recovery, `${path}.recovery`, columns),
    adam: {
      step: whole(adam.step, `${path}.adam.step`, 0, Number.MAX_SAFE_INTEGER),
      mean: vector(adam.mean, `${path}.adam.mean`, rows),
      squareMean,
    },
    frozen: fields.frozen,
  };
}

/** Codes as they were saved before choices had an order of their own: the nodes of each cell type. */
function flattened(value: unknown): unknown {
  const { normal, reduction } = (value ?? {}) as { normal?: unknown; reduction?: unknown };
  return Array.isArray(normal) && Array.isArray(reduction) ? [...normal, ...reduction] : value;
}

/**
 * Reads codes back.
 * @param candidateCounts n of each choice.
 * @throws CODES_INVALID with the JSON path of the first thing wrong, or SPARSE_INPUT for a matrix with a column of zeros.
 */
export function codesFromJson(value: unknown, candidateCounts: readonly number[]): Codes {
  const choices = flattened(value);
  if (!Array.isArray(choices) || choices.length !== candidateCounts.length)
    refuse("$", `an array of ${candidateCounts.length} choices`, choices);
  return Array.from(choices as unknown[], (entry, index) => {
    const code = readChoice(entry, `$[${index}]`);
    const { columns } = code.measurement;
    if (columns !== candidateCounts[index])
      refuse(`$[${index}].measurement.columns`, `${candidateCounts[index]} candidates`, columns);
    return code;
  });
}
