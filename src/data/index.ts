// What the data floor offers to the floors above.

export { type Augmentation, noAugmentation } from "./augmentation.js";
export { BatchPlan, type BatchPlanOptions } from "./batch-plan.js";
export type { ColourJitter } from "./colour-jitter.js";
export { type DownloadProgress, type DownloadSource, downloadDataset, downloadSources } from "./download.js";
export { FolderBatchSource, type FolderSourceOptions } from "./folder-source.js";
export { dataIdentity } from "./identity.js";
export {
  cifar10Normalisation,
  classCounts,
  imagenetNormalisation,
  type Split,
  statisticsOf,
  stratifiedSplit,
} from "./image-set.js";
export { MemoryBatchSource, type MemorySourceOptions } from "./memory-source.js";
export { openDataset } from "./open.js";
export {
  decodeImage,
  imagenetCrop,
  type PictureRecipe,
  type RandomResizedCrop,
} from "./picture.js";
export type { PictureAugmentation } from "./picture-pool.js";
export { type PrefetchedSource, prefetch } from "./prefetch.js";
export { batchShape, firstImages, openBatchSource, type SourceOptions } from "./source.js";
export { type PictureSurvey, pictureStatistics, surveyPictures } from "./survey.js";
export type * from "./types.js";
export { type DatasetReport, type PartReport, verifyDataset } from "./verify.js";
