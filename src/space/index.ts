// The search space, genotypes and exact sizes of networks, without tensors: `import { countNetwork } from "ista-nas/space"`.
export * from "./counts.js";
export * from "./darts.js";
export * from "./genotype.js";
export * from "./layout.js";
export * from "./named-genotypes.js";
export * from "./parameters.js";
export * from "./random-genotype.js";
