// Texts of genotypes from outside: how they are quoted in messages, and how long they may be.
import { IstaError } from "../base/errors.js";

/** Characters that no genotype text needs; longer ones are refused unread. */
export const largestGenotypeText = 16_384;

/** Throws GENOTYPE_INVALID for a text longer than any genotype. */
export function requireGenotypeLength(text: string): void {
  if (text.length > largestGenotypeText)
    throw new IstaError(
      "GENOTYPE_INVALID",
      `genotype: expected at most ${largestGenotypeText} characters, got ${text.length}`,
    );
}

/** The beginning of a text from outside in quotes, with everything escaped that a line or a terminal could stumble over. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text.slice(0, 40)).replace(
    /\p{Cc}/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return text.length > 40 ? `${quoted}...` : quoted;
}

/** A value as it should appear in a one-line message, whatever its size. */
function describeValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

/** @throws IstaError GENOTYPE_INVALID saying what was expected at a JSON path, and what came */
export function refuseGenotype(path: string, expected: string, value: unknown): never {
  throw new IstaError(
    "GENOTYPE_INVALID",
    `genotype: at ${path}: expected ${expected}, got ${describeValue(value)}`,
  );
}

/** An object with no other keys than these. @throws IstaError GENOTYPE_INVALID */
export function genotypeObject(value: unknown, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    refuseGenotype("$", "an object", value);
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record))
    if (!keys.includes(key))
      refuseGenotype(
        /^\w{1,40}$/.test(key) ? `$.${key}` : `$[${quote(key)}]`,
        `only the keys ${keys.join(", ")}`,
        key,
      );
  return record;
}
