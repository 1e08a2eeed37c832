// Progress of a long run: one rewritten line on a terminal, a line now and then in a pipe or a log file.
import { formatDuration, formatPercent } from "../base/format.js";
import { printable, styled } from "../base/terminal.js";
// A type only: the module behind it loads the tensor library.
import type { ProgressState as RunProgress } from "../course/loop.js";

/** How far a run is; what has no loss, such as an evaluation, leaves it out. */
export type ProgressState = Omit<RunProgress, "loss" | "accuracy"> &
  Partial<Pick<RunProgress, "loss" | "accuracy">>;

export interface ProgressOptions {
  stream?: NodeJS.WriteStream;
  /** Seconds since some moment; the process's clock where not given. */
  clock?: () => number;
  /** Print nothing (with `--json`). */
  quiet?: boolean;
  /** Print not even warnings. */
  silent?: boolean;
}

const terminalPause = 0.1;
const pipePause = 15;
/** The speed is averaged over about this many seconds. */
const speedWindow = 10;
const barWidth = 20;
const clearLine = "\r\u001b[2K";

export class Progress {
  private readonly stream: NodeJS.WriteStream;
  private readonly clock: () => number;
  private readonly quiet: boolean;
  private readonly silent: boolean;
  private shown = Number.NEGATIVE_INFINITY;
  private lineIsOpen = false;
  private speed: number | null = null;
  private before: { time: number; images: number; steps: number } | null = null;
  private stepsPerSecond: number | null = null;

  constructor({
    stream = process.stderr,
    clock = () => performance.now() / 1000,
    quiet = false,
    silent = false,
  }: ProgressOptions = {}) {
    this.stream = stream;
    this.clock = clock;
    this.quiet = quiet || silent;
    this.silent = silent;
  }

  private get onTerminal(): boolean {
    return this.stream.isTTY === true && process.env.TERM !== "dumb";
  }

  /** To be called after every step; shows what is due. */
  update(state: ProgressState): void {
    const now = this.clock();
    this.measure(state, now);
    if (this.quiet || now - this.shown < (this.onTerminal ? terminalPause : pipePause)) return;
    this.shown = now;
    const line = printable(this.line(state));
    if (this.onTerminal) this.rewrite(line);
    else this.stream.write(`${line}\n`);
  }

  /** Shows a line of somebody else's making as the one that is rewritten; in a pipe nothing. */
  status(line: string): void {
    if (!this.quiet && this.onTerminal) this.rewrite(printable(line));
  }

  /** What a line may take of the window without being broken. */
  private get width(): number {
    return (this.stream.columns || 80) - 1;
  }

  private rewrite(line: string): void {
    this.stream.write(`${clearLine}${line.slice(0, this.width)}`);
    this.lineIsOpen = true;
  }

  /** Prints a line that stays, above the progress line. */
  log(line: string): void {
    if (this.quiet) return;
    this.clear();
    this.stream.write(`${printable(line)}\n`);
    this.shown = Number.NEGATIVE_INFINITY;
  }

  /** Prints a warning; also where progress is not wanted. */
  warn(message: string): void {
    if (this.silent) return;
    this.clear();
    this.stream.write(`${styled("warning", "yellow", this.stream)}: ${printable(message)}\n`);
  }

  /** Takes the progress line away. */
  clear(): void {
    if (!this.lineIsOpen) return;
    this.stream.write(clearLine);
    this.lineIsOpen = false;
  }

  private measure({ epoch, step, steps, images }: ProgressState, now: number): void {
    const done = (epoch - 1) * steps + step;
    // Another run, which counts from the beginning and has a speed of its own.
    if (this.before !== null && images < this.before.images) {
      this.before = null;
      this.speed = null;
      this.stepsPerSecond = null;
    }
    if (this.before !== null) {
      const seconds = now - this.before.time;
      if (seconds <= 0) return;
      const weight = 1 - Math.exp(-seconds / speedWindow);
      const blend = (old: number | null, value: number): number =>
        old === null ? value : old + weight * (value - old);
      this.speed = blend(this.speed, (images - this.before.images) / seconds);
      this.stepsPerSecond = blend(this.stepsPerSecond, (done - this.before.steps) / seconds);
    }
    this.before = { time: now, images, steps: done };
  }

  private line({ phase, epoch, epochs, step, steps, loss, accuracy }: ProgressState): string {
    const filled = Math.min(barWidth, Math.floor((barWidth * step) / Math.max(1, steps)));
    // What is wanted most comes first: where the window is narrow, the bar goes, and then what is last.
    const parts = [`${phase} ${epoch}/${epochs}`];
    if (this.stepsPerSecond !== null && this.stepsPerSecond > 0) {
      const inEpoch = (steps - step) / this.stepsPerSecond;
      const inAll = inEpoch + ((epochs - epoch) * steps) / this.stepsPerSecond;
      parts.push(`left ${formatDuration(inAll)}`);
    }
    const bar = parts.length;
    parts.push(`${step}/${steps}`);
    if (loss !== undefined) parts.push(`loss ${loss.toFixed(4)}`);
    if (accuracy !== undefined) parts.push(`accuracy ${formatPercent(accuracy, 1)}`);
    if (this.speed !== null) parts.push(`${this.speed.toPrecision(3)} images/s`);
    if (!this.onTerminal) return parts.join("  ");
    const whole = parts.toSpliced(bar, 0, `${"█".repeat(filled)}${"░".repeat(barWidth - filled)}`).join("  ");
    if (whole.length <= this.width) return whole;
    while (parts.length > 1 && parts.join("  ").length > this.width) parts.pop();
    return parts.join("  ");
  }
}
