// Studies on the command line: run, killed and gone on with, planned for xargs, reported on, refused.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { lockHolder } from "../src/run/lock.js";
import { begin, pause } from "./support/command-line.js";
import { commandLine, fail, succeed } from "./support/program.js";

const line = commandLine();
const { at, call, json } = line;

const small = {
  ...{ data: "bundled", space: "nas-bench-201", cells: 3, channels: 2, batchSize: 8, epochs: 2 },
  ...{ limitTrain: 64, limitTest: 16, candidates: 2 },
};
const flags = Object.entries(small).flatMap(([key, value]) => [
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  String(value),
]);
const arms = { found: { method: "ista-two-stage" }, random: { method: "random" } };
const file = (name: string, value: unknown): string => {
  writeFileSync(at(name), JSON.stringify(value));
  return name;
};
const read = (...names: string[]) => JSON.parse(readFileSync(at(...names), "utf8"));
const statuses = (study: string, ...names: string[]): string[] =>
  names.flatMap((arm) => [0, 1].map((seed) => read(study, arm, `seed-${seed}`, "summary.json").status));

describe("a study", () => {
  it("runs methods times seeds, reports, and does nothing when it is asked again", () => {
    const words = [
      "study",
      "--methods",
      "ista-two-stage,random",
      "--seeds",
      "0..1",
      ...flags,
      "--out",
      "first",
    ];
    const { err, ...first } = call(...words, "--jobs", "2");
    const out = succeed({ err, ...first });
    expect(err).toMatch(/^study first: 4 runs of 2 arms, 2 side by side, \d+ threads? each\n/);
    expect(err).toMatch(/^ista-two-stage seed 1: finished {2}\(\d of 4/m);
    expect(err).toMatch(/ {2}\(4 of 4\)\n$/);
    expect(out).toMatch(/^random +2 /m);
    expect(out).toContain("difference to random, paired by seed");
    expect(out).toMatch(/^Made report\.json, .* in first\.\nNext: /m);
    for (const row of out.split("\n")) expect(row.length).toBeLessThanOrEqual(80);
    expect(readdirSync(at("first")).sort()).toEqual([
      "figure.svg",
      "ista-two-stage",
      "random",
      "report.csv",
      "report.json",
      "report.md",
      "runs.csv",
      "study.json",
    ]);
    const [run] = read("first", "report.json").runs;
    expect(run.processorSeconds).toBeGreaterThan(0);
    expect(run.peakMemoryBytes).toBeGreaterThan(1 << 20);

    const meta = readFileSync(at("first", "random", "seed-0", "meta.json"), "utf8");
    expect(call(...words).err).toContain("random seed 1: finished before  (4 of 4)");
    expect(readFileSync(at("first", "random", "seed-0", "meta.json"), "utf8")).toBe(meta);
    // Each run is one that `search` makes.
    expect(json("runs", "show", "first/random/seed-1")).toMatchObject({ config: { seed: 1, candidates: 2 } });
    fail(
      call(...words.map((word) => (word === "64" ? "32" : word))),
      2,
      "CONFIG_RESUME",
      "the common options",
    );
  });

  it("is reported on in every form", () => {
    expect(succeed(call("study", "report", "first"))).toContain("held-out accuracy, per cent");
    expect(succeed(call("study", "report", "first", "--format", "markdown"))).toContain("| random | 2 |");
    expect(succeed(call("study", "report", "first", "--format", "csv"))).toMatch(/^arm,column,runs,/);
    const { arms, paired } = json("study", "report", "first", "--unpaired");
    expect({ paired, count: arms.length }).toEqual({ paired: false, count: 2 });
    succeed(call("study", "report", "first", "--figure", "first.png"));
    expect(existsSync(at("first.png"))).toBe(true);
    fail(call("study", "report", "first", "--figure", "first.gif"), 2, "USAGE", "--figure", ".gif");
    fail(call("study", "report", "first", "--format", "cvs"), 2, "USAGE", "cvs");
  });

  it("can be archived: a report of small files says the same, and names no folder of this machine", () => {
    const words = ["study", "archive", "first", "--out", "kept"];
    expect(succeed(call(...words))).toMatch(/^Added 4 runs to kept, which holds 4\.\nNext: /);
    expect(succeed(call(...words))).toMatch(/^Added 0 runs to kept, which holds 4\./);
    const report = (place: string) => {
      const { arms, differences, runs } = json("study", "report", place);
      return { arms, differences, runs: runs.map(({ path: _, ...run }: { path: string }) => run) };
    };
    expect(report("kept")).toEqual(report("first"));
    const files = readdirSync(at("kept"), { recursive: true, encoding: "utf8" })
      .map((name) => at("kept", name))
      .filter((name) => name.endsWith(".json"));
    expect(files).toHaveLength(1 + 4 * 4);
    for (const path of files) expect(readFileSync(path, "utf8")).not.toContain(at());
    fail(call("study", "archive", "kept/random", "--out", "other"), 1, "RUN_NOT_FOUND", "kept/random");
  });

  it("that was killed goes on where it was; its runs do not outlive it", async () => {
    const { candidates: _, ...common } = { ...small, epochs: 25, saveEvery: 0.0001, threads: 1 };
    const path = file("killed.json", { common, arms: { found: arms.found }, seeds: "0..1" });
    const words = ["study", path, "--out", "killed"];
    const run = at("killed", "found", "seed-0");
    const running = begin(line.program, words, { cwd: at() });
    while (!existsSync(join(run, "checkpoints", "last"))) {
      expect(running.child.exitCode).toBeNull();
      await pause(20);
    }
    fail(call(...words), 1, "RUN_LOCKED", "works on this study");
    running.kill("SIGKILL");
    await running.ended;
    for (let waited = 0; lockHolder(run) !== null; waited += 20) {
      expect(waited).toBeLessThan(20_000);
      await pause(20);
    }
    expect(read("killed", "found", "seed-0", "summary.json").status).toBe("interrupted");

    const again = begin(line.program, words, { cwd: at() });
    await again.said(/seed 0: finished/);
    again.kill("SIGINT");
    const ending = await again.ended;
    expect(ending, ending.err).toMatchObject({ status: 130 });
    expect(ending.out).toContain("Go on with: ista-nas study --resume killed");
    succeed(call("study", "--resume", "killed"));
    expect(statuses("killed", "found")).toEqual(["finished", "finished"]);
    expect(read("killed", "found", "seed-0", "meta.json").resumed).toHaveLength(1);
    // What the run was resumed with holds paths of this machine.
    const meta = (place: string): string => readFileSync(at(place, "found/seed-0/meta.json"), "utf8");
    expect(meta("killed")).toContain(at());
    succeed(call("study", "archive", "killed", "--out", "kept-killed"));
    expect(meta("kept-killed")).not.toContain(at());
  });

  it("goes on when a run fails, and names it", () => {
    const path = file("broken.json", {
      common: small,
      arms: { ...arms, broken: { method: "random", data: "nowhere" } },
      seeds: [0],
    });
    const ended = call("study", path, "--out", "broken", "--jobs", "3");
    fail(ended, 1, "STUDY_FAILED", "1 of 3 runs failed", "broken seed 0: FILE_NOT_FOUND", "--resume broken");
    expect(ended.out).toMatch(/^found +1 /m);
    expect(ended.out).toContain("Left out: broken seed 0");
  });
});

describe("study plan", () => {
  it("prints a line for each run, which xargs runs, and which may be repeated", () => {
    const path = file("planned.json", { name: "planned", common: small, arms, seeds: "0..1" });
    const planned = succeed(call("study", "plan", path, "--threads", "1"));
    expect(planned.trimEnd().split("\n")).toHaveLength(4);
    const run = () =>
      spawnSync("xargs", ["-d", "\\n", "-P", "2", "-I{}", "sh", "-c", "{}"], {
        cwd: at("runs"),
        input: planned,
        encoding: "utf8",
      });
    const first = run();
    expect(first.status, first.stderr).toBe(0);
    expect(statuses("runs/study-planned", "found", "random")).toEqual(Array(4).fill("finished"));
    const second = run();
    expect(second.status, second.stderr).toBe(0);
    expect(second.stdout.match(/is finished already/g)).toHaveLength(4);
    expect(succeed(call("study", path))).toContain("Made report.json");
  });

  it("begins a run anew that was killed before it said what it is", () => {
    const run = at("runs/study-planned/found/seed-0");
    for (const name of readdirSync(run))
      if (name !== "config.json") rmSync(join(run, name), { recursive: true });
    const holder = { pid: 1, host: "x", startTicks: null, bootId: "gone" };
    const [first] = succeed(call("study", "plan", "planned.json")).split("\n");
    const again = () => spawnSync("sh", ["-c", first], { encoding: "utf8" });
    // Without the lock that a run takes first, the file is somebody else's.
    expect(again().stderr).toContain("error RUN_EXISTS");
    writeFileSync(
      join(run, "lock.json"),
      JSON.stringify({ ...holder, host: read("first/random/seed-0/meta.json").host.name }),
    );
    expect(again().status).toBe(0);
    expect(statuses("runs/study-planned", "found")).toEqual(["finished", "finished"]);
  });
});

it("runs on other images are refused, unless that is said", () => {
  const other = at("other");
  cpSync(join(line.program, "assets", "fashion-mnist-small"), other, { recursive: true });
  const images = join(other, "train-images-idx3-ubyte.gz");
  const bytes = gunzipSync(readFileSync(images));
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(images, gzipSync(bytes));
  succeed(
    call("search", "--method", "random", ...flags, "--data", other, "--seed", "2", "--out", "stranger"),
  );
  const ended = call("study", "report", "first", "stranger");
  fail(ended, 1, "STUDY_DIFFERS", "data is bundled", other, "--allow-differences data");
  const { allowedDifferences, arms } = json(
    "study",
    "report",
    "first",
    "stranger",
    "--allow-differences",
    "data",
  );
  expect(allowedDifferences).toEqual(["data"]);
  expect(arms.find(({ arm }: { arm: string }) => arm === "random").count).toBe(3);
});

describe("the command line", () => {
  it("names what it lacks", () => {
    fail(call("study"), 2, "USAGE", "FILE, --methods NAMES or --resume FOLDER");
    fail(call("study", "--methods", "spos"), 2, "USAGE", "--seeds");
    fail(call("study", "--methods", "spos", "--seeds", "0", "--seed", "1"), 2, "USAGE", "--seeds");
    fail(call("study", "planned.json", "--epochs", "3"), 2, "USAGE", "epochs");
    fail(call("study", "--resume", "first", "--seeds", "0..9"), 2, "USAGE", "seeds");
    fail(call("study", "--resume", "nowhere"), 1, "RUN_NOT_FOUND", "study.json");
    fail(call("search", ...flags, "--go-on"), 2, "USAGE", "--go-on");
  });
});
