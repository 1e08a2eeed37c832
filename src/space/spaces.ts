// The built-in spaces, and what other spaces can be made of: `import { dartsSpace, separable } from "ista-nas/space"`.

export type { DartsGenotype, GenotypePair } from "./darts/genotype.js";
export { type DartsOptions, darts, dartsOperations, dartsSpace } from "./darts/space.js";
export { GraphBuilder } from "./graph.js";
export { addNode, type NodeOptions, vectorNames } from "./mixture.js";
export { type NasBench201Genotype, nasBench201 } from "./nas-bench-201/space.js";
export { type Operation, type OperationContext, registerOperations } from "./operation.js";
export * from "./operations/index.js";
export { registerSpace } from "./registry.js";
export { refuseShape, requireDivisible, requireWhole } from "./shape.js";
export type { CellSketch } from "./sketch.js";
export type {
  Choice,
  NetworkDescription,
  NetworkShape,
  NormPlacements,
  Selection,
  Space,
  TextForm,
} from "./space.js";
export { genotypeObject, refuseGenotype } from "./text.js";
