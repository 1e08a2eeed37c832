// The examples, each run as a user would: plug-ins beside a packed installation of the program.
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";

let folder: string;
let installed: string;

/** What `npm install` of the packed file would put there; the dependencies and the addon are those of this checkout. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ista-nas-examples-"));
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: packageFolder,
    encoding: "utf8",
  }).trim();
  const modules = join(folder, "node_modules");
  installed = join(modules, "ista-nas");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, packed), "--strip-components=1", "-C", installed]);
  for (const name of readdirSync(join(packageFolder, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(packageFolder, "node_modules", name), join(modules, name));
  }
  cpSync(join(packageFolder, "build", "ista_nas.node"), join(installed, "build", "ista_nas.node"));
  // Beside the installation, as a user's own files would be.
  cpSync(join(installed, "examples"), join(folder, "plugins"), { recursive: true });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...words: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(installed, "ista-nas"), ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

const small =
  "--data bundled --epochs 2 --limit-train 96 --limit-test 32 --batch-size 32 --channels 4 --threads 1";

function search(out: string, ...words: string[]): Record<string, unknown> {
  const { status, output } = run("search", ...words, ...small.split(" "), "--out", out);
  expect(status, output).toBe(0);
  return JSON.parse(readFileSync(join(folder, out, "genotype.json"), "utf8"));
}

describe("a space of one's own", () => {
  it("is searched, trained, evaluated, drawn and exported", () => {
    const plugin = ["--plugin", "plugins/residual-space.mjs"];
    const genotype = search("residual", ...plugin, "--space", "residual");
    expect(genotype).toMatchObject({ space: "residual" });
    expect(genotype.blocks).toHaveLength(6);
    expect(existsSync(join(folder, "residual/cells.svg"))).toBe(true);
    const train = run(
      ...plugin,
      "train",
      "--arch",
      "residual",
      ...small.split(" "),
      "--out",
      "residual-trained",
    );
    expect(train.status, train.output).toBe(0);
    const evaluated = run(...plugin, "eval", "residual-trained", "--limit-test", "32");
    expect(evaluated.output).toMatch(/32 images: loss/);
    const exported = run(...plugin, "export", "residual-trained", "--format", "onnx");
    expect(exported.output).toMatch(/onnxruntime computes the engine's logits/);
  });

  it("is refused without its plug-in, with the way out", () => {
    const { status, output } = run("search", "--space", "residual", "--data", "bundled");
    expect(status).toBe(2);
    expect(output).toMatch(/CONFIG_VALUE.*residual.*--plugin FILE/);
  });
});

describe("an operation of one's own", () => {
  it("is a candidate, has a fused kernel by its pattern, and is counted", () => {
    const plugin = ["--plugin", "plugins/sep-conv-7x7.mjs"];
    const genotype = search("seven", ...plugin, "--space", "darts-7x7", "--cells", "3");
    expect(genotype).toMatchObject({ space: "darts-7x7" });
    const spaces = JSON.parse(run(...plugin, "arch", "spaces", "--json").output) as {
      name: string;
      candidates: number;
    }[];
    expect(spaces.find(({ name }) => name === "darts-7x7")?.candidates).toBe((196 / 7) * 8);
  });
});

describe("a method of one's own", () => {
  it("searches with its own options, and says what they are", () => {
    const plugin = ["--plugin", "plugins/hill-climbing.mjs"];
    const flags = ["--method", "hill-climbing", "--changes-per-epoch", "3", "--cells", "3"];
    expect(search("climbing", ...plugin, ...flags)).toMatchObject({ space: "darts" });
    const records = readFileSync(join(folder, "climbing/metrics.jsonl"), "utf8").trim().split("\n");
    expect(records).toHaveLength(2);
    expect(JSON.parse(records[1])).toHaveProperty("acceptedChanges");
    expect(run(...plugin, "search", "--help").output).toMatch(
      /Options of hill-climbing:\s+--changes-per-epoch/,
    );
    const resumed = run(...plugin, "search", "--resume", "climbing", "--epochs", "3");
    expect(resumed.status, resumed.output).toBe(0);
  });
});

describe("the program of each sub-path", () => {
  /** What it prints after it has ended well. */
  function program(name: string): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, "plugins/programs", name)], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, TMPDIR: folder },
    });
    expect(status, stderr).toBe(0);
    return stdout;
  }
  const share = (output: string, before: string): number =>
    Number(new RegExp(`^${before}: ([\\d.]+) % of`, "m").exec(output)![1]) / 100;

  it("is named in the reference, and the reference has a page for each", () => {
    const read = (path: string): string => readFileSync(join(packageFolder, path), "utf8");
    const { exports } = JSON.parse(read("package.json")) as { exports: Record<string, { types: string }> };
    const { entryPoints } = JSON.parse(read("typedoc.json"));
    expect(entryPoints).toEqual(
      Object.values(exports).map(({ types }) => types.replace("./dist/", "").replace(".d.ts", ".ts")),
    );
    const rows = read("docs/api.md").matchAll(/^\| `([^`]+)` \| .*?`examples\/programs\/([^`]+)`/gm);
    const programs = new Map([...rows].map(([, path, file]) => [path, file]));
    expect([...programs.keys()]).toEqual(Object.keys(exports).map((path) => path.replace(".", "ista-nas")));
    expect([...programs.values()].sort()).toEqual(readdirSync(join(packageFolder, "examples/programs")));
    for (const [path, file] of programs)
      expect(read(`examples/programs/${file}`)).toContain(`from "${path}"`);
  }, 240_000);

  it("ista-nas: a network is trained, measured and exported", () => {
    const output = program("train-and-use.mjs");
    // Ten classes: guesses are right for a tenth.
    expect(share(output, "right")).toBeGreaterThan(0.5);
    const [, file, difference] = /^onnx: (\S+), checked on 16 images, differs by (\S+)$/m.exec(output)!;
    expect(existsSync(file)).toBe(true);
    expect(Number(difference)).toBeLessThan(1e-4);
  }, 240_000);

  it("ista-nas/sparse: images are classified by sparse codes", () => {
    const output = program("sparse-classification.mjs");
    expect(share(output, "right")).toBeGreaterThan(0.6);
    const [, used, all] = /^images in a code: ([\d.]+) of (\d+)$/m.exec(output)!;
    expect(Number(all)).toBe(200);
    expect(Number(used)).toBeLessThan(40);
  }, 240_000);

  it("ista-nas/space: architectures are counted as the command line counts them", () => {
    const output = program("sizes.mjs");
    const size = "--cells 8 --channels 16 --image-size 28 --input-channels 1 --json".split(" ");
    const { params } = JSON.parse(run("arch", "params", "ISTA_twostage", ...size).output);
    expect(output).toContain(`ISTA_twostage: ${params} parameters`);
    const [, within] = /^within 250000 parameters: (\d+) of 1000 random/m.exec(output)!;
    expect(Number(within)).toBeGreaterThan(0);
    expect(Number(within)).toBeLessThan(1000);
  }, 240_000);

  it("ista-nas/spaces: a space of one's own is searched", () => {
    const output = program("small-space.mjs");
    const found = /^found: (.+)$/m.exec(output)![1].split(" ");
    expect(found).toHaveLength(16);
    expect(new Set(["max_pool_3x3", "skip_connect", "sep_conv_3x3", ...found]).size).toBe(3);
    // Three operations on each of 2 + 3 + 4 + 5 edges, in two kinds of cells.
    expect(output).toMatch(/^tried: \d+ of 84 connections$/m);
  }, 240_000);

  it("ista-nas/methods: methods search the same images", () => {
    const output = program("compare-methods.mjs");
    for (const method of ["ista-two-stage", "random"]) expect(share(output, method)).toBeGreaterThan(0.2);
  }, 240_000);
});

it("a plug-in that is none is refused", () => {
  const missing = run("--plugin", "nowhere.mjs", "doctor");
  expect([missing.status, missing.output]).toEqual([1, expect.stringContaining("FILE_NOT_FOUND")]);
  const other = run("--plugin", join(installed, "package.json"), "arch", "list");
  expect([other.status, other.output]).toEqual([2, expect.stringContaining("PLUGIN_INVALID")]);
});
