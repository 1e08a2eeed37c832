// Search methods, for those who add one: `import { registerMethod, z } from "ista-nas/methods"`. Nothing here loads libtorch; what a
// method computes with (Network, Tensor, operators, batchGradients, descend ...) is in "ista-nas", to be imported in `load`.
export { z } from "zod";
export type { MethodOptions, Refuse } from "../config/methods.js";
export { count, fraction, notNegative, positive } from "../config/schema.js";
export { requireHeldOut } from "./checks.js";
export type { EpochReport, Method, Search, SearchContext } from "./method.js";
export { allMethods, registerMethod } from "./registry.js";
export { type DrawnFrom, drawWithin } from "./selections.js";
