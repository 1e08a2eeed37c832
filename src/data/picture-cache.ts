// Pictures that were decoded and reduced once, kept in memory that all threads share, up to a limit.

import { totalmem } from "node:os";
import { constrainedMemory } from "node:process";
import type { Picture } from "./picture.js";

/** Pixels of a reduced picture: red, green and blue in turn. */
export interface KeptPicture {
  readonly width: number;
  readonly height: number;
  readonly pixels: SharedArrayBuffer;
}

/** A quarter of the memory that this process may use, in bytes. */
export function usualCacheBytes(): number {
  const allowed = constrainedMemory();
  return Math.floor((allowed > 0 ? Math.min(allowed, totalmem()) : totalmem()) / 4);
}

/**
 * What has no place is decoded anew each time: training goes through all pictures epoch after epoch, so that throwing the oldest out
 * for the newest would keep none until it is needed.
 */
export class PictureCache {
  private readonly pictures = new Map<string, KeptPicture>();
  private used = 0;

  constructor(private readonly maximumBytes: number) {}

  get count(): number {
    return this.pictures.size;
  }

  /** Whether there may be room for more. */
  get hasRoom(): boolean {
    return this.used < this.maximumBytes;
  }

  get(path: string): KeptPicture | undefined {
    return this.pictures.get(path);
  }

  /** Keeps the picture if there is room. */
  keep(path: string, picture: KeptPicture): void {
    const bytes = picture.pixels.byteLength;
    if (this.pictures.has(path)) return;
    if (this.used + bytes > this.maximumBytes) {
      // Smaller ones are not tried either: asking threads for them would cost copies.
      this.used = this.maximumBytes;
      return;
    }
    this.pictures.set(path, picture);
    this.used += bytes;
  }

  clear(): void {
    this.pictures.clear();
    this.used = 0;
  }
}

/** The form in which a reduced picture is kept. */
export function toKept({ width, height, bytes }: Picture): KeptPicture {
  const pixels = new SharedArrayBuffer(bytes.length);
  new Uint8Array(pixels).set(bytes);
  return { width, height, pixels };
}

export const fromKept = (path: string, { width, height, pixels }: KeptPicture): Picture => ({
  path,
  bytes: new Uint8Array(pixels),
  width,
  height,
  reduced: true,
});
