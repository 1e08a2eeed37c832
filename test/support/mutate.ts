// Damages a valid file: bytes, bits, cuts, repetitions, and pieces that parsers stumble over.
import { RandomStream } from "../../src/base/random.js";

const pieces = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ",",
  ":",
  "-",
  "e9",
  "9".repeat(20),
  "null",
  '"a"',
  "\\u0000",
  " ",
  "\n",
  "../",
];

/** `original` after one to four changes that `seed` decides, none of them before byte `from`. */
export function mutate(original: Uint8Array, seed: number, from = 0): Buffer {
  const random = RandomStream.named(seed, "mutation");
  let bytes = Buffer.from(original);
  const joined = (...parts: Uint8Array[]): Buffer<ArrayBuffer> => Buffer.concat(parts);
  for (let change = random.integer(4); change >= 0; change--) {
    const at = from + random.integer(Math.max(1, bytes.length - from));
    const end = at + random.integer(16);
    switch (random.integer(6)) {
      case 0:
        if (at < bytes.length) bytes[at] = random.integer(256);
        break;
      case 1:
        if (at < bytes.length) bytes[at] ^= 1 << random.integer(8);
        break;
      case 2:
        bytes = joined(bytes.subarray(0, at));
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(end));
        break;
      case 4:
        bytes = joined(
          bytes.subarray(0, at),
          Buffer.from(pieces[random.integer(pieces.length)]),
          bytes.subarray(at),
        );
        break;
      default:
        bytes = joined(bytes.subarray(0, end), bytes.subarray(at));
    }
  }
  return bytes;
}
