// `npm run test:machines [-- NAME ...] [-- --root FOLDER]`: set-up, the demonstration and npm test's core on other machines than
// this one: a new Debian 13 (its own Node and libtorch), as root and as an ordinary user, and this machine with Node 22 and 24.
// What cannot be had here (root, debootstrap, a mirror, a registry) is said and skipped. --root keeps the Debian for another time.
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { root: { type: "string" } },
});
const scratch = mkdtempSync(join(tmpdir(), "ista-nas-machines-"));
const results = [];

/** A reason why a machine cannot be had here. */
class Unavailable extends Error {}

/** Runs a command, its output on standard error; true where it ended well. */
function run(command, args, options = {}) {
  console.error(`machines: ${[command, ...args].join(" ")}`);
  return spawnSync(command, args, { stdio: ["ignore", 2, 2], ...options }).status === 0;
}

/** What a command prints; empty where it cannot. */
const ask = (command, ...args) =>
  spawnSync(command, args, { cwd: root, encoding: "utf8" }).stdout?.trim() ?? "";

function demand(good, reason) {
  if (!good) throw new Unavailable(reason);
}

/** One step of a machine; what comes after a failed one is not tried. */
function step(machine, name, action) {
  const started = Date.now();
  const good = action();
  results.push({
    machine,
    name,
    result: good ? "passed" : "FAILED",
    minutes: (Date.now() - started) / 60_000,
  });
  return good;
}

/** npm's own settings of this machine without which a network of one's own certificates or registry is not reached. */
function npmSettings() {
  const [registry, certificates] = ["registry", "cafile"].map((key) => ask("npm", "config", "get", key));
  const file = certificates.startsWith("/") && existsSync(certificates) ? certificates : null;
  return { registry, file };
}

/** The mirror that this machine's apt takes Debian from. */
function debianMirror() {
  const format = "$(ORIGIN) $(COMPONENT) $(REPO_URI)";
  const lines = ask("apt-get", "indextargets", "--format", format, "Created-By: Packages").split("\n");
  return lines
    .filter((line) => line.startsWith("Debian main ") && !line.includes("security"))
    .map((line) => line.split(" ")[2])[0];
}

function makeDebian(folder) {
  demand(process.getuid?.() === 0, "only root can make a root file system");
  demand(run("unshare", ["-m", "true"]), "this system does not let root have mounts of its own (unshare -m)");
  if (ask("sh", "-c", "command -v debootstrap") === "") {
    run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "debootstrap"]);
    demand(
      ask("sh", "-c", "command -v debootstrap") !== "",
      "debootstrap is not there and cannot be installed",
    );
  }
  const mirror = debianMirror();
  demand(mirror, "apt has no mirror of Debian configured here");
  if (!existsSync(join(folder, "etc/debian_version"))) {
    const made = run("unshare", ["-m", "debootstrap", "--variant=minbase", "trixie", folder, mirror]);
    demand(made, `debootstrap could not fetch Debian 13 from ${mirror}`);
  }
  // Its packages need not survive a power cut.
  writeFileSync(join(folder, "etc/dpkg/dpkg.cfg.d/unsafe-io"), "force-unsafe-io\n");
  const { file } = npmSettings();
  if (file) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    copyFileSync(file, join(folder, "npm-certificates.crt"));
  }
  const prepared =
    inDebian(
      folder,
      "root",
      "apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm ca-certificates",
    ) && inDebian(folder, "root", "id tester >/dev/null 2>&1 || useradd --create-home tester");
  demand(prepared, "apt could not install Node in it");
}

/** Runs shell text in the Debian as a user, with /proc and /dev of this machine. */
function inDebian(folder, user, text) {
  const { registry, file } = npmSettings();
  const settings = [
    "DEBIAN_FRONTEND=noninteractive",
    `npm_config_registry=${registry}`,
    ...(file ? ["npm_config_cafile=/npm-certificates.crt", "NODE_EXTRA_CA_CERTS=/npm-certificates.crt"] : []),
  ];
  const script = `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /usr/bin/env -i "$@"`;
  const home = user === "root" ? "/root" : `/home/${user}`;
  const environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", `HOME=${home}`, "LANG=C.UTF-8", ...settings];
  const shell = ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "sh", "-c", text];
  return run("unshare", ["-m", "sh", "-c", script, folder, ...environment, ...shell]);
}

/** The files of this checkout as they are, without what is built or installed. */
function copySources(to) {
  const names = ask("git", "ls-files", "-co", "--exclude-standard", "-z").split("\0").filter(Boolean);
  demand(names.length > 0, "this is no git checkout, so its files are not known");
  rmSync(to, { recursive: true, force: true });
  for (const name of names.filter((name) => existsSync(join(root, name))))
    cpSync(join(root, name), join(to, name));
}

function debian13() {
  const folder = values.root ?? join(scratch, "debian-13");
  makeDebian(folder);
  for (const user of ["root", "tester"]) {
    const machine = `Debian 13 as ${user === "root" ? "root" : "an ordinary user"}`;
    const home = user === "root" ? "root" : `home/${user}`;
    copySources(join(folder, home, "ista-nas"));
    const call = (command) =>
      inDebian(folder, user, `node --version; npm --version; cd ~/ista-nas && ${command}`);
    inDebian(folder, "root", `chown -R ${user}: /${home}/ista-nas`);
    if (step(machine, "set-up", () => call("npm run setup"))) {
      step(machine, "demonstration", () => call("npm start"));
      step(machine, "core of npm test", () => call("npm test -- --core"));
    }
  }
}

/** This machine and checkout with another Node, from npm's package of its binaries. */
function node(major) {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(scratch, `node-${major}`);
  const got = run("npm", ["install", "--silent", "--ignore-scripts", "--prefix", folder, `${name}@${major}`]);
  const bin = join(folder, "node_modules", name, "bin");
  demand(got && existsSync(join(bin, "node")), `npm could not install ${name}@${major}`);
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  const machine = `Node ${ask(join(bin, "node"), "--version")}`;
  const call = (cwd, ...words) => run(join(bin, "node"), words, { cwd, env });
  if (step(machine, "set-up", () => call(root, "scripts/setup.mjs"))) {
    step(machine, "demonstration", () => call(folder, join(root, "ista-nas"), "demo"));
    step(machine, "core of npm test", () => call(root, "scripts/test.mjs", "--core"));
  }
}

const machines = { "debian-13": debian13, "node-22": () => node(22), "node-24": () => node(24) };
const chosen = positionals.length > 0 ? positionals : Object.keys(machines);
const unknown = chosen.filter((name) => !(name in machines));
if (unknown.length > 0) {
  console.error(
    `test:machines: expected names out of ${Object.keys(machines).join(", ")}, got ${unknown.join(", ")}`,
  );
  process.exit(2);
}
try {
  for (const name of chosen) {
    try {
      machines[name]();
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      results.push({ machine: name, name: "all", result: `skipped: ${error.message}` });
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const { machine, name, result, minutes } of results) {
  const time = minutes === undefined ? "" : ` in ${minutes.toFixed(1)} min`;
  console.log(`${machine.padEnd(28)} ${name.padEnd(18)} ${result}${time}`);
}
process.exit(results.some(({ result }) => result === "FAILED") ? 1 : 0);
