// Sparse coding of architectures, without tensors: `import { recover } from "ista-nas/sparse"`.
export type { AdamOptions, AdamState } from "./adam.js";
export { adamStep, initialAdamState } from "./adam.js";
export type { ChoiceCode, CodedChoice, Codes, CodesOptions } from "./codes.js";
export { initialCodes, recoverCodes, recoveryOptions, stepCodes, supportsOf, weightsOf } from "./codes.js";
export { codesFromJson, codesToJson } from "./codes-json.js";
export { coordinateDescent } from "./coordinate-descent.js";
export { fista } from "./fista.js";
export type { UpdateDecision, UpdateRules } from "./freezing.js";
export { allFrozen, decideUpdate, freezeAll } from "./freezing.js";
export { homotopy, lassoPath } from "./homotopy.js";
export { ista } from "./ista.js";
export type { LassoSolver } from "./lasso.js";
export type { Matrix } from "./matrix.js";
export type { Measurement, MeasurementKind } from "./measurement.js";
export { coherence, drawMeasurement } from "./measurement.js";
export type { Recovery, RecoveryMethod, RecoveryOptions, SolverName } from "./recovery.js";
export { lassoSolvers, recover } from "./recovery.js";
export { compressedGradient, searchWeights } from "./weights.js";
