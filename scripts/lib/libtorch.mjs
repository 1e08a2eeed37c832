// Finds libtorch: LIBTORCH (a folder), a Python torch, the system's; the same order at every build.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const isLibtorch = (includes, lib) =>
  existsSync(join(includes[0], "ATen/ATen.h")) && existsSync(join(lib, "libtorch_cpu.so"));

function fromFolder(folder, origin) {
  const include = join(folder, "include");
  const includes = [include, join(include, "torch/csrc/api/include")];
  for (const lib of [join(folder, "lib"), join(folder, "lib64")]) {
    if (isLibtorch(includes, lib)) return { origin, includes, lib, newAbi: usesNewAbi(lib) };
  }
  return undefined;
}

/** Whether the library was built with the C++11 string type; the wheels of PyTorch before 2.6 were not. */
function usesNewAbi(lib) {
  try {
    const symbols = execFileSync("nm", ["-D", "--defined-only", join(lib, "libc10.so")], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    return symbols.includes("__cxx11");
  } catch {
    return true;
  }
}

function fromPython() {
  for (const python of ["python3", "python"]) {
    try {
      const folder = execFileSync(python, ["-c", "import torch; print(torch.__path__[0])"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        timeout: 60_000,
      }).trim();
      const found = fromFolder(folder, `the torch package of ${python}`);
      if (found) return found;
    } catch {
      // No such Python, or no torch in it: the next place is tried.
    }
  }
  return undefined;
}

function fromSystem() {
  const includes = ["/usr/include", "/usr/include/torch/csrc/api/include"];
  if (!existsSync("/usr/lib")) return undefined;
  const libs = readdirSync("/usr/lib")
    .filter((name) => name.endsWith("-linux-gnu"))
    .map((name) => join("/usr/lib", name));
  for (const lib of [...libs, "/usr/lib64", "/usr/lib"]) {
    if (isLibtorch(includes, lib)) return { origin: "the system's libtorch", includes, lib, newAbi: true };
  }
  return undefined;
}

/** { origin, includes, lib, newAbi } or undefined; throws when LIBTORCH is set to a folder that is none. */
export function findLibtorch() {
  const named = process.env.LIBTORCH;
  if (named) {
    const found = fromFolder(named, `LIBTORCH=${named}`);
    if (!found)
      throw new Error(
        `LIBTORCH=${named}: expected include/ATen/ATen.h and lib/libtorch_cpu.so in that folder`,
      );
    return found;
  }
  return fromPython() ?? fromSystem();
}

/**
 * Whether several processes can compute one run: libtorch has c10d with gloo, and the headers of the gloo that it was built with
 * lie beside its own.
 */
export function hasGloo(libtorch) {
  if (!hasGlooHeaders(libtorch)) return false;
  const { lib } = libtorch;
  const symbols = execFileSync("nm", ["-D", "--defined-only", join(lib, "libtorch_cpu.so")], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  return symbols.includes("ProcessGroupGloo");
}

export function hasGlooHeaders({ includes: [include] }) {
  const headers = ["torch/csrc/distributed/c10d/ProcessGroupGloo.hpp", "gloo/rendezvous/store.h"];
  return headers.every((name) => existsSync(join(include, name)));
}

export const libtorchRemedies = `libtorch (PyTorch's C++ library, 1.13 or later) was not found. One of these helps:
  1. Debian or Ubuntu: apt-get install libtorch-dev libopenblas0-pthread
  2. set LIBTORCH to the folder of an unpacked libtorch (https://pytorch.org/get-started/locally/, C++, cxx11 ABI)
  3. put a Python with PyTorch first on the PATH (pip install torch)
and then run the set-up again`;
