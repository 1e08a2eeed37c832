// Set-up from an empty machine: dependencies, libtorch with a fast BLAS, the addon, dist/. Does only what is missing.
// In an installed package, which has no lock file, npm has seen to the dependencies and dist/ came with it.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findLibtorch, hasGlooHeaders, libtorchRemedies } from "./lib/libtorch.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends with a message for the user; what is wrong is outside of this program. */
function stop(message) {
  console.error(`set-up: ${message}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options });
  if (error) stop(`${command} could not be started: ${error.message}`);
  return status === 0;
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    stop(`expected Node 20.19 or later, this is ${process.version}`);
}

function installPackages() {
  if (!existsSync(join(root, "package-lock.json"))) return;
  const stampFile = join(root, "node_modules/.ista-nas-stamp");
  const stamp = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return;
  console.error("set-up: installing the packages of package-lock.json with npm ci");
  if (!run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"])) {
    stop("npm ci failed; see its message above (is the npm registry reachable?)");
  }
  writeFileSync(stampFile, stamp);
}

const hasCommand = (name) => spawnSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" }).status === 0;

/** Debian's libtorch takes whatever BLAS the system has; the reference one is about 50 times slower than OpenBLAS. */
const hasOpenBlas = () =>
  readdirSync("/usr/lib").some(
    (name) =>
      name.endsWith("-linux-gnu") &&
      ["openblas-pthread", "openblas-openmp", "openblas-serial"].some((kind) =>
        existsSync(join("/usr/lib", name, kind, "libblas.so.3")),
      ),
  );

function missingSystemPackages() {
  const missing = [];
  if (!hasCommand(process.env.CXX ?? "g++")) missing.push("g++");
  const libtorch = findLibtorch();
  if (!libtorch) missing.push("libtorch-dev");
  if (
    process.platform === "linux" &&
    (!libtorch || libtorch.origin === "the system's libtorch") &&
    !hasOpenBlas()
  ) {
    missing.push("libopenblas0-pthread");
  }
  return missing;
}

/** What a run in several processes needs of the system's packages; all else works without. */
function packagesForProcesses() {
  const libtorch = findLibtorch();
  const ofSystem = !libtorch || libtorch.origin === "the system's libtorch";
  return process.platform === "linux" && ofSystem && !(libtorch && hasGlooHeaders(libtorch))
    ? ["libgloo-dev"]
    : [];
}

function installSystemPackages() {
  const missing = missingSystemPackages();
  const extra = packagesForProcesses();
  if (missing.length + extra.length === 0) return;
  const list = [...missing, ...extra].join(" ");
  const asRoot = process.getuid?.() === 0;
  const mayInstall =
    hasCommand("apt-get") && (asRoot || spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0);
  if (!mayInstall && missing.length === 0) {
    console.error(
      `set-up: ${list} is not there, which runs in several processes need; all else works without`,
    );
    return;
  }
  if (!mayInstall) {
    const how = hasCommand("apt-get") ? `sudo apt-get install ${list}` : libtorchRemedies;
    stop(`missing: ${list}; this program may not install them itself. Do this, then run it again:\n  ${how}`);
  }
  console.error(
    `set-up: installing ${list} with apt-get${asRoot ? "" : " through sudo"}${missing.includes("libtorch-dev") ? " (about 1 GB with libtorch, a minute or two)" : ""}`,
  );
  const apt = (...args) => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    return asRoot
      ? run("apt-get", args, { env })
      : run("sudo", ["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args]);
  };
  const install = (packages) => apt("install", "-y", "-qq", "--no-install-recommends", ...packages);
  const all = [...missing, ...extra];
  // The package lists of a new machine may be absent or old: they are fetched when the first try fails.
  if (install(all) || (apt("update", "-qq") && install(all))) return;
  if (missing.length === 0 || (extra.length > 0 && install(missing)))
    console.error(`set-up: ${extra.join(" ")} could not be installed: a run is computed in one process`);
  else stop(`apt-get could not install ${list}; see its message above`);
}

/**
 * Everything that a run needs, from whatever is there already. Exits with status 1 and a message where that fails.
 * @param words for scripts/build.mjs: `--build FOLDER` names another place for the addon than build/
 */
export function setUp(words = []) {
  checkNode();
  installPackages();
  try {
    installSystemPackages();
  } catch (error) {
    stop(error.message);
  }
  try {
    execFileSync(process.execPath, [join(root, "scripts/build.mjs"), ...words], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
  } catch {
    process.exit(1);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp(process.argv.slice(2));
  console.error("set-up: done; next: ista-nas --help");
}
