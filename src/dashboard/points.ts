// Records of epochs as the page gets them: the numbers that it draws, in few digits.
import type { JsonObject } from "../run/records.js";
import { architectureOf } from "../space/registry.js";
import type { ChoicePoint, Point, StepPoint } from "./types.js";

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** More digits than a screen has pixels. */
const short = (value: number): number => (Number.isInteger(value) ? value : Number(value.toPrecision(6)));

const numbers = (value: unknown): number[] | undefined =>
  Array.isArray(value) ? value.map((one) => (isNumber(one) ? short(one) : 0)) : undefined;

const number = (value: unknown): number | undefined => (isNumber(value) ? short(value) : undefined);

const objects = (value: unknown): JsonObject[] =>
  Array.isArray(value) ? value.filter((one) => one !== null && typeof one === "object") : [];

function choicePoint(choice: JsonObject): ChoicePoint {
  const mixtures = objects(choice.predecessors).map(({ predecessor, weights }) => ({
    predecessor: number(predecessor) ?? 0,
    weights: numbers(weights) ?? [],
  }));
  return {
    // Named otherwise by the first versions.
    b: numbers(choice.compressedCode ?? choice.code),
    z: numbers(choice.sparseCode),
    w: numbers(choice.weights),
    residual: number(choice.residual),
    distance: number(choice.distance),
    frozen: typeof choice.frozen === "boolean" ? choice.frozen : undefined,
    ...(mixtures.length > 0 ? { mixtures } : {}),
  };
}

/** The kept candidates of an architecture in its JSON form; undefined where no known space has it. */
function selectionOf(genotype: unknown): readonly (readonly number[])[] | undefined {
  if (genotype === null || genotype === undefined) return undefined;
  try {
    return architectureOf(genotype).selection;
  } catch {
    return undefined;
  }
}

/** A record without what the page does not draw; null where it is of no epoch. */
export function pointOf(record: JsonObject): Point | null {
  const { epoch, phase, nodes, choices = nodes, answer, knownAccuracies, genotype, ...rest } = record;
  if (!Number.isSafeInteger(epoch) || (epoch as number) < 0) return null;
  const figures = Object.entries(rest).filter((entry): entry is [string, number] => isNumber(entry[1]));
  const known = Object.entries((knownAccuracies ?? {}) as JsonObject).filter(
    (entry): entry is [string, number] => isNumber(entry[1]),
  );
  const parts = objects(choices);
  const supports = parts.map(({ support }) => numbers(support));
  const support = parts.length > 0 && supports.every((one) => one !== undefined) ? supports : undefined;
  const details = parts.map(choicePoint);
  const telling = details.some((one) => Object.values(one).some((value) => value !== undefined));
  return {
    epoch: epoch as number,
    phase: typeof phase === "string" ? phase : "",
    n: Object.fromEntries(figures.map(([name, value]) => [name, short(value)])),
    // Epochs of training that follow a search in one run have no choices any more.
    support: support ?? selectionOf(genotype),
    answer: selectionOf(answer),
    ...(telling ? { choices: details } : {}),
    ...(known.length > 0 ? { known: Object.fromEntries(known) } : {}),
  };
}

/** A row of steps.jsonl as the page draws it; null where it is none. */
export function stepPointOf({ step, epoch, loss, accuracy }: JsonObject): StepPoint | null {
  const figures = [step, epoch, loss, accuracy];
  return figures.every(isNumber) ? (figures.map(short) as unknown as StepPoint) : null;
}
