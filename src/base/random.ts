// Random streams: reproducible, named, derived from one seed, with a state that can be saved. No hidden global state.
import { createHash } from "node:crypto";

/** The complete state of a stream: four unsigned 32-bit words. */
export type RandomState = readonly [number, number, number, number];

/**
 * Four words from a seed and a name. Seeds below 2^32 give what they always gave: a 32-bit hash (FNV-1a over the bytes), spread over the
 * words (splitmix32), so that of very many streams two may be the same one. Larger seeds use 128 bits of SHA-256.
 */
function seedWords(seed: number, name: string): RandomState {
  if (seed >= 2 ** 32) {
    const digest = createHash("sha256").update(`${seed}/${name}`).digest();
    const [a, b, c, d] = [0, 4, 8, 12].map((offset) => digest.readUInt32LE(offset));
    // Not all zero, which the generator would never leave.
    return [a, b, c, d | 1];
  }
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${seed}/${name}`)) hash = Math.imul(hash ^ byte, 0x01000193);
  const word = (): number => {
    hash = (hash + 0x9e3779b9) | 0;
    let x = hash ^ (hash >>> 16);
    x = Math.imul(x, 0x21f0aaad);
    x ^= x >>> 15;
    x = Math.imul(x, 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
  return [word(), word(), word(), word() | 1];
}

const rotateLeft = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

/** One stream of random numbers: xoshiro128** (Blackman and Vigna, 2018). */
export class RandomStream {
  private words: Uint32Array;

  constructor(state: RandomState) {
    this.words = Uint32Array.from(state);
  }

  /** The stream called `name` of the run with this seed. Streams of different names are independent of each other. */
  static named(seed: number, name: string): RandomStream {
    return new RandomStream(seedWords(seed, name));
  }

  get state(): RandomState {
    const [a, b, c, d] = this.words;
    return [a, b, c, d];
  }

  set state(state: RandomState) {
    this.words = Uint32Array.from(state);
  }

  /** Uniform integer in [0, 2^32). */
  nextUint32(): number {
    const s = this.words;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** Uniform in [0, 1) with 53 random bits. */
  uniform(): number {
    return (this.nextUint32() * 2097152 + (this.nextUint32() >>> 11)) / 9007199254740992;
  }

  /** Uniform integer in [0, limit), without modulo bias. */
  integer(limit: number): number {
    const bound = 4294967296 - (4294967296 % limit);
    let x = this.nextUint32();
    while (x >= bound) x = this.nextUint32();
    return x % limit;
  }

  /** Standard normal, by Box and Muller; nothing is kept between calls, so that the four words are the whole state. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Shuffles `items` in place (Fisher and Yates) and returns it. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }
}
