// `eval --mistakes`: a page and a table of what went wrong, for images in memory and for pictures on the disk.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { expect, it } from "vitest";
import { parseCsv } from "../src/formats/csv.js";
import { commandLine } from "./support/program.js";

const { at, call, json } = commandLine();
const small = ["--cells", "3", "--channels", "4", "--epochs", "1", "--threads", "1", "--batch-size", "8"];

interface Found {
  readonly count: number;
  readonly top1: number;
  readonly topK: number[];
  readonly mistakeCount: number;
  readonly mistakes: { origin: string | number; truth: string; guess: string; probability: number }[];
  readonly mistakeFiles: [string, string];
  readonly report: { weighted: { recall: number } };
}

function consistent({ count, top1, topK, mistakeCount, report }: Found): void {
  expect(mistakeCount).toBe(Math.round(count * (1 - top1)));
  expect(topK[0]).toBeCloseTo(top1, 12);
  expect(report.weighted.recall).toBeCloseTo(top1, 12);
}

it("images in memory are in the page, the surest mistakes first", () => {
  json("train", "--arch", "random:1", "--data", "bundled", ...small, "--limit-train", "64", "--name", "net");
  const found: Found = json("eval", "net", "--limit-test", "60", "--mistakes", "10");
  consistent(found);
  const { mistakes, mistakeFiles } = found;
  expect(mistakes).toHaveLength(10);
  const sure = mistakes.map(({ probability }) => probability);
  expect(sure).toEqual([...sure].sort((a, b) => b - a));
  const [page, table] = mistakeFiles.map((file) => readFileSync(file, "utf8"));
  expect(page.match(/src="data:image\/png;base64,/g)).toHaveLength(10);
  expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  const [columns, ...rows] = parseCsv(table, "table").map(({ fields }) => fields);
  expect(columns[0]).toBe("picture");
  expect(rows.map(([, truth, guess]) => [truth, guess])).toEqual(
    mistakes.map(({ truth, guess }) => [truth, guess]),
  );
  // Without the flag there is neither.
  expect(call("eval", "net", "--limit-test", "60").out).not.toContain("mistakes.html");
});

it("pictures are linked where they lie, under any name", async () => {
  for (const [label, name] of ['red & "rot"', "blue"].entries()) {
    mkdirSync(at("pictures", name), { recursive: true });
    for (let number = 0; number < 8; number++)
      await sharp({
        create: { width: 96, height: 96, channels: 3, background: label === 0 ? "#c02020" : "#2020c0" },
      })
        .png()
        .toFile(at("pictures", name, `a <b> ${number}.png`));
  }
  json("train", "--arch", "random:1", "--data", "pictures", ...small, "--image-size", "32", "--name", "two");
  const found: Found = json("eval", "two", "--split", "all", "--mistakes", "100", "--out", at("out.svg"));
  consistent(found);
  expect(found.mistakeFiles).toEqual([at("mistakes.html"), at("mistakes.csv")]);
  const page = readFileSync(at("mistakes.html"), "utf8");
  const links = [...page.matchAll(/src="(file:[^"]*)"/g)].map(([, link]) => link.replaceAll("&amp;", "&"));
  expect(links).toHaveLength(found.mistakeCount);
  expect(links.length).toBeGreaterThan(0);
  for (const [index, link] of links.entries()) {
    expect(existsSync(fileURLToPath(link))).toBe(true);
    expect(fileURLToPath(link)).toBe(found.mistakes[index].origin);
  }
  expect(page).not.toContain("<b>");
  expect(existsSync(join(at("pictures"), "mistakes.html"))).toBe(false);
});
