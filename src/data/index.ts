// What the data floor offers to the floors above.

export { type Augmentation, noAugmentation } from "./augmentation.js";
export { averagedSource, averagedTo, canAverageTo } from "./average.js";
export { BatchPlan, type BatchPlanOptions } from "./batch-plan.js";
export type { ColourJitter } from "./colour-jitter.js";
export { contentsIdentity } from "./contents.js";
export {
  type DownloadProgress,
  type DownloadSource,
  downloadDataset,
  downloadSources,
  type RemoteFile,
} from "./download.js";
export { commonSmallSize } from "./folder.js";
export { FolderBatchSource, type FolderSourceOptions } from "./folder-source.js";
export { dataIdentity } from "./identity.js";
export {
  cifar10Normalisation,
  classCounts,
  imagenetNormalisation,
  isUsableNormalisation,
  statisticsOf,
} from "./image-set.js";
export { MemoryBatchSource, type MemorySourceOptions } from "./memory-source.js";
export {
  isInMemory,
  openDataset,
  type Part,
  type ScannedDataset,
  scanDataset,
  type TrainAndTest,
  trainAndTest,
  wholeDataset,
} from "./open.js";
export {
  decodeImage,
  imagenetCrop,
  type PictureRecipe,
  type PictureShape,
  preparedSquare,
  type RandomResizedCrop,
} from "./picture.js";
export { type KeptPicture, PictureCache, usualCacheBytes } from "./picture-cache.js";
export type { PictureAugmentation } from "./picture-pool.js";
export { paddedSide } from "./planes.js";
export { type PrefetchedSource, prefetch } from "./prefetch.js";
export { firstImages, openBatchSource, type SourceOptions } from "./source.js";
export {
  limited,
  type Split,
  splitTraining,
  stratifiedSplit,
  type TrainingSplit,
} from "./split.js";
export { type PictureSurvey, pictureStatistics, surveyPictures, usualSide } from "./survey.js";
export type * from "./types.js";
export { largestImageSide } from "./types.js";
export { type DatasetReport, type PartReport, verifyDataset } from "./verify.js";
