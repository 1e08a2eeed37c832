// The error type of the whole program and the catalogue of its codes.

/**
 * Every code with what it means and the exit status a command ends with: 2 for wrong usage (nothing was started),
 * 1 for a failure. `docs/errors.md` lists them and a test provokes each.
 */
export const errorCatalogue = {
  USAGE: {
    status: 2,
    meaning: "the command line has an unknown flag, a missing value, or values that do not go together",
  },
  INTERNAL: { status: 1, meaning: "a mistake in this program; please report it with the stack" },
} as const satisfies Record<string, { status: 1 | 2; meaning: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * An error that a user can act on. The message is one line: what was expected, what came, where, and the way out.
 * Everything that this program throws on purpose is one of these; anything else is a mistake of ours.
 */
export class IstaError extends Error {
  override readonly name = "IstaError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }

  get exitStatus(): 1 | 2 {
    return errorCatalogue[this.code].status;
  }
}
