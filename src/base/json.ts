// What JSON.parse does not tell: how much a text will take, and whether an object in it has a key twice.

/** Objects, lists and texts that a JSON file may have: each takes a hundred bytes of memory and can take three of the file. */
export const maximumJsonParts = 1_000_000;

/** How many objects, lists and texts JSON in UTF-8 has at most; of what is no JSON, some number. */
export function jsonParts(text: Uint8Array): number {
  let openings = 0;
  let quotes = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i];
    if (byte === 0x7b || byte === 0x5b) openings += 1;
    else if (byte === 0x22) quotes += 1;
  }
  return openings + quotes / 2;
}

/** Where the string that begins at `start` ends (one past its closing quote). */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let first = quote;
    while (text[first - 1] === "\\") first -= 1;
    // An odd number of backslashes before it: the quote is part of the string.
    if ((quote - first) % 2 === 0) return quote + 1;
  }
}

/**
 * The first key that occurs twice in one object of `text`, or null. JSON.parse would keep the last and say nothing.
 * A loop over the text, since a regular expression overflows the stack on strings of some megabytes.
 * @param text valid JSON, as JSON.parse has established.
 */
export function duplicateKey(text: string): string | null {
  // One set of keys for each open object, null for each open array.
  const open: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(null);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const end = stringEnd(text, i);
      let after = end;
      while (" \t\r\n".includes(text[after] ?? ".")) after += 1;
      if (text[after] === ":") {
        const key: string = JSON.parse(text.slice(i, end));
        const keys = open[open.length - 1]!;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      i = end - 1;
    }
  }
  return null;
}
