import { IstaError } from "../../src/base/errors.js";

/** The IstaError that the action throws; anything else, or nothing, fails the test. */
export function failure(action: () => unknown): IstaError {
  try {
    action();
  } catch (error) {
    if (error instanceof IstaError) return error;
    throw error;
  }
  throw new Error("expected an error");
}
