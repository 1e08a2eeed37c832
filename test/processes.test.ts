// Several processes that compute one run: the same run as in one, the same bits again, and a clear end where one is lost.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { begin, expectSameResults, pause, perform, resultsOf, succeed } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { beginTogether, distance, figuresOf, launched, relativeDistance } from "./support/processes.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-processes-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const pathOf = (name: string): string => join(folder, name);

const small = [
  ...["--data", "bundled", "--cells", "3", "--channels", "4", "--limit-test", "40", "--threads", "1"],
  // Rounding grows from step to step, the faster the larger the steps are.
  ...["--log-every", "1", "--batch-size", "16", "--learning-rate", "0.003"],
];
/** 20 steps or more of each; the last batch of an epoch has fewer images than two for each of four processes. */
const kinds = {
  "two-stage": [
    ...["search", ...small, "--limit-train", "652", "--epochs", "1", "--code-learning-rate", "0.003"],
  ],
  "one-stage": [
    ...["search", "--method", "ista-one-stage", ...small, "--limit-train", "326", "--epochs", "1"],
    ...["--train-epochs", "1", "--validation-fraction", "0", "--auxiliary-weight", "0.4"],
    ...["--drop-path", "0.2", "--code-learning-rate", "0.003"],
  ],
  training: [
    ...["train", "--arch", "ISTA_onestage", ...small, "--limit-train", "132", "--epochs", "3"],
    ...["--validation-fraction", "0.25", "--auxiliary-weight", "0.4", "--drop-path", "0.2"],
    ...["--weight-averaging", "0.9", "--cutout", "8", "--color-jitter", "0.1,0.1,0.1,0"],
  ],
} as const;
type Kind = keyof typeof kinds;

const run = async (name: string, processes: number, words: readonly string[]): Promise<string> => {
  const out = pathOf(name);
  if (fs.existsSync(out)) return out;
  const all = [...words, "--out", out];
  await succeed(program, processes === 1 ? all : launched(processes, all));
  return out;
};

describe.each(Object.keys(kinds) as Kind[])("%s", (kind) => {
  it.each(kind === "one-stage" ? [2, 4] : [2])(
    "in %i processes with the statistics of whole batches is that in one",
    async (processes) => {
      const one = figuresOf(await run(`${kind}-1`, 1, kinds[kind]));
      const several = figuresOf(
        await run(`${kind}-sync-${processes}`, processes, [...kinds[kind], "--sync-batch-norm"]),
      );
      expect(one.losses.length).toBeGreaterThanOrEqual(20);
      expect(several.losses).toHaveLength(one.losses.length);
      // Rounding alone: nearly nothing in the first steps; then it grows, as it does between two kinds of vector code.
      const differences = one.losses.slice(0, 21).map((loss, step) => Math.abs(several.losses[step] - loss));
      expect(Math.max(...differences.slice(0, 3))).toBeLessThan(1e-5);
      expect(Math.max(...differences)).toBeLessThan(0.15);
      // Adam moves a code as far by a gradient that is nearly nothing, whose sign rounding decides, as by any other.
      expect(relativeDistance(one.codes, several.codes)).toBeLessThan(0.5);
      // With another recovery the networks are others from there on.
      if (`${several.genotypes}` !== `${one.genotypes}`) return;
      for (const [epoch, loss] of one.validation.entries())
        expect(Math.abs(several.validation[epoch] - loss)).toBeLessThan(0.15);
      expect([...several.weights.keys()]).toEqual([...one.weights.keys()]);
      expect(distance(one.weights, several.weights)).toBeLessThan(0.1);
    },
  );
});

describe("with the statistics of their own images", () => {
  it("the same number of processes gives the same bits, other statistics other ones", async () => {
    const first = await run("own-a", 2, kinds["two-stage"]);
    expectSameResults(await run("own-b", 2, kinds["two-stage"]), resultsOf(first));
    const one = figuresOf(await run("two-stage-1", 1, kinds["two-stage"]));
    expect(Math.abs(figuresOf(first).losses[0] - one.losses[0])).toBeGreaterThan(1e-4);
  });

  it("a run that is stopped goes on as if it had not been, with its number of processes and with another", async () => {
    const words = [...kinds.training, "--sync-batch-norm"];
    const undisturbed = await run("whole", 2, words);
    for (const [processes, name] of [
      [2, "same"],
      [3, "more"],
      [1, "alone"],
    ] as const) {
      const out = pathOf(`stopped-${name}`);
      const stopped = begin(program, launched(2, [...words, "--out", out, "--save-every", "0.0000001"]));
      await stopped.said(/epoch 1\/3/);
      stopped.kill("SIGINT");
      expect(await stopped.ended).toMatchObject({ status: 130 });
      const onwards = ["train", "--resume", out];
      await succeed(program, processes === 1 ? onwards : launched(processes, onwards));
      const [a, b] = [figuresOf(undisturbed), figuresOf(out)];
      expect(b.losses).toHaveLength(a.losses.length);
      if (processes === 2) expect(b.losses).toEqual(a.losses);
      expect(distance(a.weights, b.weights)).toBeLessThan(processes === 2 ? 1e-12 : 0.1);
    }
  });
});

it("an evaluation in 3 processes has the figures of one in one", async () => {
  const trained = await run("training-1", 1, kinds.training);
  const figures = async (words: readonly string[]) => {
    const { out } = await succeed(program, [...words, "--limit-test", "70", "--mistakes", "5", "--json"]);
    const { loss, confusion, topK, mistakes } = JSON.parse(out);
    return { loss, confusion, topK, mistakes: mistakes.map(({ guess, origin }: never) => [guess, origin]) };
  };
  const one = await figures(["eval", trained]);
  const three = await figures(launched(3, ["eval", trained]));
  expect(three).toEqual({ ...one, loss: expect.closeTo(one.loss, 5) });
});

describe("where one process is lost", () => {
  const words = [
    ...kinds["two-stage"],
    "--limit-train",
    "128",
    "--epochs",
    "500",
    "--save-every",
    "0.0000001",
    "--timeout",
    "20",
  ];

  it.each([0, 1])(
    "rank %i killed: all others end with a clear error, and the run goes on from its checkpoint",
    async (victim) => {
      const out = pathOf(`lost-${victim}`);
      const all = await beginTogether(program, 3, () => [...words, "--out", out]);
      await all[0].said(/epoch 2\//);
      all[victim].kill("SIGKILL");
      const started = performance.now();
      const endings = await Promise.all(all.map(({ ended }) => ended));
      expect(performance.now() - started).toBeLessThan(25_000);
      for (const [rank, { status, err }] of endings.entries()) {
        if (rank === victim) continue;
        expect(status, err).toBe(1);
        expect(err).toMatch(/error PROCESSES_LOST: .*--resume/);
      }
      const { position } = JSON.parse(fs.readFileSync(join(out, "checkpoints/last/state.json"), "utf8")) as {
        position: { epoch: number };
      };
      const epochs = String(position.epoch + 1);
      const onwards = ["search", "--resume", out, "--epochs", epochs, "--threads", "1"];
      const { err } = await succeed(program, launched(2, onwards));
      expect(err).toMatch(/goes on after epoch/);
    },
  );

  it("one that never comes is named", async () => {
    const [only] = await beginTogether(
      program,
      1,
      () => [...words, "--out", pathOf("waiting"), "--timeout", "2"],
      () => ({
        WORLD_SIZE: "2",
      }),
    );
    const { status, err } = await only.ended;
    expect(status).toBe(1);
    expect(err).toMatch(/PROCESSES_LOST: .*rank 1 of 2 has not come within 2 s/);
  });

  it("launch ends all, says who, and gives its status", async () => {
    const out = pathOf("launch-lost");
    const running = begin(program, ["launch", "--processes", "3", ...words, "--out", out]);
    await running.said(/epoch 1\//);
    const children = execFileSync("pgrep", ["-P", String(running.child.pid)], { encoding: "utf8" });
    const pids = children.trim().split("\n").map(Number);
    expect(pids).toHaveLength(3);
    const third = pids.find((pid) => fs.readFileSync(`/proc/${pid}/environ`, "utf8").includes("\0RANK=2\0"))!;
    process.kill(third, "SIGKILL");
    const { status, err } = await running.ended;
    expect(status).toBe(1);
    expect(err).toMatch(/rank 2 of 3 was ended by SIGKILL/);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
  });
});

it("different data, and different programs, are refused", async () => {
  const words = kinds["two-stage"];
  const all = await beginTogether(
    program,
    2,
    (rank) => [
      ...words,
      ...["--out", pathOf("other-data"), "--timeout", "20"],
      // The command line of the first one counts, but not what it finds on its disk.
      ...(rank === 1 ? ["--data", "bundled"] : []),
    ],
    (rank): Record<string, string> => (rank === 1 ? { ISTA_NAS_VECTOR: "baseline" } : {}),
  );
  const endings = await Promise.all(all.map(({ ended }) => ended));
  expect(endings.map(({ status }) => status)).toEqual([1, 1]);
  expect(endings[0].err).toMatch(/PROCESSES_DIFFER: .*vector code/);
});

it("wrong options and half an environment are wrong usage", async () => {
  const refused = async (words: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const { status, err } = await perform(program, words, { env });
    expect(status, err).toBe(2);
    return err;
  };
  expect(await refused(["search", ...small], { RANK: "0", WORLD_SIZE: "2", MASTER_PORT: "1" })).toMatch(
    /MASTER_ADDR/,
  );
  const place = { RANK: "0", WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29511" };
  const study = [
    "study",
    "--methods",
    "random",
    "--seeds",
    "0..1",
    "--data",
    "bundled",
    "--out",
    pathOf("study"),
  ];
  expect(await refused(study, place)).toMatch(/study: expected to be started once/);
  expect(await refused(["launch", "--processes", "2"])).toMatch(/USAGE/);
  expect(await refused(["launch", "search", ...small])).toMatch(/--processes/);
  expect(await refused(launched(2, ["search", "--cells", "0"]))).toMatch(/CONFIG_VALUE/);
});

/** Local addresses of the TCP sockets of processes, by what they do; hexadecimal and backwards, as the kernel writes them. */
function addressesOf(pids: readonly (number | string)[]): { listening: string[]; connected: string[] } {
  const own = new Set(
    pids.flatMap((pid) =>
      fs.readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
        try {
          return /socket:\[(\d+)\]/.exec(fs.readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1] ?? [];
        } catch {
          return [];
        }
      }),
    ),
  );
  const rows = ["tcp", "tcp6"].flatMap((kind) =>
    fs.readFileSync(`/proc/${pids[0]}/net/${kind}`, "utf8").trim().split("\n"),
  );
  const fields = rows.map((row) => row.trim().split(/\s+/)).filter((row) => own.has(row[9]));
  const inState = (state: string) =>
    fields.filter((row) => row[3] === state).map((row) => row[1].split(":")[0]);
  return { listening: inState("0A"), connected: inState("01") };
}

describe("ports", () => {
  const loopback = "0100007F";
  const words = [...kinds["two-stage"], "--limit-train", "128", "--epochs", "500"];

  it("are of the given address while processes are waited for", async () => {
    const [first] = await beginTogether(
      program,
      1,
      () => [...words, "--out", pathOf("waits")],
      () => ({ WORLD_SIZE: "2" }),
    );
    let listening: string[] = [];
    while (listening.length === 0 && first.child.exitCode === null) {
      await pause(100);
      listening = addressesOf([first.child.pid!]).listening;
    }
    first.kill("SIGKILL");
    await first.ended;
    expect(listening).toEqual([loopback]);
  });

  it("of a run that goes on do not listen, and are connected on that address", async () => {
    const running = begin(program, launched(2, [...words, "--out", pathOf("ports")]));
    await running.said(/epoch 1\//);
    const pids = execFileSync("pgrep", ["-P", String(running.child.pid)], { encoding: "utf8" });
    const { listening, connected } = addressesOf(pids.trim().split("\n"));
    running.kill("SIGTERM");
    await running.ended;
    expect(listening).toEqual([]);
    expect(connected.length).toBeGreaterThan(0);
    expect(new Set(connected)).toEqual(new Set([loopback]));
  });
});
