// The page that `export --format page` writes, opened from the disk in Chromium, beside `predict`.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import {
  contentOf,
  openPicture,
  openReduced,
  type PictureShape,
  preparePicture,
} from "../src/data/picture.js";
import { writeModel } from "../src/formats/model-file.js";
import { findChromium, launchChromium } from "./support/chromium.js";
import { picture } from "./support/data.js";
import {
  differences,
  type Faults,
  FaultyProgram,
  faultsLibrary,
  faultsObstacle,
  filesOf,
} from "./support/file-faults.js";
import { makeModel } from "./support/models.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at, call, json } = line;
const chromium = findChromium();
const classes = ["<b>cat</b>", "dog", "owl & fox", "ship", "tree", "väse"];

beforeAll(async () => {
  const colour = { imageHeight: 32, imageWidth: 32 };
  writeModel(at("colour.safetensors"), makeModel({ classes, shape: colour, resizeRatio: 256 / 224 }));
  writeModel(at("grey.safetensors"), makeModel({ classes, shape: { ...colour, inputChannels: 1 }, seed: 2 }));
  writeFileSync(at("large.jpg"), await picture(640, 427));
  writeFileSync(at("small.png"), await picture(20, 24, "png", 2));
  await sharp(await picture(200, 100, "jpeg", 3))
    .withExif({ IFD0: { Orientation: "6" } })
    .jpeg()
    .toFile(at("turned.jpg"));
  await sharp({ create: { width: 60, height: 80, channels: 4, background: "#00800060" } })
    .png()
    .toFile(at("clear.png"));
});

const pictures = ["large.jpg", "small.png", "turned.jpg", "clear.png"];

describe("the page's own scaling", () => {
  // The script of the page, run here on pixels that sharp decoded.
  runInThisContext(readFileSync(join(packageFolder, "assets/page/pixels.js"), "utf8"));
  type Prepare = (rgba: Uint8Array, width: number, height: number, network: object) => Uint8Array;
  const prepare = (globalThis as unknown as { networkPixels: Prepare }).networkPixels;

  /** The page's pixels beside the program's, with the network's size and what else is said of it. */
  async function compare(
    [width, height]: readonly number[],
    network: PictureShape,
    format: "png" | "jpeg" = "png",
  ): Promise<void> {
    writeFileSync(at("scaled"), await picture(width, height, format, width));
    const wanted = await preparePicture(await openReduced(at("scaled"), contentOf(network)), network);
    const { bytes } = await openPicture(at("scaled"));
    const rgba = await sharp(bytes).ensureAlpha().raw().toBuffer();
    const { channels, height: imageHeight, width: imageWidth, ...how } = network;
    const shape = { inputChannels: channels, imageWidth, imageHeight };
    const came = prepare(rgba, width, height, { shape, ...how });
    expect(came.length).toBe(wanted.length);
    const differences = Array.from(came, (value, i) => Math.abs(value - wanted[i]));
    const mean = differences.reduce((a, b) => a + b) / differences.length;
    // Levels of 0..255: libvips rounds between its steps.
    expect(mean).toBeLessThan(0.8);
    expect(differences.reduce((a, b) => Math.max(a, b))).toBeLessThanOrEqual(3);
  }

  it.each([
    [640, 427, 32, 32, 1, 3],
    [640, 427, 224, 224, 256 / 224, 3],
    [90, 500, 28, 28, 1, 1],
    [20, 24, 64, 64, 256 / 224, 3],
    [32, 32, 32, 32, 1, 3],
    [300, 200, 40, 24, 1, 1],
    // Reduced first.
    [1700, 1300, 32, 32, 1, 3],
  ])(
    "of %i x %i to %i x %i is the program's",
    (width, height, imageWidth, imageHeight, resizeRatio, channels) =>
      compare([width, height], {
        channels: channels as 1 | 3,
        width: imageWidth,
        height: imageHeight,
        resizeRatio,
      }),
  );

  it.each(["crop", "pad", "stretch"] as const)("with --fit %s is the program's", (fit) =>
    compare([300, 200], { channels: 3, width: 40, height: 32, resizeRatio: 1, fit }),
  );

  it.each([
    [30, 30],
    [64, 48],
  ])("of %i x %i to images that were padded and averaged is the program's", (width, height) =>
    compare([width, height], {
      ...{ channels: 3, width: 16, height: 16, resizeRatio: 1 },
      preparation: { content: { width: 30, height: 31 }, averaged: 2 },
    }),
  );
});

describe.skipIf(chromium === null)("in Chromium, from the disk", () => {
  let browser: Browser;
  let page: Page;
  const outside: string[] = [];
  const problems: string[] = [];
  beforeAll(async () => {
    for (const name of ["colour", "grey"])
      succeed(call("export", `${name}.safetensors`, "--format", "page", "--out", name));
    browser = await launchChromium(chromium!);
    page = await browser.newPage();
    page.on("request", (request) => {
      if (!/^(file|blob|data):/.test(request.url())) outside.push(request.url());
    });
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
  }, 120_000);
  afterAll(() => browser?.close());

  const open = async (folder: string): Promise<void> => {
    await page.goto(pathToFileURL(at(folder, "index.html")).href);
    await page.evaluate("istaPage.ready");
  };
  /** Class and share of each row of a result, read off the page; scripts are text, as types of the browser are not here. */
  const shares = (result: number): Promise<[string, number][]> =>
    page.evaluate(`[...document.querySelectorAll(".result")[${result}].querySelectorAll("ol li")].map((row) => [
      row.querySelector(".name").textContent,
      Number.parseFloat(row.querySelector(".share").textContent) / 100,
    ])`);

  it.each(["colour", "grey"])(
    "classifies chosen pictures as predict does, with the %s network",
    async (network) => {
      await open(network);
      await page.setInputFiles(
        "#file",
        pictures.map((name) => at(name)),
      );
      await page.waitForSelector(`.result:nth-child(${pictures.length})`);
      const predictions = json("predict", `${network}.safetensors`, ...pictures, "--top", "5");
      for (const [index, { classes: wanted }] of predictions.entries()) {
        // The newest result stands first.
        const came = await shares(pictures.length - 1 - index);
        expect(came).toHaveLength(5);
        for (const { name, probability } of wanted) {
          const share = came.find(([title]) => title === name)?.[1];
          if (share === undefined) continue;
          expect(Math.abs(share - probability), `${pictures[index]}, ${name}`).toBeLessThan(0.03);
        }
        expect(came[0][1]).toBeCloseTo(wanted[0].probability, 1);
      }
      expect(await page.textContent("#status")).toBe("");
    },
  );

  it("takes dropped and pasted pictures, and says what is none", async () => {
    await open("colour");
    const give = (event: string, name: string, type: string): Promise<void> =>
      page.evaluate(`(() => {
        const text = atob("${readFileSync(at(name)).toString("base64")}");
        const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "${name}", { type: "${type}" }));
        document.getElementById("drop").dispatchEvent(${event});
      })()`);
    const drop = 'new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })';
    const paste = 'new ClipboardEvent("paste", { clipboardData: data, bubbles: true })';
    await give(drop, "large.jpg", "image/jpeg");
    await page.waitForSelector(".result");
    await give(paste, "small.png", "image/png");
    await page.waitForSelector(".result:nth-child(2)");
    expect(await page.textContent(".result .note")).toMatch(/^small\.png · 20 × 24 pixels/);
    writeFileSync(at("words.txt"), "no picture");
    await give(drop, "words.txt", "text/plain");
    await page.waitForSelector("#status.error");
    expect(await page.textContent("#status")).toContain("words.txt");
  });

  it("shows names as text, asks nothing of the network, and has no errors", async () => {
    expect(await page.locator(".result b").count()).toBe(0);
    expect(await page.textContent("#about")).toContain("<b>cat</b>");
    expect(outside).toEqual([]);
    expect(problems).toEqual([]);
  });
});

describe("the page's folder", () => {
  it("may be an earlier page, and nothing else", () => {
    mkdirSync(at("photos"));
    writeFileSync(at("photos/index.html"), "mine");
    fail(
      call("export", "grey.safetensors", "--format", "page", "--out", "photos"),
      1,
      "FILE_EXISTS",
      "photos",
    );
    expect(readdirSync(at("photos"))).toEqual(["index.html"]);
    const { file } = json("export", "grey.safetensors", "--format", "page", "--out", "new page");
    expect(file).toBe(join("new page", "index.html"));
    succeed(call("export", "colour.safetensors", "--format", "page", "--out", "new page"));
    expect(readFileSync(at("new page/network.js"), "utf8")).toContain("väse");
    // The runtime is the installed one, byte for byte.
    const runtime = createRequire(import.meta.url).resolve("onnxruntime-web/wasm");
    expect(readFileSync(at("new page/runtime.js"))).toEqual(readFileSync(runtime));
  });

  it.skipIf(faultsObstacle() !== null)(
    "keeps an earlier page when the disk is full, and a page that was cut off is no obstacle",
    async () => {
      const exporting = new FaultyProgram(line.program, faultsLibrary());
      const page = at("faulty");
      const write = (model: string, faults?: Faults) =>
        exporting.perform(
          ["export", at(`${model}.safetensors`), "--format", "page", "--out", page],
          page,
          faults,
        );
      const { ending, operations } = await write("grey");
      expect(ending, ending.err).toMatchObject({ status: 0 });
      const grey = filesOf(page);
      const named = (name: string, path: string): number =>
        operations.find((one) => one.name === name && one.path === path)!.number;
      const full = await write("colour", { full: [named("half", ".writing-network.js"), 1_000_000] });
      expect(full.ending).toMatchObject({
        status: 1,
        err: expect.stringContaining("error FILE_DISK_FULL: "),
      });
      expect(differences(page, grey)).toEqual([]);
      rmSync(page, { recursive: true });
      await write("grey", { kill: named("rename", "page.js") });
      expect([...filesOf(page).keys()]).toContain("page.css");
      expect([...filesOf(page).keys()]).not.toContain("network.js");
      expect((await write("grey")).ending).toMatchObject({ status: 0 });
      expect(differences(page, grey)).toEqual([]);
    },
    600_000,
  );
});
