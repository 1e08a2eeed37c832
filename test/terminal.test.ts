// The terminal goes away, and what is printed cannot be: a run is saved or goes on, and other commands say what was not printed.
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { begin, perform, smallRuns } from "./support/command-line.js";
import { compiledProgram } from "./support/compiled.js";
import { fillDisk, mountSmallDisk, unmount } from "./support/small-disk.js";

const folder = mkdtempSync(join(tmpdir(), "ista-nas-terminal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);
let program: string;
let command: string;
beforeAll(() => {
  program = compiledProgram();
  command = join(program, "ista-nas");
}, 120_000);

const endless = [...smallRuns.train, "--epochs", "100000", "--save-every", "0"];
const brief = ["train", "--arch", "ISTA_onestage", "--data", "bundled", "--cells", "3", "--channels", "4"];
const briefly = [...brief, "--limit-train", "32", "--limit-test", "8", "--batch-size", "16", "--epochs", "1"];
/** For the shell: the status of the first command of a pipe. */
const first = "; exit $" + "{PIPESTATUS[0]}";
const statusOf = (path: string): string | null =>
  existsSync(join(path, "summary.json"))
    ? JSON.parse(readFileSync(join(path, "summary.json"), "utf8")).status
    : null;

/** A command line of the shell; `$0` is the program. */
function shell(line: string, ...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", line, command, ...words], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { status, out: stdout, err: stderr };
}

describe("a hang-up", () => {
  it("is a wish to end: the run is saved, also when it is told twice, as by the system and the shell", async () => {
    const path = at("hung-up");
    const running = begin(program, [...endless, "--out", path]);
    await running.said(/epoch 1\/100000/);
    running.kill("SIGHUP");
    running.kill("SIGHUP");
    const { status, out, err } = await running.ended;
    expect(status, err).toBe(130);
    expect(err).toContain("SIGHUP: the present step is finished and saved");
    expect(out).toContain("Go on with: ista-nas train --resume");
    expect(statusOf(path)).toBe("interrupted");
  });

  it("is nothing under nohup; other signals are what they are", async (context) => {
    if (spawnSync("nohup", ["true"]).error) return context.skip("there is no nohup");
    const path = at("nohup");
    const child = spawn("nohup", [command, ...endless, "--out", path], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stderr.on("data", (data) => {
      said += data;
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    await expect.poll(() => said, { timeout: 60_000 }).toMatch(/epoch 1\/100000/);
    child.kill("SIGHUP");
    const epochs = (): number => said.match(/^epoch /gm)?.length ?? 0;
    const before = epochs();
    await expect.poll(epochs, { timeout: 60_000 }).toBeGreaterThan(before + 2);
    child.kill("SIGTERM");
    expect(await ended, said).toBe(130);
    expect(statusOf(path)).toBe("interrupted");
  });

  it("of a real terminal that is closed: saved, and ended in good order", async (context) => {
    if (spawnSync("script", ["--version"]).error)
      return context.skip("there is no script(1) to make a terminal");
    const path = at("closed");
    const [status, lines] = [at("closed-status"), at("closed.sh")];
    // The shell leads the session and is told of the hang-up; what it started is told by it, as by a login shell.
    writeFileSync(
      lines,
      `"${command}" ${endless.join(" ")} --out "${path}" & child=$!\ntrap 'kill -HUP $child' HUP\nwait $child; wait $child; echo $? > "${status}"\n`,
    );
    const terminal = spawn("script", ["-qec", `bash "${lines}"`, "/dev/null"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let shown = "";
    terminal.stdout.on("data", (data) => {
      shown += data;
    });
    await expect.poll(() => shown, { timeout: 60_000 }).toMatch(/epoch 1\/100000/);
    // Its end is that of the terminal.
    terminal.kill("SIGKILL");
    await expect
      .poll(() => existsSync(status) && readFileSync(status, "utf8"), { timeout: 60_000 })
      .toBe("130\n");
    expect(statusOf(path)).toBe("interrupted");
    expect(readdirSync(path)).not.toContain("lock.json");
  });
});

describe("a run whose output is lost goes on", () => {
  it.each([
    [
      "standard output on a full disk",
      "> /dev/full",
      "warning: not printed, the run itself is saved: FILE_DISK_FULL ",
    ],
    ["standard error on a full disk", "2> /dev/full", ""],
    ["both closed", ">&- 2>&-", ""],
    ["both of a reader that is gone", `2>&1 | true${first}`, ""],
    ["as JSON on a full disk", "--json > /dev/full", "warning: not printed, "],
  ])("%s", (name, redirection, warning) => {
    const path = at(name.replaceAll(" ", "-"));
    const { status, err } = shell(`"$0" "$@" ${redirection}`, ...briefly, "--out", path);
    expect(status, err).toBe(0);
    expect(err).toContain(warning);
    expect(statusOf(path)).toBe("finished");
  });

  it("and says more when there is room again", async (context) => {
    const disk = at("disk");
    if (!mountSmallDisk(disk, "size=64k")) return context.skip();
    try {
      const [path, log, other] = [at("room"), join(disk, "log"), join(disk, "other")];
      writeFileSync(log, "");
      fillDisk(other);
      const child = spawn("bash", ["-c", `exec "$0" "$@" 2>> "${log}"`, command, ...endless, "--out", path], {
        stdio: "ignore",
        env: { ...process.env, NO_COLOR: "1" },
      });
      const ended = new Promise((resolve) => child.once("close", resolve));
      const records = join(path, "metrics.jsonl");
      await expect.poll(() => existsSync(records), { timeout: 60_000 }).toBe(true);
      expect(readFileSync(log, "utf8")).toBe("");
      rmSync(other);
      await expect.poll(() => readFileSync(log, "utf8"), { timeout: 60_000 }).toMatch(/^epoch \d+\/100000/m);
      child.kill("SIGTERM");
      expect(await ended).toBe(130);
      expect(readFileSync(log, "utf8")).toContain("warning: SIGTERM: ");
    } finally {
      unmount(disk);
    }
  });
});

describe("what other commands print", () => {
  it("is missed: an error where it did not fit on the disk", () => {
    mkdirSync(at("none"), { recursive: true });
    const { status, err } = shell('"$0" runs list none > /dev/full');
    expect(status).toBe(1);
    expect(err).toBe(
      "error FILE_DISK_FULL: write standard output: no space left on the disk; free some and try again\n",
    );
  });

  it("is not missed by a reader that has read enough", () => {
    expect(shell(`"$0" config presets --json | head -c 1${first}`)).toEqual({
      status: 0,
      out: "[",
      err: "",
    });
    expect(shell(`"$0" arch list | true${first}`)).toEqual({ status: 0, out: "", err: "" });
  });
});

describe("a device as a target", () => {
  it.each([
    ["arch", "random", "--seed", "1", "--out"],
    ["export", "random:1", "--format", "genotype-json", "--out"],
  ])("of %s is an error that says what to do, and it is still there", async (...words) => {
    const link = at("full");
    rmSync(link, { force: true });
    symlinkSync("/dev/full", link);
    const { status, err } = await perform(program, [...words, link]);
    expect(status).toBe(1);
    expect(err).toBe(
      `error FILE_KIND: write ${link}: expected a file or a new name, got a device or pipe; name a file\n`,
    );
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(link).isCharacterDevice()).toBe(true);
  });

  it("as the folder of a run", async () => {
    const ending = await perform(program, [...briefly, "--out", "/dev/full"]);
    expect(ending).toMatchObject({
      status: 1,
      err: expect.stringContaining(
        "error RUN_EXISTS: /dev/full: expected a new or empty folder, it is none; choose another name",
      ),
    });
  });
});
