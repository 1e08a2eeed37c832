// Tests of the real command line as a process: exit statuses, errors, help, JSON, closed pipes, runs and config commands.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compiledProgram } from "../../test/support/compiled.js";
import { resolveConfig } from "../config/config.js";
import { presets } from "../config/presets.js";
import { RunDirectory } from "../run/directory.js";
import type { RunSummary } from "../run/summary.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
}, 120_000);
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-cli-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function call(...words: string[]): { status: number | null; out: string; err: string } {
  const env = { ...process.env, NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(join(program, "ista-nas"), words, {
    cwd: folder,
    encoding: "utf8",
    env,
  });
  return { status, out: stdout, err: stderr };
}

/** A run directory in ./runs of the test's folder. */
function makeRun(name: string, change: Partial<RunSummary> | null): void {
  const { config } = resolveConfig("train", {
    preset: "demo-train",
    flags: { arch: "x", seed: change?.seed ?? 0 },
  });
  const run = RunDirectory.create({
    kind: "train",
    config,
    root: join(folder, "runs"),
    name,
    command: ["train"],
  });
  run.appendRecord({ epoch: 0, loss: 1.5 });
  if (change !== null) {
    run.writeSummary({
      status: "finished",
      arch: "ISTA_twostage",
      genotype: null,
      seed: 0,
      epochs: 4,
      parameters: 3_316_726,
      multiplyAdds: 515_226_000,
      testAccuracy: 0.9,
      validationAccuracy: null,
      testLoss: 0.3,
      seconds: 100,
      peakMemoryBytes: 2 ** 30,
      preset: "demo-train",
      dataset: "bundled",
      ...change,
    });
  }
  run.close();
}

describe("usage", () => {
  it.each<[string[], string]>([
    [["serch"], "error USAGE: unknown command 'serch'"],
    [["confg"], "error USAGE: unknown command 'confg' (Did you mean config?)"],
    [
      ["config", "show", "search", "--epoch", "3"],
      "error USAGE: unknown option '--epoch' (Did you mean --epochs?)",
    ],
    [["config", "show", "search", "--epochs"], "error USAGE: option '--epochs <n>' argument missing"],
    [
      ["config", "show", "search", "--epochs", "many"],
      "error CONFIG_VALUE: --epochs: expected a whole number",
    ],
    [
      ["config", "show", "search", "--validation-fraction", "0"],
      "error CONFIG_VALUE: validationFraction (--validation-fraction): expected a share above 0 with ista-two-stage",
    ],
    [
      ["config", "show", "search", "--train-epochs", "3"],
      'error CONFIG_UNKNOWN: options: unknown key "trainEpochs" for search; it is an option of ista-one-stage',
    ],
    [
      ["config", "show", "search", "--method", "ista-onestage"],
      "error CONFIG_VALUE: --method: expected a known search method",
    ],
    [
      ["config", "show", "search", "--mode", "one-stage", "--method", "ista-two-stage"],
      "error CONFIG_VALUE: --mode",
    ],
    [["config", "show", "search", "extra"], "error USAGE: too many arguments"],
    [["config", "presets", "demo-trian"], "did you mean demo-train?"],
    [["runs", "compare"], "error USAGE: missing required argument 'runs'"],
  ])("%j ends with status 2 and one line", (words, message) => {
    const { status, out, err } = call(...words);
    expect(status).toBe(2);
    expect(err).toContain(message);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
    expect(out).toBe("");
  });

  it("a missing command shows the help", () => {
    expect(call()).toMatchObject({ status: 2, err: expect.stringContaining("Usage: ista-nas") });
    expect(call("runs")).toMatchObject({ status: 2, err: expect.stringContaining("Usage: ista-nas runs") });
  });

  it("errors come as JSON where JSON is wanted, and with the stack where it is wanted", () => {
    const { status, err } = call("runs", "show", "nothing", "--json");
    expect(status).toBe(1);
    expect(JSON.parse(err)).toEqual({
      error: { code: "RUN_NOT_FOUND", message: expect.stringContaining("nothing: expected a run directory") },
    });
    expect(JSON.parse(call("nonsense", "--json").err).error.code).toBe("USAGE");
    expect(call("runs", "show", "nothing").err).not.toContain("    at ");
    expect(call("runs", "show", "nothing", "--verbose").err).toContain("    at ");
  });
});

describe("help", () => {
  it.each([["--help"], ["runs", "--help"], ["config", "show", "search", "--help"], ["help", "config"]])(
    "%s %s %s %s",
    (...words) => {
      const { status, out, err } = call(...words.filter(Boolean));
      expect({ status, err }).toEqual({ status: 0, err: "" });
      expect(out).toContain("Usage: ista-nas");
    },
  );

  it("shows examples that are themselves right", () => {
    const examples = call("config", "--help").out.match(/^ {2}ista-nas config.*$/gm)!;
    expect(examples.length).toBeGreaterThan(0);
    fs.writeFileSync(join(folder, "my-search.json"), '{"epochs": 3}');
    for (const example of examples) expect(call(...example.trim().split(" ").slice(1)).status).toBe(0);
  });

  it("--version prints the package's version", () => {
    const { version } = JSON.parse(fs.readFileSync(join(program, "package.json"), "utf8"));
    expect(call("--version")).toEqual({ status: 0, out: `${version}\n`, err: "" });
  });
});

it("says how to build it where it is not built", () => {
  fs.copyFileSync(join(program, "ista-nas"), join(folder, "ista-nas"));
  fs.copyFileSync(join(program, "package.json"), join(folder, "package.json"));
  const { status, stderr } = spawnSync(join(folder, "ista-nas"), ["runs", "list"], { encoding: "utf8" });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^error ENGINE_MISSING: .*npm run setup/);
});

it("tolerates a reader that goes away", () => {
  const command = `"${join(program, "ista-nas")}" config show search --help | head -c 1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
  expect({ stdout, stderr }).toEqual({ stdout: "U0\n", stderr: "" });
});

it("loads no native code for commands that need no tensors", () => {
  const script = `
    import { main } from ${JSON.stringify(join(program, "dist/src/cli/main.js"))};
    process.on("exit", () => {
      const native = process.report.getReport().sharedObjects.filter((name) => /torch|\\.node$/.test(name));
      process.stderr.write(native.join());
    });
    await main(["config", "presets"]);`;
  const { status, stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("cifar10-two-stage");
});

describe("config", () => {
  it("show prints values and sources, and with --json what can be fed back", () => {
    expect(call("config", "show", "search", "--preset", "demo", "--epochs", "3").out).toMatch(
      /^epochs +3 +--epochs$/m,
    );
    const shown = call(
      "config",
      "show",
      "train",
      "--preset",
      "imagenet-train",
      "--no-skip-broken",
      "--json",
    ).out;
    fs.writeFileSync(join(folder, "saved.json"), shown);
    expect(call("config", "show", "train", "--config", "saved.json", "--json").out).toBe(shown);
    expect(call("config", "check", "train", "saved.json")).toMatchObject({
      status: 0,
      out: "saved.json: valid\n",
    });
    expect(call("config", "check", "search", "saved.json")).toMatchObject({ status: 2 });
  });

  it("reads every kind of flag", () => {
    const words =
      "--skip-broken --code-betas 0.4,0.9 --max-params 2e6 --image-size none --device cuda:1".split(" ");
    expect(JSON.parse(call("config", "show", "search", ...words, "--json").out)).toMatchObject({
      skipBroken: true,
      codeBetas: [0.4, 0.9],
      maxParams: 2e6,
      imageSize: null,
      device: "cuda:1",
    });
  });

  it("knows the options of the search method that was chosen, and `--mode` as its old name", () => {
    const shown = (...words: string[]) =>
      JSON.parse(call("config", "show", "search", ...words, "--json").out);
    expect(shown("--mode", "one-stage", "--train-epochs", "3")).toMatchObject({
      method: "ista-one-stage",
      trainEpochs: 3,
    });
    expect(shown("--method", "ista-two-stage")).not.toHaveProperty("trainEpochs");
    expect(call("config", "show", "search", "--mode", "one-stage").out).toMatch(
      /^method +ista-one-stage +--method$/m,
    );
    const { out } = call("config", "show", "search", "--help");
    expect(out).toMatch(/^Options of ista-one-stage:\n {2}--train-epochs/m);
    expect(out).toMatch(/^Options of ista-two-stage, ista-one-stage:$/m);
    expect(out).not.toContain("--mode");
    fs.writeFileSync(join(folder, "old.json"), '{"mode": "two-stage", "trainEpochs": 600}');
    expect(call("config", "check", "search", "old.json").status).toBe(0);
  });

  it("presets lists all and prints one as a file that --config takes", () => {
    const { out } = call("config", "presets");
    for (const name of Object.keys(presets)) expect(out).toContain(name);
    fs.writeFileSync(join(folder, "demo.json"), call("config", "presets", "demo").out);
    expect(call("config", "check", "search", "demo.json").status).toBe(0);
  });
});

describe("runs", () => {
  it("list shows what there is", () => {
    expect(call("runs", "list")).toMatchObject({ status: 0, out: "no runs in runs\n" });
    makeRun("first", {});
    makeRun("second", null);
    fs.writeFileSync(join(folder, "runs/second/meta.json"), '{"formatVersion": 99}');
    const { out } = call("runs", "list");
    expect(out).toMatch(/^first +train +finished +ISTA_twostage +4 +90\.00 % +- +1 min 40 s$/m);
    expect(out).toMatch(/^second .* unreadable .*RUN_VERSION/m);
    expect(JSON.parse(call("runs", "list", "--json").out)).toHaveLength(2);
  });

  it("show tells a run's story by name or path", () => {
    makeRun("first", {});
    for (const name of ["first", "runs/first"]) {
      const { out } = call("runs", "show", name);
      expect(out).toMatch(/^status +finished$/m);
      expect(out).toMatch(/^parameters +3\.32 M$/m);
    }
    expect(JSON.parse(call("runs", "show", "first", "--json").out)).toMatchObject({
      config: { preset: "demo-train" },
      records: 1,
      lastRecord: { epoch: 0, loss: 1.5 },
    });
    expect(call("runs", "show", "frist")).toMatchObject({
      status: 1,
      err: expect.stringContaining("did you mean first?"),
    });
  });

  it("compare prints runs, and mean and spread over seeds", () => {
    makeRun("a", { seed: 1, testAccuracy: 0.91 });
    makeRun("b", { seed: 2, testAccuracy: 0.93 });
    makeRun("c", { arch: "random:1", testAccuracy: 0.85 });
    makeRun("unfinished", null);
    const { out } = call("runs", "compare", "a", "b", "runs/c");
    expect(out).toMatch(/^a +ISTA_twostage +1 +finished +4 +91\.00 %/m);
    expect(out).toMatch(/^ISTA_twostage +demo-train +train +darts +2 +92\.00 % ± 1\.41 %/m);
    expect(out).toMatch(/^random +demo-train +train +darts +1 +85\.00 %/m);
    expect(JSON.parse(call("runs", "compare", "a", "b", "--json").out).groups).toHaveLength(1);
    expect(call("runs", "compare", "a", "unfinished")).toMatchObject({
      status: 1,
      err: expect.stringContaining("no summary.json yet"),
    });
  });
});
