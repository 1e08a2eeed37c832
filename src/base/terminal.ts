// Colour on terminals that want it: not in pipes, not with NO_COLOR (no-color.org), always with FORCE_COLOR.
import type { WriteStream } from "node:tty";

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

export type Style = keyof typeof codes;

/** Whether escape sequences make sense on `stream`. */
export function hasColour(stream: NodeJS.WriteStream | WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "0") return true;
  return stream.isTTY === true && TERM !== "dumb";
}

/** `text` in a style, where `stream` shows it. */
export function styled(text: string, style: Style, stream: NodeJS.WriteStream = process.stdout): string {
  const [on, off] = codes[style];
  return hasColour(stream) ? `\u001b[${on}m${text}\u001b[${off}m` : text;
}

/** Text from outside (a file name, an error's message) without control characters that would steer the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}
