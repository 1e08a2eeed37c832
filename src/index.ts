// The library's public face. Importing it loads libtorch; "ista-nas/sparse" and "ista-nas/space" do not.
export { type ErrorCode, errorCatalogue, IstaError } from "./base/errors.js";
export { type RandomState, RandomStream } from "./base/random.js";
export {
  type ConfigLayers,
  type ConfigOf,
  dataFolder,
  type ResolvedConfig,
  type RunKind,
  resolveConfig,
  type SearchConfig,
  type TrainConfig,
} from "./config/config.js";
export { type BatchFigures, batchTensors, crossEntropy, type LossOptions } from "./course/batch-step.js";
export {
  type BatchGradients,
  batchGradients,
  descend,
  requireFinite,
  type StepPlace,
} from "./course/descent.js";
export { type Evaluation, evaluate } from "./course/evaluate.js";
export { type RunEvent, runEvents } from "./course/events.js";
export type { RunControl, RunRequest, RunResult } from "./course/execute.js";
export { type Observer, type ProgressState, silentObserver } from "./course/loop.js";
export { cosine, linear, warmup } from "./course/schedules.js";
export type {
  ConcludeControl,
  EpochReport,
  Projection,
  Search,
  SearchContext,
} from "./course/search.js";
export { heldOutBatch, type Sources } from "./course/sources.js";
export * from "./data/index.js";
export { type DrawingOptions, drawSvg, drawText } from "./drawing/cells.js";
export type { ElementArray } from "./engine/addon.js";
export { gradients, withoutGradients } from "./engine/autograd.js";
export { Device, engineInformation, setThreads, tuneAllocator, vectorCode } from "./engine/device.js";
export {
  type MaybeTensor,
  type NormTensors,
  operators,
  type PatternKind,
  type PatternSettings,
} from "./engine/operators.js";
export { Sgd, type SgdSettings } from "./engine/sgd.js";
export { type DType, dtypes, liveTensorCount, scope, Tensor } from "./engine/tensor.js";
export { formatGenotypeJson, parseGenotypeJson } from "./formats/genotype-json.js";
export { type ResolvedGenotype, resolveGenotype } from "./formats/genotype-resolve.js";
export {
  type Model,
  type ModelDescription,
  networkOf,
  readModel,
  writeModel,
} from "./formats/model-file.js";
export type { OnnxOptions } from "./formats/onnx-network.js";
export {
  readSafetensors,
  SafetensorsFile,
  type StoredTensor,
  type TensorData,
  type TensorInfo,
  writeSafetensors,
} from "./formats/safetensors.js";
export { readWeightsFile } from "./formats/weights-file.js";
export { loadPlugin } from "./methods/plugins.js";
export { createSearch, runSearch } from "./methods/run-search.js";
export { type EvaluationRequest, evaluateModel, type ModelEvaluation } from "./model/evaluate-model.js";
export { type ExportCheck, exportOnnx, exportPage, exportSafetensors } from "./model/export-model.js";
export { type ModelHints, openModel, type UsableModel } from "./model/open-model.js";
export { type Prediction, type PredictionOptions, predictPictures } from "./model/predict.js";
export { absorbWeights } from "./nn/absorption.js";
export { type ForwardOptions, Network, type NetworkOptions, type Outputs } from "./nn/network.js";
export type { AffineRule } from "./nn/plan.js";
export type { StateDict } from "./nn/tensor-store.js";
export { type FoundArchitecture, resolveArchitecture } from "./run/architecture.js";
export type { Checkpoint, CheckpointContents, TensorGroup } from "./run/checkpoint.js";
export { type NewRun, RunDirectory } from "./run/directory.js";
export type { JsonObject } from "./run/records.js";
export type { RunSummary, SummaryInput } from "./run/summary.js";
export * from "./space/index.js";
export type { CodesJson } from "./sparse/codes-json.js";
export type { PathSegment } from "./sparse/homotopy.js";
export * from "./sparse/index.js";
export type { LassoOptions, LassoProblem, LassoResult } from "./sparse/lasso.js";
export { runTraining } from "./training/run-training.js";
