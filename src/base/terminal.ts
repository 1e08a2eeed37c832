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

// Control characters and line ends, C0 and C1, and what changes the direction of text: they steer a terminal, or make it show
// another text than there is.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function visible(character: string): string {
  const code = character.charCodeAt(0);
  return short[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");

/** Text from outside (a name, an error's message) on one line, with all that would steer the terminal as visible escapes. */
export const printable = (text: string): string => text.replace(steering, visible);

/** Text of our own making whose lines may hold text from outside: only its line feeds stay what they are. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n");

/** A value as JSON that steers no terminal: JSON itself leaves C1 controls and direction marks as they are. */
export const printableJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(steering, (character) =>
    // Between values, from the indentation.
    character === "\n" ? character : `\\u${hex(character.charCodeAt(0), 4)}`,
  );
