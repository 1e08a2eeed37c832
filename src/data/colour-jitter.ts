// Random changes of brightness, contrast, saturation and hue, as torchvision's ColorJitter makes them.

import type { RandomStream } from "../base/random.js";

/** Strengths of brightness, contrast, saturation (factors 1 - v .. 1 + v) and hue (turns -v .. v, at most 0.5). */
export type ColourJitter = readonly [brightness: number, contrast: number, saturation: number, hue: number];

/** What was drawn: the four changes by index, in the order in which they are made, and how far each goes. */
export interface DrawnJitter {
  readonly order: readonly number[];
  readonly factors: readonly number[];
}

export function drawJitter(stream: RandomStream, jitter: ColourJitter): DrawnJitter {
  const between = (low: number, high: number): number => low + (high - low) * stream.uniform();
  const order = stream.shuffle([0, 1, 2, 3]);
  const factors = jitter.map((v, index) =>
    index === 3 ? between(-v, v) : between(Math.max(0, 1 - v), 1 + v),
  );
  return { order, factors };
}

/**
 * Changes one planar picture of bytes in place, rounding to bytes after each of the four changes. Grey pictures
 * (1 channel) have no saturation and no hue.
 */
export function applyJitter(pixels: Uint8Array, channels: number, { order, factors }: DrawnJitter): void {
  for (const change of order) {
    const factor = factors[change];
    if (change === 0) adjustTowards(pixels, 0, factor);
    else if (change === 1) adjustTowards(pixels, meanLuminance(pixels, channels), factor);
    else if (channels === 3 && change === 2) adjustSaturation(pixels, factor);
    else if (channels === 3 && factor !== 0) shiftHue(pixels, factor);
  }
}

const byte = (value: number): number => (value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0);

const luminance = (r: number, g: number, b: number): number => 0.299 * r + 0.587 * g + 0.114 * b;

/** value * factor + centre * (1 - factor), by a table because every byte is treated alike. */
function adjustTowards(pixels: Uint8Array, centre: number, factor: number): void {
  const table = new Uint8Array(256);
  for (let value = 0; value < 256; value++) table[value] = byte(value * factor + centre * (1 - factor));
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[pixels[i]];
}

function meanLuminance(pixels: Uint8Array, channels: number): number {
  const area = pixels.length / channels;
  const sums = Array.from({ length: channels }, (_, channel) => {
    let sum = 0;
    for (let i = channel * area; i < (channel + 1) * area; i++) sum += pixels[i];
    return sum / area;
  });
  return Math.round(channels === 3 ? luminance(sums[0], sums[1], sums[2]) : sums[0]);
}

function adjustSaturation(pixels: Uint8Array, factor: number): void {
  const area = pixels.length / 3;
  for (let i = 0; i < area; i++) {
    const r = pixels[i];
    const g = pixels[i + area];
    const b = pixels[i + 2 * area];
    const rest = luminance(r, g, b) * (1 - factor);
    pixels[i] = byte(r * factor + rest);
    pixels[i + area] = byte(g * factor + rest);
    pixels[i + 2 * area] = byte(b * factor + rest);
  }
}

/** Turns the hue (of hue, saturation, value) by -0.5 .. 0.5 of the full circle. */
function shiftHue(pixels: Uint8Array, turns: number): void {
  const area = pixels.length / 3;
  for (let i = 0; i < area; i++) {
    const r = pixels[i];
    const g = pixels[i + area];
    const b = pixels[i + 2 * area];
    const value = Math.max(r, g, b);
    const chroma = value - Math.min(r, g, b);
    if (chroma === 0) continue;
    // In sixths of the circle, from red; brought back to 0 .. 6 after the turn.
    let hue = value === r ? (g - b) / chroma : value === g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma;
    hue += 6 * turns;
    if (hue < 0) hue += 6;
    else if (hue >= 6) hue -= 6;
    pixels[i] = hueChannel(hue + 5, value, chroma);
    pixels[i + area] = hueChannel(hue + 3, value, chroma);
    pixels[i + 2 * area] = hueChannel(hue + 1, value, chroma);
  }
}

/** A channel falls from the value by the chroma times its distance (at most 1) from the plateau around its own hue. */
function hueChannel(shifted: number, value: number, chroma: number): number {
  const k = shifted >= 6 ? shifted - 6 : shifted;
  const distance = k < 2 ? k : 4 - k;
  return byte(value - chroma * Math.min(1, Math.max(0, distance)));
}
