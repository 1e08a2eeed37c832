// What every refusal of a genotype must be.
import { expect } from "vitest";
import { IstaError } from "../../src/base/errors.js";

/** Checks that an error of one line with its own code says this. */
export function expectRefusal(act: () => unknown, message: string): void {
  expect(act).toThrow(IstaError);
  expect(act).toThrow(message);
  try {
    act();
  } catch (error) {
    expect((error as IstaError).code).toBe("GENOTYPE_INVALID");
    expect((error as IstaError).message).not.toMatch(/\p{Cc}/u);
  }
}
