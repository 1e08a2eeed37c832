// What the engine runs on: threads, devices, libraries.
import { IstaError } from "../base/errors.js";
import { addon, guarded } from "./addon.js";

export type Device = "cpu" | "cuda" | `cuda:${number}`;

/** Versions, number of threads, CUDA devices, and the file that the matrix products come from. */
export const engineInformation = (): ReturnType<typeof addon.information> =>
  guarded(() => addon.information());

/** Number of threads of one operator. The same number gives the same bits. */
export const setThreads = (count: number): void => guarded(() => addon.setThreads(count));

/** @throws IstaError ENGINE_DEVICE when the device does not exist here. */
export function checkDevice(name: string): Device {
  const { cudaDevices } = engineInformation();
  if (name === "cpu") return name;
  const match = /^cuda(?::(\d+))?$/.exec(name);
  if (match === null)
    throw new IstaError("ENGINE_DEVICE", `device: expected cpu, cuda or cuda:N, got "${name}"`);
  if (Number(match[1] ?? 0) >= cudaDevices) {
    throw new IstaError(
      "ENGINE_DEVICE",
      `device: ${name} was asked for, but this libtorch sees ${cudaDevices} CUDA devices; use --device cpu, or build against a libtorch with CUDA (see: ista-nas doctor)`,
    );
  }
  return name as Device;
}
