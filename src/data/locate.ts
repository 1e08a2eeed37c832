// Where the data are: in the folder that was named, or in one inside of it, as archives and other programs lay them down.

import { basename, dirname, join } from "node:path";
import { IstaError } from "../base/errors.js";
import { type CifarFormat, recogniseCifar } from "./cifar.js";
import { type Listing, listFolder } from "./disk.js";
import { partOf } from "./folder-scan.js";
import { idxSets } from "./idx-files.js";

export interface Place {
  readonly directory: string;
  readonly listing: Listing;
  readonly format: CifarFormat | "idx" | "image-folder";
  /** Of IDX files, what their names begin with, such as `emnist-balanced-`; else empty. */
  readonly prefix: string;
  readonly notes: readonly string[];
}

/** In folders with more folders than this, those are classes. */
const mostFoldersLookedInto = 20;

/** @throws IstaError DATA_UNKNOWN, FILE_* */
export async function locate(directory: string): Promise<Place> {
  let listing: Listing;
  try {
    listing = await listFolder(directory);
  } catch (error) {
    const named =
      error instanceof IstaError && error.code === "FILE_NOT_FOUND" ? await ofPrefix(directory) : null;
    if (named !== null) return named;
    throw error;
  }
  const own = recognise(directory, listing);
  if (own !== null) return own;
  if (listing.folders.length > 0) {
    const inside = await lookInto(directory, listing);
    return inside ?? { directory, listing, format: "image-folder", prefix: "", notes: [] };
  }
  throw unknown(directory, listing);
}

/** Files of CIFAR or IDX in a folder. */
function recognise(directory: string, listing: Listing): Place | null {
  const format = recogniseCifar(listing.files);
  if (format !== undefined) return { directory, listing, format, prefix: "", notes: [] };
  const prefixes = idxSets(listing.files);
  if (prefixes.length === 0) return null;
  if (prefixes.length > 1) {
    throw new IstaError(
      "DATA_UNKNOWN",
      `data: expected the files of one data set in ${directory}, found those of ${prefixes.length}; name one: ${prefixes.map((prefix) => join(directory, prefix.replace(/-$/, ""))).join(", ")}`,
    );
  }
  return { directory, listing, format: "idx", prefix: prefixes[0], notes: [] };
}

/** `FOLDER/emnist-balanced` names the files of FOLDER that begin so. */
async function ofPrefix(path: string): Promise<Place | null> {
  const directory = dirname(path);
  const listing = await listFolder(directory).catch(() => null);
  const prefix = `${basename(path)}-`;
  if (listing === null || !idxSets(listing.files).includes(prefix)) return null;
  return { directory, listing, format: "idx", prefix, notes: [] };
}

/** Data in a folder of the folder, or in `raw/` of that (where torchvision puts the files of the MNIST family). */
async function lookInto(directory: string, { folders, files }: Listing): Promise<Place | null> {
  if (folders.length > mostFoldersLookedInto) return null;
  const inside = await Promise.all(
    folders.map(async (name) => ({ name, listing: await listFolder(join(directory, name)) })),
  );
  const found: Place[] = [];
  for (const { name, listing } of inside) {
    const path = join(directory, name);
    const own = recognise(path, listing);
    if (own !== null) found.push(own);
    else if (listing.folders.includes("raw")) {
      const raw = recognise(join(path, "raw"), await listFolder(join(path, "raw")));
      if (raw !== null) found.push(raw);
    }
  }
  if (found.length > 1) {
    throw new IstaError(
      "DATA_UNKNOWN",
      `data: expected one data set in ${directory}, found ${found.length}; name one: ${found.map((place) => place.directory).join(", ")}`,
    );
  }
  const [only] = found;
  if (only !== undefined)
    return { ...only, notes: [`the data are in ${only.directory}, inside of the folder that was named`] };
  const python = [{ name: "", listing: { folders, files } }, ...inside].find(({ listing }) =>
    listing.files.some((name) => /^(data_batch_1|train)$/.test(name)),
  );
  if (python !== undefined) throw pickled(join(directory, python.name));
  // An archive of a folder often holds a folder of the same name: one folder of folders is no single class.
  const [{ name, listing }] = inside;
  const wrapped =
    listing.folders.length > 1 || listing.folders.some((folder) => partOf(folder) !== undefined);
  if (inside.length === 1 && wrapped && partOf(name) === undefined) {
    const path = join(directory, name);
    const notes = [`the data are in ${path}, inside of the folder that was named`];
    return { directory: path, listing, format: "image-folder", prefix: "", notes };
  }
  return null;
}

const pickled = (directory: string): IstaError =>
  new IstaError(
    "DATA_UNKNOWN",
    `data: expected CIFAR in its binary version, ${directory} has the version for Python (data_batch_1 or train, without .bin); ista-nas data download cifar10 DIR fetches the other`,
  );

function unknown(directory: string, { files }: Listing): IstaError {
  if (files.includes("data_batch_1") || files.includes("train")) return pickled(directory);
  const pictures = files.filter((name) => /\.(jpe?g|png|webp|gif|tiff?|bmp)$/i.test(name)).length;
  const found =
    files.length === 0
      ? "nothing"
      : pictures > 0
        ? `${pictures} pictures without a folder for each class; sort them into ${join(directory, "CLASS")}/`
        : `none of them among ${files.length} files`;
  return new IstaError(
    "DATA_UNKNOWN",
    `data: expected CIFAR (data_batch_1.bin or train.bin), IDX (train-images-idx3-ubyte[.gz]) or folders of pictures (train/CLASS/*.jpg) in ${directory}, found ${found}`,
  );
}
