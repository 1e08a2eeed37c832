// Drawings written to files: SVG as it is, PNG rendered from it.
import { extname } from "node:path";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";

/** Pixels of a PNG per unit of the drawing. */
const scale = 2;
const svgUnitsPerInch = 72;

/** @throws IstaError USAGE for a name that ends neither in .svg nor in .png */
export function checkDrawingPath(path: string, flag = "--out"): void {
  if (/\.(svg|png)$/i.test(path)) return;
  throw new IstaError(
    "USAGE",
    `${flag} ${path}: expected a name ending in .svg or .png, got "${extname(path)}"`,
  );
}

/** Writes the drawing as SVG or, where the name ends in .png, as PNG. @throws IstaError USAGE, FILE_* */
export async function writeDrawing(path: string, svg: string): Promise<void> {
  checkDrawingPath(path);
  if (/\.svg$/i.test(path)) {
    writeFileAtomic(path, svg);
    return;
  }
  // Loaded only where a PNG is wanted: drawing needs nothing else of it.
  const { default: sharp } = await import("sharp");
  const density = svgUnitsPerInch * scale;
  writeFileAtomic(path, await sharp(Buffer.from(svg), { density }).png().toBuffer());
}
