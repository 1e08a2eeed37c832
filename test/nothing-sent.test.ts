// What commands do outside of their own folders, seen by the system: no name is looked up, no socket of the network is made,
// and nothing is written but the run, the output that was asked for, and temporary files.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve, sep } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageFolder } from "../src/base/package.js";
import { compiledProgram } from "./support/compiled.js";
import { picture } from "./support/data.js";

/** Calls that may reach another machine, and those that change what is in folders. */
const traced = [
  ...["%network", "open", "openat", "openat2", "creat", "truncate", "mkdir", "mkdirat", "rmdir", "unlink"],
  ...[
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
  ],
];
const strace = ["strace", "-ff", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", "signal=none"];

/** Why nothing can be seen here; null where it can. */
function obstacle(): string | null {
  const { status, error, stderr } = spawnSync(strace[0], [...strace.slice(1), "-e", "trace=openat", "true"], {
    encoding: "utf8",
  });
  if (error) return "strace is not installed";
  return status === 0 ? null : `strace may not be used here: ${stderr.split("\n")[0]}`;
}
const reason = obstacle();
if (reason !== null) console.log(`not tested, what commands send and write: ${reason}`);

const folder = mkdtempSync(join(tmpdir(), "ista-nas-nothing-sent-"));
const at = (...names: string[]): string => join(folder, ...names);
/** As a user has them: working folder, home, temporary folder. */
const [work, home, temporary] = ["work", "home", "temporary"].map((name) => at(name));
const dataSet = join(packageFolder, "assets/fashion-mnist-small");
let program: string;
beforeAll(async () => {
  if (reason !== null) return;
  program = compiledProgram();
  for (const name of [work, home, temporary]) mkdirSync(name);
  writeFileSync(join(work, "picture.png"), await picture(28, 28, "png"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }), 120_000);

interface Seen {
  /** Calls about sockets, as strace writes them. */
  readonly network: string[];
  /** Paths that were written, made, renamed or removed, or that were to be. */
  readonly written: string[];
  /** Paths that were opened. */
  readonly opened: string[];
}

/** The paths of one call: the argument strings, from the folder that a descriptor before them names. */
function pathsOf(line: string): string[] {
  return [...line.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)].map(([, from, path]) =>
    resolve(from ?? work, path),
  );
}

function observe(command: string, ...args: string[]): Seen {
  const logs = mkdtempSync(at("log-"));
  // Through io_uring, files could be opened without a call that is seen.
  const env = { ...process.env, HOME: home, TMPDIR: temporary, UV_USE_IO_URING: "0" };
  delete (env as NodeJS.ProcessEnv).XDG_CACHE_HOME;
  const words = [...strace.slice(1), "-e", `trace=${traced}`, "-o", join(logs, "calls"), command, ...args];
  execFileSync(strace[0], words, { cwd: work, env, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  const lines = readdirSync(logs).flatMap((name) => readFileSync(join(logs, name), "utf8").split("\n"));
  const seen: Seen = { network: [], written: [], opened: [] };
  for (const line of lines.filter((line) => line !== "")) {
    const name = line.slice(0, line.indexOf("("));
    const opens = name.startsWith("open");
    if (opens) seen.opened.push(...pathsOf(line));
    if (opens ? /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(line) : /^(creat|trunc|mk|rm|un|re|li|sym)/.test(name))
      if (!/^(recv|listen)/.test(name)) seen.written.push(...pathsOf(line));
    if (/^(socket|connect|bind|send|recv|listen|accept)/.test(name)) seen.network.push(line);
  }
  return seen;
}

const inside = (path: string, place: string): boolean => path === place || path.startsWith(place + sep);
/** Sockets between processes of this machine, and pairs of them, lead nowhere else. */
const isLocal = (call: string): boolean =>
  /AF_UNIX|^(socketpair|send|recv|bind)\w*\(\d+<(UNIX|socket):?.*|^\w+\(\d+<UNIX/.test(call);

const small =
  "--data bundled --limit-train 64 --limit-test 16 --batch-size 32 --cells 3 --channels 4 --threads 1".split(
    " ",
  );

describe.skipIf(reason !== null)("nothing is sent, and nothing is written elsewhere", () => {
  it.each<[string, string[]]>([
    [`search ${small.join(" ")} --epochs 1 --out found`, ["found"]],
    [`train --arch found ${small.join(" ")} --epochs 1 --out trained`, ["trained"]],
    ["eval trained --limit-test 16", ["trained"]],
    ["predict trained picture.png", []],
    ["export trained --format onnx --out model.onnx", ["model.onnx"]],
    ["export trained --format page --out page", ["page"]],
    ["runs show found", []],
    ["runs compare found trained", []],
    ["arch show found", []],
    ["doctor", []],
    ["config presets", []],
    ["dash found --save saved.html", ["saved.html"]],
    ["data verify DATA", []],
  ])("%s", (line, outputs) => {
    const { network, written, opened } = observe(
      join(program, "ista-nas"),
      ...line.replace("DATA", dataSet).split(" "),
    );
    expect(network.filter((call) => !isLocal(call))).toEqual([]);
    expect(opened.filter((path) => /^\/etc\/(resolv\.conf|hosts|services|gai\.conf)$/.test(path))).toEqual(
      [],
    );
    // The program was opened at all: the calls were seen.
    expect(opened).toContain(join(program, "dist/src/cli/main.js"));
    // A file is written under a temporary name beside its own.
    const mayBeWritten = (path: string): boolean =>
      ["/dev/null", "/dev/tty"].includes(path) ||
      inside(path, temporary) ||
      outputs.some((name) => inside(path, join(work, name))) ||
      (outputs.length > 0 && /^\.writing-[^/]+$/.test(path.slice(work.length + 1)));
    expect(written.filter((path) => !mayBeWritten(path))).toEqual([]);
    if (outputs.length > 0) expect(written.some((path) => inside(path, join(work, outputs[0])))).toBe(true);
    expect(readdirSync(home)).toEqual([]);
  });

  it("a served page is to be had at the loopback alone", () => {
    const ask = `
      const address = process.argv[1].replace("localhost", "127.0.0.1");
      fetch(address + "events").then(({ body }) => body.getReader().read()).then(() => process.exit())`;
    const serve = '"$0" dash found --port 0 >address & until [ -s address ]; do sleep 0.1; done';
    const visit = '"$1" -e "$2" "$(head -n 1 address)"; kill $!; wait $!';
    const words = [join(program, "ista-nas"), process.execPath, ask];
    const { network, written, opened } = observe("sh", "-ec", `${serve}; ${visit}`, ...words);
    const addresses = network.filter((call) => /sin6?_addr/.test(call));
    expect(addresses.some((call) => call.startsWith("bind"))).toBe(true);
    expect(addresses.filter((call) => !call.includes("127.0.0.1"))).toEqual([]);
    expect(opened).toContain(join(work, "found/meta.json"));
    const mayBeWritten = ["/dev/null", "/dev/tty", join(work, "address")];
    expect(written.filter((path) => !mayBeWritten.includes(path) && !inside(path, temporary))).toEqual([]);
  });

  it("a program that does look up a name and writes elsewhere is seen", () => {
    const source = `require("node:dns").lookup("localhost.invalid", () => {}); require("node:fs").writeFileSync(${JSON.stringify(at("else"))}, "")`;
    const { network, written, opened } = observe(process.execPath, "-e", source);
    expect([
      ...network.filter((call) => !isLocal(call)),
      ...opened.filter((path) => path === "/etc/hosts"),
    ]).not.toEqual([]);
    expect(written).toContain(at("else"));
  });
});
