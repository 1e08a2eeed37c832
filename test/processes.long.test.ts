// Several processes where that takes longer to bring about: an addon without gloo, Open MPI, Slurm, machines with addresses of their own.
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { begin, perform, succeed } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { figuresOf, freePort, launched } from "./support/processes.js";

let program: string;
let folder: string;
beforeAll(() => {
  program = compiledProgram();
  folder = fs.mkdtempSync(join(tmpdir(), "ista-nas-cluster-"));
}, 120_000);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const pathOf = (name: string): string => join(folder, name);
const has = (command: string): boolean => spawnSync("which", [command]).status === 0;

const words = [
  ...[
    "search",
    "--data",
    "bundled",
    "--cells",
    "3",
    "--channels",
    "4",
    "--limit-test",
    "40",
    "--threads",
    "1",
  ],
  ...["--limit-train", "128", "--batch-size", "16", "--epochs", "2", "--log-every", "1", "--timeout", "60"],
];

it("without gloo the program works, and says what to install when it is asked for processes", async () => {
  const without = compiledProgram();
  const build = join(without, "build");
  // The objects that do not differ are not compiled again.
  fs.cpSync(join(packageFolder, "build"), build, { recursive: true });
  execFileSync(process.execPath, [join(packageFolder, "scripts/build.mjs"), "--build", build], {
    env: { ...process.env, ISTA_NAS_WITHOUT_GLOO: "1" },
  });
  const { status, err } = await perform(without, launched(2, [...words, "--out", pathOf("without")]));
  expect(status).toBe(1);
  expect(err).toMatch(/error PROCESSES_MISSING: .*apt-get install libgloo-dev/);
  await succeed(without, [...words, "--out", pathOf("without-one")]);
  await succeed(program, [...words, "--out", pathOf("with-one")]);
  expect(figuresOf(pathOf("without-one"))).toEqual(figuresOf(pathOf("with-one")));
});

describe.skipIf(!has("mpirun"))("Open MPI", () => {
  it("starts the processes of a run, which computes what launch does", async () => {
    const out = pathOf("mpi");
    execFileSync(
      "mpirun",
      [
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        "2",
        join(program, "ista-nas"),
        ...words,
        "--out",
        out,
      ],
      { stdio: "pipe" },
    );
    await succeed(program, launched(2, [...words, "--out", pathOf("launch")]));
    expect(figuresOf(out)).toEqual(figuresOf(pathOf("launch")));
  });

  it("a task that is alone is a run as any other", async () => {
    const out = pathOf("mpi-one");
    execFileSync(
      "mpirun",
      ["--allow-run-as-root", "-n", "1", join(program, "ista-nas"), ...words, "--out", out],
      {
        stdio: "pipe",
      },
    );
    await succeed(program, [...words, "--out", pathOf("one")]);
    expect(figuresOf(out)).toEqual(figuresOf(pathOf("one")));
  });
});

// Where `sinfo` finds a controller: srun needs one.
describe.skipIf(spawnSync("sinfo").status !== 0)("Slurm", () => {
  it("starts the tasks of a run", async () => {
    const out = pathOf("slurm");
    execFileSync("srun", ["-n", "2", join(program, "ista-nas"), ...words, "--out", out], { stdio: "pipe" });
    await succeed(program, launched(2, [...words, "--out", pathOf("slurm-launch")]));
    expect(figuresOf(out)).toEqual(figuresOf(pathOf("slurm-launch")));
  });
});

const ip = (...args: string[]): void => void execFileSync("ip", args);
const canNamespace =
  process.getuid?.() === 0 && has("ip") && spawnSync("unshare", ["-n", "true"]).status === 0;

describe.skipIf(!canNamespace)(`two network namespaces of ${hostname()}`, () => {
  const spaces = ["ista-a", "ista-b"];
  const addresses = ["10.77.0.1", "10.77.0.2"];
  beforeAll(() => {
    for (const space of spaces) ip("netns", "add", space);
    ip(
      "link",
      "add",
      "veth-a",
      "netns",
      spaces[0],
      "type",
      "veth",
      "peer",
      "name",
      "veth-b",
      "netns",
      spaces[1],
    );
    for (const [index, space] of spaces.entries()) {
      const device = ["veth-a", "veth-b"][index];
      ip("-n", space, "addr", "add", `${addresses[index]}/24`, "dev", device);
      for (const one of ["lo", device]) ip("-n", space, "link", "set", one, "up");
    }
  });
  afterAll(() => {
    for (const space of spaces) spawnSync("ip", ["netns", "delete", space]);
  });

  /** One process in each, as on two machines. */
  const beginApart = async (own: readonly string[]) => {
    const port = await freePort();
    return spaces.map((space, rank) => {
      const environment = [
        ...[`RANK=${rank}`, "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=1"],
        ...[`MASTER_ADDR=${addresses[0]}`, `MASTER_PORT=${port}`],
      ];
      const line = ["netns", "exec", space, "env", ...environment, join(program, "ista-nas"), ...own];
      return begin("/", [], { wrapped: ["ip", ...line] });
    });
  };

  it("compute what two processes of one do", async () => {
    const out = pathOf("apart");
    const all = await beginApart([...words, "--out", out]);
    for (const { ended } of all) expect(await ended).toMatchObject({ status: 0 });
    await succeed(program, launched(2, [...words, "--out", pathOf("together")]));
    expect(figuresOf(out)).toEqual(figuresOf(pathOf("together")));
  });

  it("both end within the time where the network is cut, and the run goes on", async () => {
    const out = pathOf("cut");
    const all = await beginApart([...words, "--epochs", "500", "--timeout", "10", "--out", out]);
    await all[0].said(/epoch 2\//);
    ip("-n", spaces[1], "link", "set", "veth-b", "down");
    const cut = performance.now();
    for (const { ended } of all) {
      const { status, err } = await ended;
      expect(status).toBe(1);
      expect(err).toMatch(/PROCESSES_LOST/);
    }
    expect(performance.now() - cut).toBeLessThan(25_000);
    const { err } = await succeed(program, ["search", "--resume", out, "--epochs", "20", "--threads", "1"]);
    expect(err).toMatch(/goes on after epoch/);
  });
});
