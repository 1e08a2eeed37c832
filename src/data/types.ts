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
  /** Indices of pictures that could not be decoded: their pixels are zero, and batches and statistics leave them out. */
  readonly broken?: ReadonlySet<number>;
  /** How the images became what they are, where they had another size. */
  readonly preparation?: Preparation;
}

/** How a picture of another shape is brought to the size of the images. */
export type Fit = "crop" | "pad" | "stretch";

/** Pixels of the side of images that networks are made for and used on. */
export const largestImageSide = 4096;

export interface PixelSize {
  readonly height: number;
  readonly width: number;
}

/** The way from a picture to an image: fitted to `content`, zeros around it to sides divisible by 4, squares averaged. */
export interface Preparation {
  readonly content: PixelSize;
  /** Side in pixels of the squares that become one pixel; 1: none. */
  readonly averaged: number;
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
  /** Where the data are, which may be inside of the folder that was named. */
  readonly directory: string;
  readonly format: DataFormat;
  readonly classes: readonly string[];
  /** Whether `classes` are names of the data's own; otherwise they are the numbers of the labels. */
  readonly classesAreNamed: boolean;
  readonly train: Part;
  /** The images for testing; undefined where every class has but one image. */
  readonly test: Part | undefined;
  /** Name of the part of the data that the test images are; null where there is none. */
  readonly testPart: string | null;
  /** Indices of the images that were set aside for testing, among all; empty where the data have test images. */
  readonly setAside: Int32Array;
  /** The seed that they were chosen by. */
  readonly splitSeed: number;
  /** Digest of what splits are made of, see `scanDataset`. */
  readonly listing: string;
  /** What is there and not used, and what was found elsewhere than expected: sentences for people. */
  readonly notes: readonly string[];
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
  /** Which images they are: the path of each picture, or its number in a set that is in memory. */
  readonly origins?: readonly (string | number)[];
  /** Where these images are some of a batch that several processes share: see course/processes.ts. */
  readonly partOf?: {
    /** The position of the first of them in that batch. */
    readonly first: number;
    /** Labels of all of it. */
    readonly labels: Int32Array;
    /** What the mean over these images counts in the mean over all. */
    readonly share: number;
  };
}

/** Which images of a batch, of so many, are made, and what the mean over them counts in that over all of them. */
export type ChoosePart = (count: number) => {
  readonly first: number;
  readonly count: number;
  readonly share: number;
};

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
  /** Broken pictures that were left out so far, by path, with the reason; of streamed pictures. */
  readonly broken?: ReadonlyMap<string, string>;
  /** Ends worker threads; the source gives no batch afterwards. */
  close(): Promise<void>;
}

export interface OpenOptions {
  /**
   * Side in pixels of the square that every picture of an image folder is brought to, once; the
   * result is kept in memory as bytes. Without it a folder is held in memory if its pictures all have one size of at
   * most 64 pixels, and is streamed otherwise. Other data sets: a whole part of their side, to which pixels are averaged.
   */
  readonly imageSize?: number;
  /** Image folders only: never hold the pictures in memory. */
  readonly stream?: boolean;
  /** Of image folders: how pictures are brought to `imageSize`. Default "crop". */
  readonly fit?: Fit;
  /** Data without test images: about a fifth of each class is set aside by this seed. Default 0. */
  readonly splitSeed?: number;
  /** Leave out pictures that cannot be decoded instead of failing. */
  readonly skipBroken?: boolean;
}
