// What JSON.parse does not tell: whether an object in the text has a key twice.

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
