// What the engine runs on: threads, devices, libraries.
import { IstaError } from "../base/errors.js";
import { addon, guarded } from "./addon.js";
import { operators } from "./operators.js";
import type { Tensor } from "./tensor.js";

/** Versions, number of threads, CUDA devices, and the file that the matrix products come from. */
export const engineInformation = (): ReturnType<typeof addon.information> =>
  guarded(() => addon.information());

/**
 * Which instructions our fused kernels use, and all that this processor has, the widest first: of avx512, avx2 and baseline (SSE2 on
 * x86-64, NEON on ARM). ISTA_NAS_VECTOR in the environment names another than the widest. Different ones give results that differ by
 * rounding.
 */
export const vectorCode = (): { readonly used: string; readonly available: readonly string[] } => ({
  used: operators.vectorCode(),
  available: operators.vectorCodes(),
});

/** Number of threads of one operator. The same number gives the same bits. */
export const setThreads = (count: number): void => guarded(() => addon.setThreads(count));

/** Where tensors live. */
export class Device {
  static readonly cpu = new Device("cpu");

  private constructor(
    /** "cpu", "cuda" or "cuda:N" */
    readonly name: string,
  ) {}

  /** @throws IstaError ENGINE_DEVICE when the device does not exist here. */
  static named(name: string): Device {
    if (name === Device.cpu.name) return Device.cpu;
    const match = /^cuda(?::(\d+))?$/.exec(name);
    if (match === null)
      throw new IstaError("ENGINE_DEVICE", `device: expected cpu, cuda or cuda:N, got "${name}"`);
    const { cudaDevices } = engineInformation();
    if (Number(match[1] ?? 0) >= cudaDevices) {
      throw new IstaError(
        "ENGINE_DEVICE",
        `device: expected one that exists, got ${name}: this libtorch sees ${cudaDevices} CUDA devices; use --device cpu, or build against a libtorch with CUDA (see: ista-nas doctor)`,
      );
    }
    return new Device(name);
  }

  /** Whether tensors lie in the machine's own memory, and our fused kernels compute with them. */
  get isHost(): boolean {
    return this === Device.cpu;
  }

  /** The tensor on this device: itself where it is there already. */
  move(tensor: Tensor): Tensor {
    const isThere = this.isHost && tensor.device === this.name;
    return isThere ? tensor : operators.toDevice(tensor, null, null, this.name);
  }
}

/**
 * Has the C library's heap keep the memory of one step for the next. It changes a setting of the whole process, so it is for the command
 * line program to call, not for a library.
 */
export const tuneAllocator = (): void => operators.tuneAllocator();
