// Loads the native addon and turns its errors into ours.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type ErrorCode, errorCatalogue, IstaError } from "../base/errors.js";
import { addonFolders, addonName, setUpCommand } from "../base/package.js";

/** A number that names a tensor in the addon's table. Handles of freed tensors are recognised. */
export type Handle = number;

export type ElementArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

/** What native/binding.cc exports; arguments and results are documented there. */
interface Addon {
  operator(name: string, overload: string): [number, ...("Tensor" | "Tensor[]" | "other")[]];
  call(operator: number, values: unknown[]): unknown;
  fromArray(data: ElementArray, shape: readonly number[]): Handle;
  toArray(tensor: Handle): ElementArray;
  describe(tensor: Handle): [number, string, ...number[]];
  release(tensor: Handle): void;
  openScope(): number;
  closeScope(depth: number): void;
  moveOut(tensor: Handle, outermost: boolean): void;
  liveTensors(): number;
  setRequiresGrad(tensor: Handle, value: boolean): void;
  gradients(loss: Handle, inputs: readonly Handle[]): (Handle | null)[];
  setGradEnabled(value: boolean): boolean;
  setThreads(count: number): void;
  information(): {
    libtorchVersion: string;
    threads: number;
    configuration: string;
    cudaDevices: number;
    blasLibrary: string;
  };
  /** native/processes/binding.cc */
  readonly processes: {
    readonly available: boolean;
    join(
      rank: number,
      size: number,
      address: string,
      port: number,
      timeoutMilliseconds: number,
      facts: string,
    ): Promise<string[]>;
    leave(): void;
    addUp(values: Float64Array): void;
    takeOver(bytes: Uint8Array): void;
    sums(
      tensors: readonly (Handle | null)[],
      values: Float64Array,
      averaged: readonly Handle[],
      weight: number,
    ): (Handle | null)[];
    gradientSums(
      loss: Handle,
      inputs: readonly Handle[],
      values: Float64Array,
      averaged: readonly Handle[],
      weight: number,
    ): (Handle | null)[];
    shareNorms(value: boolean): void;
    figures(): { bytes: number; waitedSeconds: number; busySeconds: number };
  };
}

/**
 * The fused operators have threads of their own (native/ops/workers.h). Libtorch's, which the few other operators use, must not spin after
 * these are done: they would take the processors of ours. OpenMP reads this when the addon is loaded; from a worker thread of Node,
 * whose environment is a copy, it cannot be set.
 */
function keepOpenMpFromSpinning(): void {
  if (process.env.OMP_WAIT_POLICY === undefined) process.env.GOMP_SPINCOUNT ??= "0";
}

function load(): Addon {
  const { own, cache } = addonFolders();
  const folder = [own, cache].find((folder) => existsSync(join(folder, addonName)));
  if (folder === undefined) {
    throw new IstaError(
      "ENGINE_MISSING",
      `engine: the native addon is not built (neither in ${own} nor in ${cache}); run: ${setUpCommand}`,
    );
  }
  keepOpenMpFromSpinning();
  try {
    return createRequire(import.meta.url)(join(folder, addonName)) as Addon;
  } catch (cause) {
    if ((cause as { code?: string }).code === "ENGINE_VECTOR")
      throw new IstaError("ENGINE_VECTOR", `engine: ${(cause as Error).message}`, { cause });
    throw new IstaError(
      "ENGINE_MISSING",
      `engine: the native addon does not load: ${(cause as Error).message}; was libtorch removed or upgraded, or the folder copied from a machine with another one or another architecture? Rebuild it: rm -r ${folder} && ${setUpCommand}`,
      { cause },
    );
  }
}

/** The addon, loaded with this module: import engine modules only where tensors are needed. */
export const addon: Addon = load();

/** Runs an addon call; its exceptions carry one of our codes and become IstaError with a JavaScript stack. */
export function guarded<T>(body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string };
    if (!(cause instanceof IstaError) && code !== undefined && code in errorCatalogue) {
      throw new IstaError(code as ErrorCode, message, { cause });
    }
    throw cause;
  }
}
