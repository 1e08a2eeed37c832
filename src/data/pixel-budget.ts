// How many pixels are decoded at once, by all threads that share a budget: large pictures wait for each other.

/** As many as the largest picture has; a picture that is larger than what is left waits, and one alone is always let in. */
export const maximumPixelsInFlight = 100_000_000;
/** Milliseconds; only large pictures wait, which take far longer. */
const pause = 5;

export class PixelBudget {
  private readonly used: Int32Array;

  /** @param shared made by another budget, in whichever thread; one of its own where not given */
  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.used = new Int32Array(shared);
  }

  /** Runs `decode`, which holds so many pixels, as soon as there is room for them. */
  async during<T>(pixels: number, decode: () => Promise<T>): Promise<T> {
    while (!this.take(pixels)) await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      return await decode();
    } finally {
      Atomics.sub(this.used, 0, pixels);
    }
  }

  private take(pixels: number): boolean {
    for (;;) {
      const before = Atomics.load(this.used, 0);
      if (before > 0 && before + pixels > maximumPixelsInFlight) return false;
      if (Atomics.compareExchange(this.used, 0, before, before + pixels) === before) return true;
    }
  }
}
