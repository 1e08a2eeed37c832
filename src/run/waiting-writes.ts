// Writes of a run in their one order: those that a full disk keeps from being done wait, and go first when there is room.
import { type ErrorCode, IstaError } from "../base/errors.js";

/** Failures after which the run may go on and try again: they can pass while it computes. */
const passing: readonly ErrorCode[] = ["FILE_DISK_FULL", "FILE_DENIED", "FILE_READ_ONLY", "FILE_IO"];

export class WaitingWrites {
  /** By what they write, in the order in which they must be done. */
  private readonly waiting = new Map<string, () => void>();

  /** @param warn told of a write that waits; null where nobody is, and the failure is thrown */
  constructor(private readonly warn: ((text: string) => void) | null) {}

  /**
   * Does what waits and then this; where that fails for a time, this waits, too, instead of an earlier one of the same name. Nothing
   * is ever done before what was given earlier: what is there of a run always belongs together.
   * @throws IstaError what will not pass, such as RUN_GONE
   */
  do(name: string, write: () => void): void {
    const held = this.waiting.size > 0;
    const failure = this.tryAll();
    this.waiting.delete(name);
    this.waiting.set(name, write);
    const problem = failure ?? this.tryAll();
    if (problem === null) {
      if (held) this.warn?.("there is room again: everything that was not saved is saved now");
      return;
    }
    if (this.warn === null) throw problem;
    this.warn(`not saved, the run goes on and tries again later: ${problem.code} ${problem.message}`);
  }

  /** Names of what waits, the first one first. */
  get names(): string[] {
    return [...this.waiting.keys()];
  }

  /** What need not be written any more. */
  forget(name: string): void {
    this.waiting.delete(name);
  }

  /** Tries once more. @throws IstaError that names all that is missing */
  finish(): void {
    const problem = this.tryAll();
    if (problem === null) return;
    throw new IstaError(
      problem.code,
      `${problem.message}; not saved: ${this.names.join(", ")}; with room there, --resume goes on from what is saved`,
      { cause: problem },
    );
  }

  /** Does what waits, up to the first that fails for a time; null where all is done. */
  private tryAll(): IstaError | null {
    for (const [name, write] of this.waiting) {
      try {
        write();
      } catch (error) {
        if (error instanceof IstaError && passing.includes(error.code)) return error;
        throw error;
      }
      this.waiting.delete(name);
    }
    return null;
  }
}
