// What commands do first that compute with tensors.

/** Sets the process up for tensors, which nothing but this program has: a host program's settings are its own. Loads libtorch. */
export async function prepareEngine(): Promise<void> {
  const { tuneAllocator } = await import("../engine/device.js");
  tuneAllocator();
}
