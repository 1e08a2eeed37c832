// What JSON.parse does not tell: whether an object in the text has a key twice.

/**
 * The first key that occurs twice in one object of `text`, or null. JSON.parse would keep the last and say nothing.
 * @param text valid JSON, as JSON.parse has established.
 */
export function duplicateKey(text: string): string | null {
  // One set of keys for each open object, null for each open array.
  const open: (Set<string> | null)[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;
  for (const [token, colon] of text.matchAll(tokens)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (colon !== undefined) {
      const key: string = JSON.parse(token.slice(0, token.length - colon.length));
      const keys = open[open.length - 1]!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}
