// Builds what is out of date: the addon (native/ with g++ against libtorch) and, in a clone, dist/ (src/ with the TypeScript
// compiler, and of onnxruntime-web what the program uses). `--build FOLDER`: the addon there; `--dist`: dist/ alone.
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, freemem, machine } from "node:os";
import { basename, dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { findLibtorch, hasGloo, libtorchRemedies } from "./lib/libtorch.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: wanted } = parseArgs({ options: { build: { type: "string" }, dist: { type: "boolean" } } });
const build = wanted.build ?? join(root, "build");
const isClone = existsSync(join(root, "package-lock.json"));
const require = createRequire(join(root, "package.json"));
/** The folder of a dependency, which npm may have put beside this package instead of into it. */
const dependency = (name) => dirname(require.resolve(`${name}/package.json`));
const run = promisify(execFile);

const listFiles = (folder, pattern) =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => pattern.test(path))
    .sort();

function hash(texts) {
  const digest = createHash("sha256");
  for (const text of texts) digest.update(text).update("\0");
  return digest.digest("hex");
}

const stampOf = (path) => (existsSync(path) ? readFileSync(path, "utf8") : "");

const native = join(root, "native");
const architecture = existsSync(join(native, "kernels", machine())) ? machine() : "other";

/**
 * Every object file of the addon: its source, whether libtorch's headers are needed, and the flags that only it has.
 * @param withGloo flags of what needs gloo's headers; none where there are none
 */
function addonObjects(withGloo) {
  const sources = listFiles(native, /\.cc$/).filter((path) => !path.includes("/test/"));
  const isKernel = (path) => path.startsWith(join(native, "kernels"));
  const nameOf = (source) => relative(native, source).replaceAll(sep, "-").slice(0, -3);
  // The kernels once for each instruction set; all else for any processor of the architecture, so that the addon runs on any.
  const kernels = listFiles(join(native, "kernels", architecture), /\.flags$/).flatMap((path) =>
    sources.filter(isKernel).map((source) => ({
      source,
      object: join(build, `${nameOf(source)}.${basename(path, ".flags")}.o`),
      own: readFileSync(path, "utf8").trim().split(/\s+/),
      libtorch: false,
    })),
  );
  const others = sources
    .filter((source) => !isKernel(source))
    .map((source) => ({
      source,
      object: join(build, `${nameOf(source)}.o`),
      own: source.startsWith(join(native, "processes")) ? withGloo : [],
      libtorch: true,
    }));
  return [...kernels, ...others];
}

async function buildAddon() {
  const libtorch = findLibtorch();
  if (!libtorch) throw new Error(libtorchRemedies);
  const compiler = process.env.CXX ?? "g++";
  const cuda = existsSync(join(libtorch.lib, "libtorch_cuda.so"));
  const includes = [
    dependency("node-addon-api"),
    join(dependency("node-api-headers"), "include"),
    ...libtorch.includes,
  ];
  const general = ["-O3", "-std=c++17", "-fPIC", "-Wall"];
  const withLibtorch = [
    "-fopenmp",
    // Some compilers' default is more than every processor has.
    ...(architecture === "x86_64" ? ["-march=x86-64"] : []),
    "-DNAPI_VERSION=8",
    "-DNAPI_CPP_EXCEPTIONS",
    // An error on a worker that is being terminated has nowhere to go; it must not end the process.
    "-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
    `-D_GLIBCXX_USE_CXX11_ABI=${libtorch.newAbi ? 1 : 0}`,
    // libtorch's own headers are not ours to warn about; /usr/include must stay an ordinary include folder.
    ...includes.filter((path) => path !== "/usr/include").flatMap((path) => ["-isystem", path]),
  ];
  // Several processes for one run; without it all else works.
  const gloo = process.env.ISTA_NAS_WITHOUT_GLOO !== "1" && hasGloo(libtorch);
  const withGloo = gloo ? ["-DUSE_DISTRIBUTED", "-DUSE_C10D_GLOO"] : [];
  const headers = listFiles(native, /\.h$/);
  const texts = (paths) => paths.map((path) => readFileSync(path, "utf8"));
  const version = execFileSync(compiler, ["--version"], { encoding: "utf8" });
  const libtorchIdentity = [libtorch.lib, stampOf(join(libtorch.includes[1], "torch/version.h"))];
  mkdirSync(build, { recursive: true });

  const objects = addonObjects(withGloo).map((one) => {
    const flags = [...general, ...(one.libtorch ? withLibtorch : []), ...one.own];
    // Kernels include headers of their own folder only.
    const read = one.libtorch ? headers : headers.filter((path) => dirname(path) === dirname(one.source));
    const stamp = hash([
      version,
      ...(one.libtorch ? libtorchIdentity : []),
      ...flags,
      ...texts([...read, one.source]),
    ]);
    return { ...one, flags, stamp };
  });
  const work = objects.filter(
    ({ object, stamp }) => !existsSync(object) || stampOf(`${object}.stamp`) !== stamp,
  );
  const addon = join(build, "ista_nas.node");
  // What the addon was linked from, should a build have ended between compiling and linking.
  const linked = hash(objects.map(({ stamp }) => stamp));
  if (work.length === 0 && existsSync(addon) && stampOf(`${addon}.stamp`) === linked) return;

  console.error(`building the addon against ${libtorch.origin} (${libtorch.lib})`);
  const queue = [...work];
  const compileNext = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      const [set] = /\.\w+(?=\.o$)/.exec(basename(item.object)) ?? [""];
      console.error(`  compile ${item.source.slice(root.length + 1)}${set && ` for ${set.slice(1)}`}`);
      // Written under a name of this process's own and renamed, so that two builds at once do not disturb each other.
      const unfinished = `${item.object}.${process.pid}`;
      await run(compiler, [...item.flags, "-c", item.source, "-o", unfinished], { maxBuffer: 1 << 26 });
      renameSync(unfinished, item.object);
      writeFileSync(`${item.object}.stamp`, item.stamp);
    }
  };
  // A compiler that reads libtorch's headers takes about 1 GiB.
  const jobs = Math.max(1, Math.min(8, availableParallelism(), Math.floor(freemem() / 2 ** 30)));
  await Promise.all(Array.from({ length: jobs }, compileNext));
  const libraries = ["-ltorch", "-ltorch_cpu", "-lc10", ...(cuda ? ["-ltorch_cuda", "-lc10_cuda"] : [])];
  // A process that has the old addon loaded keeps it.
  const unfinished = `${addon}.${process.pid}`;
  const link = [
    "-shared",
    "-fopenmp",
    ...objects.map(({ object }) => object),
    "-o",
    unfinished,
    `-L${libtorch.lib}`,
    "-Wl,--no-as-needed",
  ];
  await run(compiler, [...link, ...libraries, "-Wl,--as-needed", `-Wl,-rpath,${libtorch.lib}`, "-ldl"]);
  renameSync(unfinished, addon);
  writeFileSync(`${addon}.stamp`, linked);
  console.error(`  linked ${addon}`);
}

const runtime = join(root, "node_modules/onnxruntime-web");
/**
 * What is used of onnxruntime-web: its build for WebAssembly alone and what that loads; its package.json says whose it is.
 * The package carries these, as an install of all of it is 140 MB and brings an install script.
 */
const runtimeFiles = [
  "package.json",
  "dist/ort.wasm.min.js",
  "dist/ort-wasm-simd-threaded.mjs",
  "dist/ort-wasm-simd-threaded.wasm",
].map((name) => join(runtime, name));

function buildTypeScript() {
  const sources = [...listFiles(join(root, "src"), /\.ts$/), ...listFiles(join(root, "bench"), /\.ts$/)];
  const inputs = [
    ...sources.filter((path) => !path.endsWith(".test.ts")),
    join(root, "tsconfig.json"),
    join(root, "tsconfig.build.json"),
    join(root, "package.json"),
    join(runtime, "package.json"),
  ];
  const stamp = hash(inputs.flatMap((path) => [path.slice(root.length), readFileSync(path, "utf8")]));
  const stampFile = join(root, "dist/.stamp");
  if (stampOf(stampFile) === stamp) return;
  // Nothing of a source that is gone may stay behind.
  rmSync(join(root, "dist"), { recursive: true, force: true });
  execFileSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"],
    {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  mkdirSync(join(root, "dist/onnxruntime-web"));
  for (const path of runtimeFiles) copyFileSync(path, join(root, "dist/onnxruntime-web", basename(path)));
  writeFileSync(stampFile, stamp);
  console.error(`built dist/ (${sources.length} sources)`);
}

try {
  if (!wanted.dist) await buildAddon();
  if (isClone) buildTypeScript();
} catch (error) {
  console.error(error.stderr ? `${error.message}\n${error.stderr}` : error.message);
  process.exit(1);
}
