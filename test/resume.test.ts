// A run that was interrupted and went on computes what an undisturbed one does, bit for bit; and what --resume allows.
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import {
  begin,
  expectSameResults,
  perform,
  type SmallRun,
  smallRuns,
  succeed,
} from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { interruptedLikeUndisturbed, type Reference, undisturbed } from "./support/interrupted-run.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-resume-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const kinds = Object.keys(smallRuns) as SmallRun[];
const references = new Map<SmallRun, Reference>();
const pathOf = (name: string): string => join(folder, name);

describe.each(kinds)("%s", (kind) => {
  beforeAll(async () => {
    references.set(kind, await undisturbed(program, kind, pathOf(`${kind}-whole`)));
  }, 120_000);

  it("killed at random moments", async () => {
    const random = RandomStream.named(1, kind);
    const counts = await interruptedLikeUndisturbed(
      program,
      kind,
      pathOf(`${kind}-killed`),
      references.get(kind)!,
      {
        times: 3,
        signals: ["SIGKILL"],
        random,
      },
    );
    expect(counts.count).toBeGreaterThan(0);
  });

  it("asked to stop at random moments", async () => {
    const random = RandomStream.named(2, kind);
    const counts = await interruptedLikeUndisturbed(
      program,
      kind,
      pathOf(`${kind}-asked`),
      references.get(kind)!,
      {
        times: 2,
        signals: ["SIGINT", "SIGTERM"],
        random,
      },
    );
    expect(counts.count).toBeGreaterThan(0);
  });
});

describe("--resume", () => {
  /** A copy of a finished run. */
  function copy(kind: SmallRun, name: string): string {
    fs.cpSync(pathOf(`${kind}-whole`), pathOf(name), { recursive: true });
    return pathOf(name);
  }

  it("of a finished run changes nothing", async () => {
    const path = copy("train", "again");
    await succeed(program, ["train", "--resume", path]);
    expectSameResults(path, references.get("train")!.results);
  });

  it("is what --go-on comes to where there is something left to do", async () => {
    const path = copy("two-stage", "go-on");
    const again = (...words: string[]) =>
      perform(program, [...smallRuns["two-stage"], "--out", path, "--go-on", ...words]);
    const { status, out, err } = await again("--threads", "2");
    expect({ status, out, err }).toEqual({ status: 0, out: `${path} is finished already\n`, err: "" });
    expect((await again("--epochs", "5")).err).toContain("goes on after epoch 4, step 0");
    expect(await again("--batch-size", "8")).toMatchObject({
      status: 2,
      err: expect.stringContaining("error CONFIG_RESUME: --resume: the run keeps its own values"),
    });
    expect(await perform(program, [...smallRuns["two-stage"], "--go-on"])).toMatchObject({
      status: 2,
      err: expect.stringContaining("error USAGE: --go-on: expected --out"),
    });
  });

  it("with more epochs goes on, and says what changed", async () => {
    const path = copy("train", "longer");
    const { err } = await succeed(program, ["train", "--resume", path, "--epochs", "5", "--threads", "2"]);
    expect(err).toContain("goes on with --epochs 5 instead of 4");
    expect(err).toContain("goes on with --threads 2 instead of 1");
    expect(err).toContain("goes on after epoch 4, step 0");
    const lines = fs.readFileSync(join(path, "metrics.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).epoch)).toEqual([0, 1, 2, 3, 4]);
    expect(JSON.parse(fs.readFileSync(join(path, "config.json"), "utf8"))).toMatchObject({
      epochs: 5,
      threads: 2,
    });
    expect(JSON.parse(fs.readFileSync(join(path, "meta.json"), "utf8")).resumed).toHaveLength(1);
  });

  it.each<[string[], string]>([
    [["--epochs", "2"], "expected at least as many epochs as there are (4"],
    [["--batch-size", "8"], "--batch-size 8 instead of 16"],
    [["--learning-rate", "0.5"], "--learning-rate 0.5 instead of 0.025"],
    [["--data", "/elsewhere"], "--data /elsewhere instead of bundled"],
  ])("with %j is refused, and nothing is changed", async (words, message) => {
    const path = pathOf("train-whole");
    const ending = await perform(program, ["train", "--resume", path, ...words]);
    expect(ending).toMatchObject({ status: 2, out: "" });
    expect(ending.err).toMatch(/^error CONFIG_RESUME: .*$/m);
    expect(ending.err).toContain(message);
    expectSameResults(path, references.get("train")!.results);
  });

  it("of the other kind of run is refused", async () => {
    const ending = await perform(program, ["search", "--resume", pathOf("train-whole")]);
    expect(ending).toMatchObject({ status: 1, err: expect.stringContaining("error RUN_DAMAGED: ") });
  });

  it("needs neither the file with the cells nor the one with the first weights", async () => {
    const cells = pathOf("cells.json");
    const weights = pathOf("weights.safetensors");
    fs.copyFileSync(join(pathOf("train-whole"), "genotype.json"), cells);
    fs.copyFileSync(join(pathOf("train-whole"), "model.safetensors"), weights);
    const words = [...smallRuns.train, "--pool-batch-norm", "--arch", cells, "--init-from", weights];
    await succeed(program, [...words, "--out", pathOf("from-files")]);
    const whole = pathOf("from-files");
    fs.cpSync(whole, pathOf("unfinished"), { recursive: true });
    const running = begin(program, [...words, "--out", pathOf("vanished")]);
    await running.said(/epoch 1\/4/);
    running.kill("SIGINT");
    expect((await running.ended).status).toBe(130);
    fs.rmSync(cells);
    fs.rmSync(weights);
    await succeed(program, ["train", "--resume", pathOf("vanished")]);
    const [one, other] = [whole, pathOf("vanished")].map((path) =>
      fs.readFileSync(join(path, "model.safetensors")),
    );
    expect(one.equals(other)).toBe(true);
  });

  it("refuses a second process, naming the first", async () => {
    const path = pathOf("shared");
    const first = begin(program, [...smallRuns.train, "--epochs", "100", "--out", path]);
    await first.said(/run directory/);
    const second = await perform(program, ["train", "--resume", path]);
    expect(second).toMatchObject({ status: 1, out: "" });
    expect(second.err).toMatch(
      new RegExp(`^error RUN_LOCKED: .*process ${first.child.pid} works on this run`, "m"),
    );
    first.kill("SIGTERM");
    expect((await first.ended).status).toBe(130);
  });

  it("a second signal quits at once", async () => {
    const running = begin(program, [...smallRuns.train, "--epochs", "100", "--out", pathOf("impatient")]);
    await running.said(/epoch 1\/100/);
    running.kill("SIGINT");
    running.kill("SIGTERM");
    expect((await running.ended).status).toBe(130);
  });
});
