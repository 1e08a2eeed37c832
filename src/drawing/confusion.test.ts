// The confusion matrix as a picture: what is drawn where, what is left out, and what names may hold.
import { readFileSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { expectError, temporaryFolder } from "../../test/support/data.js";
import { drawConfusionSvg } from "./confusion.js";
import { writeDrawing } from "./picture-file.js";

const { folder } = temporaryFolder();

/** Class, shade and tip of every cell that was drawn. */
function cellsOf(svg: string): { kind: string; opacity: number; tip: string }[] {
  const pattern = /<rect class="(cell|wrong)"[^>]* fill-opacity="([\d.]+)"><title>([^<]*)<\/title>/g;
  return [...svg.matchAll(pattern)].map(([, kind, opacity, tip]) => ({
    kind,
    opacity: Number(opacity),
    tip,
  }));
}

describe("the confusion matrix", () => {
  it("shows what was right and what was taken for what, deeper for larger shares", () => {
    const svg = drawConfusionSvg([[8, 2], [0, 5]], ["cat", "dog"], "a run"); // biome-ignore format: a matrix
    expect(svg).toContain("15 images, 86.67 % right");
    expect(cellsOf(svg)).toEqual([
      { kind: "cell", opacity: 0.89, tip: "cat taken for cat: 8 of 10" },
      { kind: "wrong", opacity: 0.45, tip: "cat taken for dog: 2 of 10" },
      { kind: "cell", opacity: 1, tip: "dog taken for dog: 5 of 5" },
    ]);
    expect(svg).toMatch(/>8<\/text>/);
  });

  it("holds names of every kind, and classes without images", () => {
    const names = ['<script>"&', "\u0000\u001bx", "長".repeat(60)];
    const svg = drawConfusionSvg([[1, 0, 0], [0, 0, 0], [1, 1, 0]], names, "<a>"); // biome-ignore format: a matrix
    expect(svg).not.toContain("<script>");
    expect(svg).toContain("&lt;script&gt;");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(svg).not.toMatch(/[\u0000-\u0008\u001b]/);
    expect(svg).toContain(`${"長".repeat(23)}…`);
    expect(cellsOf(svg)).toHaveLength(3);
  });

  it.each([
    [31, true, false],
    [101, false, false],
  ])("of %i classes leaves out what would not be readable", (count, named, numbered) => {
    const rows = Array.from({ length: count }, (_, row) =>
      Array.from({ length: count }, (_, column) => (row === column ? 7 : 0)),
    );
    const svg = drawConfusionSvg(
      rows,
      rows.map((_, label) => `class-${label}`),
      "many",
    );
    expect(cellsOf(svg)).toHaveLength(count);
    expect(svg.includes(">class-3</text>")).toBe(named);
    expect(svg.includes(">7</text>")).toBe(numbered);
  });
});

describe("a drawing", () => {
  const svg = drawConfusionSvg([[3]], ["one"], "run");

  it("is written as SVG, or as PNG of twice its size", async () => {
    await writeDrawing(`${folder}/a.svg`, svg);
    expect(readFileSync(`${folder}/a.svg`, "utf8")).toBe(svg);
    await writeDrawing(`${folder}/a.PNG`, svg);
    const { format, width } = await sharp(`${folder}/a.PNG`).metadata();
    expect(format).toBe("png");
    expect(width).toBe(2 * Number(/width="(\d+)"/.exec(svg)![1]));
  });

  it("is written as nothing else", async () => {
    await expectError(() => writeDrawing(`${folder}/a.jpg`, svg), "USAGE", ".svg or .png", ".jpg");
    await expectError(() => writeDrawing(`${folder}/none/a.svg`, svg), "FILE_NOT_FOUND", "none");
  });
});
