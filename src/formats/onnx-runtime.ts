// onnxruntime as WebAssembly, from files of this package alone: the ones that exported pages carry, run in this process.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Ort from "onnxruntime-web";
import { packageFolder } from "../base/package.js";

/** Where the build puts the few files of onnxruntime-web that are used (`scripts/build.mjs`). */
export const runtimeFolder = join(packageFolder, "dist/onnxruntime-web");

/** What they are called there: the library, and the script and the binary that it loads. */
export const runtimeFiles = {
  library: "ort.wasm.min.js",
  script: "ort-wasm-simd-threaded.mjs",
  binary: "ort-wasm-simd-threaded.wasm",
} as const;

/** The library, set to one thread: it starts no worker and loads nothing but the two files beside it. */
export function loadOnnxRuntime(): typeof Ort {
  const runtime = createRequire(import.meta.url)(join(runtimeFolder, runtimeFiles.library)) as typeof Ort;
  const { wasm } = runtime.env;
  wasm.numThreads = 1;
  wasm.proxy = false;
  wasm.wasmPaths = `${pathToFileURL(runtimeFolder).href}/`;
  return runtime;
}
