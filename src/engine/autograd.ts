// Gradients.
import { addon, guarded } from "./addon.js";
import { Tensor } from "./tensor.js";

/**
 * Gradients of `loss` (one element) with respect to `inputs`, only these; null where no path leads from an input to the
 * loss. The record of the forward pass is freed.
 */
export function gradients(loss: Tensor, inputs: readonly Tensor[]): (Tensor | null)[] {
  const handles = inputs.map((input) => input.handle);
  return guarded(() => addon.gradients(loss.handle, handles)).map((handle) =>
    handle === null ? null : new Tensor(handle),
  );
}

/** Runs `body` without recording operators for gradients. */
export function withoutGradients<T>(body: () => T): T {
  const before = addon.setGradEnabled(false);
  try {
    return body();
  } finally {
    addon.setGradEnabled(before);
  }
}
