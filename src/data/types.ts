// The types that the data floor shares with training: images in memory, pictures on disk, batches.

/** Images of one size held as bytes, planar: image i, channel c, row y, column x is at ((i*C + c)*H + y)*W + x. */
export interface ImageSet {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly count: number;
  /** Name of each class; the index is the label. */
  readonly classes: readonly string[];
  /** count * channels * height * width values 0..255. */
  readonly images: Uint8Array;
  /** count labels in [0, classes.length). */
  readonly labels: Int32Array;
}

/** Picture files of an image folder, to be decoded when they are needed. */
export interface PictureList {
  readonly count: number;
  readonly classes: readonly string[];
  /** Paths of the files, classes in alphabetical order, files of a class in alphabetical order. */
  readonly paths: readonly string[];
  readonly labels: Int32Array;
}

/** Per-channel mean and standard deviation of pixel values scaled to 0..1. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export type DataFormat = "cifar10" | "cifar100" | "idx" | "image-folder";

interface OpenedDataset<Part> {
  readonly directory: string;
  readonly format: DataFormat;
  readonly classes: readonly string[];
  readonly train: Part;
  /** The images set aside for evaluation: the format's own test files, or `val/` or `test/` of an image folder. */
  readonly test: Part | undefined;
  /** Broken pictures that were left out, "path: reason"; empty unless `skipBroken` was asked for. */
  readonly skipped: readonly string[];
}

/** A data set whose images are in memory, all of one size. */
export interface MemoryDataset extends OpenedDataset<ImageSet> {
  readonly storage: "memory";
}

/** An image folder whose pictures are decoded anew for every batch. */
export interface FolderDataset extends OpenedDataset<PictureList> {
  readonly storage: "folder";
}

export type Dataset = MemoryDataset | FolderDataset;

/** One batch, ready for the network. */
export interface Batch {
  /** count * C * H * W normalised values, NCHW. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly count: number;
}

/** Batches of a data set. `batch(epoch, index)` is a pure function of its arguments and the seed. */
export interface BatchSource {
  /** Batches per epoch. */
  readonly batchCount: number;
  /** Images per epoch. */
  readonly exampleCount: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: readonly string[];
  /** Batch `index` (0 .. batchCount-1) of `epoch` (0, 1, ...). Throws RangeError outside of these. */
  batch(epoch: number, index: number): Promise<Batch>;
  /** Ends worker threads; the source gives no batch afterwards. */
  close(): Promise<void>;
}

export interface OpenOptions {
  /**
   * Side in pixels of the square that every picture of an image folder is scaled and centre-cropped to, once; the
   * result is kept in memory as bytes. Without it a folder is held in memory if its pictures all have one size of at
   * most 64 pixels, and is streamed otherwise. Other data sets: a whole part of their side, to which pixels are averaged.
   */
  readonly imageSize?: number;
  /** Image folders only: never hold the pictures in memory. */
  readonly stream?: boolean;
  /** Image folders without `val/` or `test/`: a fifth of each class is set aside by this seed. Default 0. */
  readonly seed?: number;
  /** Leave out pictures that cannot be decoded instead of failing. */
  readonly skipBroken?: boolean;
}
