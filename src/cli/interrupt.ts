// Ctrl-C, termination and a terminal that goes away: the first signal asks the loop to finish its step and save, the second quits at once.

/** Set by the program's first lines, where it was started with hang-ups ignored, as nohup does. Node itself undoes that. */
const ignoresHangups = process.env.ISTA_NAS_HANGUPS === "ignored";

const signals: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  ...(ignoresHangups ? [] : (["SIGHUP"] as const)),
];

/** Exit status of a command that a signal ended in good order. */
export const interruptedStatus = 130;

/** Lets the process outlive its terminal where it was started so that it should. */
export function heedNohup(): void {
  if (ignoresHangups) process.on("SIGHUP", () => {});
}

export class Interruption {
  #signal: NodeJS.Signals | null = null;
  /** Whether one of those has come of which a second one quits. */
  private asked = false;

  /** @param announce told once, with the signal's name, when the first one arrives. */
  constructor(private readonly announce: (signal: NodeJS.Signals) => void) {
    for (const signal of signals) process.on(signal, this.receive);
    // A run of a study has a channel to it; that it waits for nothing on it must not keep the run alive.
    process.on("disconnect", this.leave);
    process.channel?.unref();
  }

  /** The signal that asked to stop, or null. To be looked at after every step; the event loop must get its turn for it. */
  get signal(): NodeJS.Signals | null {
    return this.#signal;
  }

  private readonly receive = (signal: NodeJS.Signals): void => {
    // When a terminal goes away, the system and the shell both say so: that is no impatience.
    if (signal !== "SIGHUP") {
      if (this.asked) process.exit(interruptedStatus);
      this.asked = true;
    }
    if (this.#signal !== null) return;
    this.#signal = signal;
    this.announce(signal);
  };

  /** The study that started this run is gone, perhaps killed: nobody waits for the run, and the next study goes on with it. */
  private readonly leave = (): void => {
    if (this.#signal === null) this.receive("SIGTERM");
  };

  /** Gives the signals back to whoever had them. */
  close(): void {
    for (const signal of signals) process.removeListener(signal, this.receive);
    process.removeListener("disconnect", this.leave);
  }
}
