// Rules on options that several methods have. No tensors.
import type { Method } from "./method.js";

/** Something must be held out for what chooses the architecture. */
export const requireHeldOut: NonNullable<Method["check"]> = ({ method, validationFraction }, refuse) => {
  if (validationFraction === 0)
    refuse("validationFraction", `expected a share above 0 with ${method}: the architecture is chosen by it`);
};
