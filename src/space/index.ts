// Search spaces as values, without tensors: `import { darts } from "ista-nas/space"`.
export { RandomStream } from "../base/random.js";
export * from "./counts.js";
export * from "./graph.js";
export type { Operation, OperationContext } from "./operation.js";
export { allSpaces, architectureOf, findSpace, registerSpace } from "./registry.js";
export * from "./sketch.js";
export * from "./space.js";
export * from "./spaces.js";
export { isTrainable, layerTensors, type TensorEntry, type TensorKind, tensorList } from "./tensors.js";
