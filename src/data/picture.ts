// Decodes picture files with sharp: any size, colour model, depth, transparency and orientation to planar bytes.

import { createRequire } from "node:module";
import type Sharp from "sharp";
import { IstaError } from "../base/errors.js";
import type { RandomStream } from "../base/random.js";
import { writeImage } from "./augmentation.js";
import { readBytes } from "./disk.js";
import { normalisationTables } from "./image-set.js";
import { jpegProblem } from "./jpeg-check.js";
import { PixelBudget } from "./pixel-budget.js";
import { averagePlanes, paddedSide, padPlanes } from "./planes.js";
import type { Fit, Normalisation, PixelSize, Preparation } from "./types.js";

/** A picture of more pixels is refused before it is decoded (0.3 GB as colour bytes): it may be a decompression bomb. */
export const maximumPicturePixels = 100_000_000;
/** A larger picture file is refused unread. */
export const maximumPictureBytes = 256 * 2 ** 20;
/** Seconds after which decoding one picture is given up. */
const decodeSeconds = 60;

/** The formats that belong in an image folder, whatever a file's name says. */
export const folderFormats: readonly string[] = ["jpeg", "png", "webp", "gif", "tiff", "heif"];

/** A picture file that was read and whose header is understood. */
export interface Picture {
  readonly path: string;
  /** Of the file; of a picture that was reduced, its pixels: red, green and blue in turn. */
  readonly bytes: Uint8Array;
  readonly reduced?: boolean;
  /** What the decoder may not pass over, beyond errors: in a progressive JPEG its warnings tell of missing data. */
  readonly failOn?: "error" | "warning";
  /** Size in pixels, upright: after the orientation of its EXIF data is applied. */
  readonly width: number;
  readonly height: number;
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Which part of a picture is taken (all by default), the size it is scaled to, and what is cut out of that. */
export interface Geometry {
  readonly extract?: Box;
  readonly width: number;
  readonly height: number;
  readonly crop?: Box;
}

const require = createRequire(import.meta.url);

/** Loaded on first use: commands that touch no picture need not wait for it. */
function loadSharp(): typeof Sharp {
  const sharp: typeof Sharp = require("sharp");
  // Pictures are decoded once; keeping them would only cost memory. Several at a time fill the cores.
  sharp.cache(false);
  sharp.concurrency(1);
  return sharp;
}

const pictureError = (path: string, wanted: string, cause: unknown): IstaError => {
  const reason = (cause as Error).message.split("\n")[0];
  // What happened, in words of people, where the decoder's own are not.
  const meaning = /heif/.test(reason)
    ? " (HEIC, as telephones take pictures, cannot be read: convert them to JPEG first)"
    : /premature end|unknown error|corrupt jpeg|its header claims/i.test(reason)
      ? " (the file may be cut off: copy it again)"
      : "";
  return new IstaError(
    "DATA_PICTURE",
    `picture: expected ${wanted} in ${path}, decoding says: ${reason}${meaning}; replace the file or leave broken pictures out`,
    { cause },
  );
};

/**
 * Whether it is text, such as an SVG drawing, or packed text. How long a drawing takes does not show in its length: references to
 * references to references double each time.
 */
function isDrawing(bytes: Uint8Array): boolean {
  // Behind marks of UTF-8 and UTF-16, and blanks.
  const first = bytes.find((byte) => ![0xef, 0xbb, 0xbf, 0xfe, 0xff, 0, 9, 10, 13, 32].includes(byte));
  return first === 0x3c || (bytes[0] === 0x1f && bytes[1] === 0x8b);
}

/**
 * Reads a picture file and its header. Without `formats` anything of pixels that sharp reads is accepted.
 * Throws DATA_PICTURE, DATA_LIMIT (too many pixels) and FILE_* errors that name the file.
 * @param isWhole known from an earlier time: the data of a JPEG are not compared with its header again
 */
export async function openPicture(
  path: string,
  formats?: readonly string[],
  isWhole = false,
): Promise<Picture> {
  const bytes = readBytes(path, maximumPictureBytes);
  const sharp = loadSharp();
  const wanted = `a picture (${formats?.join(", ") ?? "of a format that sharp reads"})`;
  try {
    if (isDrawing(bytes)) throw new Error("its content is text, such as an svg drawing: save it as PNG");
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    const { format, autoOrient, isProgressive = false } = header;
    if (formats !== undefined && !formats.includes(format)) throw new Error(`its content is ${format}`);
    const { width, height } = autoOrient;
    if (width * height > maximumPicturePixels) {
      throw new IstaError(
        "DATA_LIMIT",
        `picture: expected at most ${maximumPicturePixels} pixels in ${path}, it has ${width} x ${height}; scale it down`,
      );
    }
    if (format !== "jpeg") return { path, bytes, width, height };
    const problem = isWhole ? null : jpegProblem(bytes);
    if (problem !== null) throw new Error(problem);
    return { path, bytes, width, height, ...(isProgressive ? { failOn: "warning" } : {}) };
  } catch (cause) {
    throw cause instanceof IstaError ? cause : pictureError(path, wanted, cause);
  }
}

/** Shorter side in pixels to which larger pictures are reduced once: as much as crops of small parts for this size need. */
const usefulSide = ({ height, width }: PixelSize): number => Math.max(512, 3 * Math.max(height, width));

/**
 * `openPicture` for images of a size. A much larger picture is decoded here, to as many pixels as are useful, which takes a fraction
 * of the time: it is what is kept where a picture is needed again and again. All who prepare pictures begin with this.
 * Throws as `openPicture`.
 */
export async function openReduced(
  path: string,
  size: PixelSize,
  formats?: readonly string[],
  isWhole = false,
): Promise<Picture> {
  const picture = await openPicture(path, formats, isWhole);
  const { bytes, ...sides } = picture;
  const scale = usefulSide(size) / Math.min(sides.width, sides.height);
  if (scale >= 1) return picture;
  const [width, height] = [sides.width, sides.height].map((side) => Math.round(side * scale));
  try {
    const image = sourceOf(picture).resize({ width, height, fit: "fill", kernel: "linear" });
    const { data, info } = await decoded(picture, image.toColourspace("srgb"));
    if (info.channels !== 3 || data.length !== 3 * width * height)
      throw new Error(`${info.width} x ${info.height} pixels of ${info.channels} channels came out`);
    return { path, bytes: data, width, height, reduced: true };
  } catch (cause) {
    throw pictureError(path, `${sides.width} x ${sides.height} pixels`, cause);
  }
}

let budget = new PixelBudget();

/** Decodes within the budget of other threads from now on. */
export function usePixelBudget(shared: SharedArrayBuffer): void {
  if (budget.shared !== shared) budget = new PixelBudget(shared);
}

function decoded({ width, height }: Picture, image: ReturnType<typeof Sharp>) {
  return budget.during(width * height, () => image.raw().toBuffer({ resolveWithObject: true }));
}

function sourceOf({
  bytes,
  width,
  height,
  reduced = false,
  failOn = "error",
}: Picture): ReturnType<typeof Sharp> {
  const sharp = loadSharp();
  if (reduced)
    return sharp(bytes, { raw: { width, height, channels: 3 } }).timeout({ seconds: decodeSeconds });
  // Warnings (stray bytes between markers) are common in pictures from cameras and harmless; errors are not.
  return sharp(bytes, { autoOrient: true, limitInputPixels: maximumPicturePixels, failOn })
    .flatten({ background: "#ffffff" })
    .timeout({ seconds: decodeSeconds });
}

/**
 * The pixels as planar bytes, `channels` x height x width of the geometry's crop (or scaled size): 3 are sRGB, 1 is
 * grey. CMYK and 16-bit pictures are converted, transparency is laid on white (as most viewers show it), the
 * orientation of EXIF data is applied. Scaling is bilinear with antialiasing, like torchvision's. Throws DATA_PICTURE.
 */
export async function renderPicture(
  picture: Picture,
  geometry: Geometry,
  channels: 1 | 3,
): Promise<Uint8Array> {
  const { path, width, height } = picture;
  try {
    let image = sourceOf(picture);
    if (geometry.extract !== undefined) image = image.extract(geometry.extract);
    const source = geometry.extract ?? picture;
    if (source.width !== geometry.width || source.height !== geometry.height) {
      image = image.resize({
        width: geometry.width,
        height: geometry.height,
        fit: "fill",
        kernel: "linear",
        fastShrinkOnLoad: false,
      });
    }
    if (geometry.crop !== undefined) image = image.extract(geometry.crop);
    image = channels === 1 ? image.greyscale() : image.toColourspace("srgb");
    const { data, info } = await decoded(picture, image);
    const { width: outWidth, height: outHeight } = geometry.crop ?? geometry;
    if (info.channels !== channels || data.length !== channels * outWidth * outHeight) {
      throw new Error(`${info.width} x ${info.height} pixels of ${info.channels} channels came out`);
    }
    return toPlanar(data, channels);
  } catch (cause) {
    throw pictureError(path, `${width} x ${height} pixels`, cause);
  }
}

function toPlanar(interleaved: Uint8Array, channels: 1 | 3): Uint8Array {
  if (channels === 1) return new Uint8Array(interleaved);
  const area = interleaved.length / 3;
  const planar = new Uint8Array(interleaved.length);
  for (let i = 0, from = 0; i < area; i++, from += 3) {
    planar[i] = interleaved[from];
    planar[i + area] = interleaved[from + 1];
    planar[i + 2 * area] = interleaved[from + 2];
  }
  return planar;
}

/** The whole picture at its own size. */
export const wholePicture = ({ width, height }: Picture): Geometry => ({ width, height });

/**
 * For evaluation: scaled so that it just covers `resizeRatio` times the wanted size, then cut out of the centre.
 * The ratio of the ImageNet recipe is 256 / 224; 1 shows as much of the picture as a square can.
 */
export function centreCrop(
  picture: { readonly width: number; readonly height: number },
  width: number,
  height: number,
  resizeRatio: number,
): Geometry {
  const scale = Math.max((width * resizeRatio) / picture.width, (height * resizeRatio) / picture.height);
  // torchvision rounds the longer side down; the small addend keeps an exact side from falling below itself.
  const scaled = (side: number, least: number): number => Math.max(least, Math.floor(side * scale + 1e-6));
  const scaledWidth = scaled(picture.width, width);
  const scaledHeight = scaled(picture.height, height);
  const left = Math.round((scaledWidth - width) / 2);
  const top = Math.round((scaledHeight - height) / 2);
  return { width: scaledWidth, height: scaledHeight, crop: { left, top, width, height } };
}

/** Share of the area and ratio of width to height of the parts that random resized crops take. */
export interface RandomResizedCrop {
  readonly scale: readonly [number, number];
  readonly ratio: readonly [number, number];
}

/** Of the ImageNet recipe (and torchvision's default). */
export const imagenetCrop: RandomResizedCrop = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] };

/**
 * A random part of the picture (Szegedy et al., 2015, arXiv 1409.4842), scaled to the wanted size. As torchvision does
 * it: ten tries with the ratio log-uniform, then the largest centred part with an allowed ratio.
 */
export function drawRandomResizedCrop(
  stream: RandomStream,
  picture: { readonly width: number; readonly height: number },
  { scale, ratio }: RandomResizedCrop,
  width: number,
  height: number,
): Geometry {
  const between = (low: number, high: number): number => low + (high - low) * stream.uniform();
  const target = { width, height };
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = picture.width * picture.height * between(scale[0], scale[1]);
    const aspect = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w > 0 && h > 0 && w <= picture.width && h <= picture.height) {
      const top = stream.integer(picture.height - h + 1);
      const left = stream.integer(picture.width - w + 1);
      return { ...target, extract: { left, top, width: w, height: h } };
    }
  }
  const w = Math.min(picture.width, Math.max(1, Math.round(picture.height * ratio[1])));
  const h = Math.min(picture.height, Math.max(1, Math.round(picture.width / ratio[0])));
  const left = (picture.width - w) >> 1;
  const top = (picture.height - h) >> 1;
  return { ...target, extract: { left, top, width: w, height: h } };
}

/** The size of images that pictures become, and the way to it. */
export interface PictureShape {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** See `centreCrop`: 256 / 224 for networks trained on random resized crops, 1 for others. Only cropping knows it. */
  readonly resizeRatio: number;
  /** Default "crop". */
  readonly fit?: Fit;
  /** Where the images do not come out of the picture at their own size. */
  readonly preparation?: Preparation;
}

/** What pictures become where the network is to see squares of the side: those, with zeros around them where it takes no such side. */
export function preparedSquare(side: number): { readonly side: number; readonly preparation?: Preparation } {
  const padded = paddedSide(side);
  if (padded === side) return { side };
  return { side: padded, preparation: { content: { height: side, width: side }, averaged: 1 } };
}

/** The picture scaled to the size: so that it covers it, fits into it, or is it. */
function fitted(picture: Picture, { height, width }: PixelSize, resizeRatio: number, fit: Fit): Geometry {
  if (fit === "crop") return centreCrop(picture, width, height, resizeRatio);
  if (fit === "stretch") return { width, height };
  const scale = Math.min(width / picture.width, height / picture.height);
  const scaled = (side: number, most: number): number =>
    Math.min(most, Math.max(1, Math.round(side * scale)));
  return { width: scaled(picture.width, width), height: scaled(picture.height, height) };
}

/** Planar bytes, channels x height x width, of a picture as it is evaluated. Throws DATA_PICTURE. */
export async function preparePicture(picture: Picture, shape: PictureShape): Promise<Uint8Array> {
  const { channels, height, width, resizeRatio, fit = "crop" } = shape;
  const { content, averaged } = shape.preparation ?? { content: { height, width }, averaged: 1 };
  const geometry = fitted(picture, content, resizeRatio, fit);
  const pixels = await renderPicture(picture, geometry, channels);
  const whole = padPlanes(pixels, channels, geometry.crop ?? geometry, content);
  const around = { height: height * averaged, width: width * averaged };
  return averagePlanes(padPlanes(whole, channels, content, around), channels, { height, width }, averaged);
}

/** What a network expects of a picture. */
export interface PictureRecipe extends PictureShape {
  readonly normalisation: Normalisation;
}

/** The size that a picture is brought to first. */
export const contentOf = ({ height, width, preparation }: PictureShape): PixelSize =>
  preparation?.content ?? { height, width };

/**
 * Any picture that sharp reads as channels * height * width normalised values, prepared as for evaluation.
 * Throws DATA_PICTURE, DATA_LIMIT, DATA_SIZE and FILE_* errors that name the file.
 */
export async function decodeImage(path: string, recipe: PictureRecipe): Promise<Float32Array> {
  const tables = normalisationTables(recipe.normalisation, recipe.channels);
  const picture = await openReduced(path, contentOf(recipe));
  const bytes = await preparePicture(picture, recipe);
  const out = new Float32Array(bytes.length);
  const unmoved = { shiftY: 0, shiftX: 0, flipped: false, cutoutY: 0, cutoutX: 0 };
  writeImage(out, 0, bytes, recipe, tables, unmoved, 0);
  return out;
}
