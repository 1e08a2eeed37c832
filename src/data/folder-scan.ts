// Finds the pictures of an image folder, their parts and their classes, and says what is there besides.

import { realpath } from "node:fs/promises";
import { extname, join } from "node:path";
import { IstaError } from "../base/errors.js";
import { checkClassNames, type Listing, listFolder } from "./disk.js";
import type { PictureList } from "./types.js";

/** What names of picture files end in, of the formats that are read. */
const pictureEndings = [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"];
/** Pictures that sharp's built library does not read. */
const foreignEndings = [
  ".bmp",
  ".heic",
  ".heif",
  ".jxl",
  ".jp2",
  ".ppm",
  ".pgm",
  ".psd",
  ".cr2",
  ".nef",
  ".arw",
  ".dng",
];
/** Folders with more pictures than this are refused: their paths alone would fill gigabytes. */
const maximumPictures = 20_000_000;
/** Folders inside of a class may lie as deep as this. */
const maximumDepth = 16;

/** Names of parts in lower case, and what the part is called here. */
const partNames: Readonly<Record<string, string>> = {
  train: "train",
  test: "test",
  val: "val",
  valid: "val",
  validation: "val",
};

/** What a folder of this name may be a part of, if anything. */
export const partOf = (folder: string): string | undefined =>
  Object.hasOwn(partNames, folder.toLowerCase()) ? partNames[folder.toLowerCase()] : undefined;

const isPicture = (name: string): boolean => pictureEndings.includes(extname(name).toLowerCase());

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** A few names of many. */
const some = (names: readonly string[]): string =>
  names.slice(0, 5).join(", ") + (names.length > 5 ? `, and ${names.length - 5} more` : "");

export interface ScannedFolder {
  readonly classes: readonly string[];
  /** By name: `train`, `val` and `test`, or `all` where the classes lie directly in the folder. */
  readonly parts: ReadonlyMap<string, PictureList>;
  readonly notes: readonly string[];
}

/** A folder that stands for a class, or several if their names are the same text in other Unicode forms. */
interface ClassFolder {
  readonly name: string;
  readonly path: string;
}

/** What was passed over, for the notes. */
class Leftovers {
  readonly notes: string[] = [];
  private readonly endings = new Map<string, number>();

  file(name: string): void {
    const ending = extname(name).toLowerCase() || name;
    this.endings.set(ending, (this.endings.get(ending) ?? 0) + 1);
  }

  all(): string[] {
    if (this.endings.size === 0) return this.notes;
    const counts = [...this.endings].sort(([, a], [, b]) => b - a);
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    const foreign = counts.map(([ending]) => ending).filter((ending) => foreignEndings.includes(ending));
    const way = foreign.length === 0 ? "" : `; convert ${foreign.join(", ")} to JPEG or PNG to use them`;
    return [
      ...this.notes,
      `not used: ${plural(total, "file")} that ${total === 1 ? "is" : "are"} not of a picture format that is read (${some(counts.map(([ending, count]) => `${ending}: ${count}`))})${way}`,
    ];
  }
}

/**
 * Finds the pictures of `train/CLASS/`, `test/CLASS/` and `val/CLASS/` (also `valid`, `validation`; in any case), folders inside of a
 * class included. Where none of these has folders of classes, the folders are the classes themselves.
 * Throws DATA_EMPTY where there is no picture, DATA_CLASSES where another part has a class that `train` lacks, DATA_LIMIT.
 */
export async function scanFolder(directory: string, listing: Listing): Promise<ScannedFolder> {
  const left = new Leftovers();
  const found = new Map<string, { folder: string; listing: Listing }>();
  const others: string[] = [];
  for (const folder of listing.folders) {
    const name = partOf(folder);
    if (name === undefined) {
      others.push(folder);
      continue;
    }
    const own = await listFolder(join(directory, folder));
    if (own.folders.length === 0) others.push(folder);
    else if (found.has(name)) left.notes.push(`not used: ${folder}/ beside ${found.get(name)!.folder}/`);
    else found.set(name, { folder, listing: own });
  }
  loosePictures(directory, listing.files, left);
  if (found.size === 0) {
    // Two parts without classes are not two classes.
    if (listing.folders.every((folder) => partOf(folder) !== undefined))
      await classFolders(join(directory, listing.folders[0]), []);
    // A folder that has the name of a part but holds pictures themselves is a class like the others.
    const folders = await classFolders(directory, listing.folders);
    const all = await scanClasses(directory, folders, null, left);
    return { classes: all.classes, parts: new Map([["all", all]]), notes: left.all() };
  }
  if (others.length > 0)
    left.notes.push(
      `not used: ${some(others.map((name) => `${name}/`))} beside ${[...found.values()].map(({ folder }) => `${folder}/`).join(", ")} in ${directory}`,
    );
  const names = [...found.keys()].sort((a, b) => Number(b === "train") - Number(a === "train"));
  const folders = new Map<string, ClassFolder[]>();
  for (const name of names) {
    const { folder, listing: own } = found.get(name)!;
    const path = join(directory, folder);
    loosePictures(path, own.files, left);
    folders.set(name, await classFolders(path, own.folders));
  }
  // Without training pictures the classes are those of all parts.
  const known = found.has("train")
    ? null
    : [...new Set([...folders.values()].flat().map(({ name }) => name))].sort();
  const parts = new Map<string, PictureList>();
  let classes: readonly string[] | null = known;
  for (const name of names) {
    const path = join(directory, found.get(name)!.folder);
    const list = await scanClasses(path, folders.get(name)!, classes, left);
    classes ??= list.classes;
    parts.set(name, list);
  }
  return { classes: classes!, parts, notes: left.all() };
}

function loosePictures(directory: string, files: readonly string[], left: Leftovers): void {
  const pictures = files.filter(
    (name) => isPicture(name) || foreignEndings.includes(extname(name).toLowerCase()),
  );
  if (pictures.length > 0)
    left.notes.push(
      `not used: ${plural(pictures.length, "picture")} outside of the folders of classes in ${directory} (${some(pictures)})`,
    );
}

/** The classes of folders, by name. @throws IstaError DATA_EMPTY, DATA_CLASSES */
async function classFolders(directory: string, folders: readonly string[]): Promise<ClassFolder[]> {
  if (folders.length === 0) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected a folder for each class in ${directory}, found none; sort the pictures`,
    );
  }
  const made = folders.map((folder) => ({ name: folder.normalize("NFC"), path: join(directory, folder) }));
  made.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const twin = made.find(({ name }, index) => index > 0 && made[index - 1].name === name);
  if (twin !== undefined) {
    throw new IstaError(
      "DATA_CLASSES",
      `data: expected distinct classes, got ${JSON.stringify(twin.name)} twice in ${directory}: the names of two folders differ only in how Unicode writes an accent; put their pictures into one`,
    );
  }
  checkClassNames(
    made.map(({ name }) => name),
    directory,
  );
  return made;
}

/** @param classes null: those of the folders that have pictures */
async function scanClasses(
  directory: string,
  folders: readonly ClassFolder[],
  classes: readonly string[] | null,
  left: Leftovers,
): Promise<PictureList> {
  const found: { name: string; pictures: string[] }[] = [];
  const empty: string[] = [];
  let count = 0;
  for (const { name, path } of folders) {
    if (classes !== null && !classes.includes(name)) {
      throw new IstaError(
        "DATA_CLASSES",
        `data: expected only classes of the training pictures, got ${path}; move it or add training pictures`,
      );
    }
    const pictures = await picturesBelow(path, left);
    if (pictures.length === 0) empty.push(path);
    else found.push({ name, pictures: pictures.sort() });
    count += pictures.length;
    if (count > maximumPictures) {
      throw new IstaError(
        "DATA_LIMIT",
        `data: expected at most ${maximumPictures} pictures in ${directory}, there are more`,
      );
    }
  }
  const endings = pictureEndings.join(", ");
  if (found.length === 0) {
    throw new IstaError(
      "DATA_EMPTY",
      `data: expected pictures (${endings}) in ${some(empty)}, found none; add some or remove the folder`,
    );
  }
  if (empty.length > 0)
    left.notes.push(
      `left out: ${plural(empty.length, "folder")} of a class without any picture (${endings}): ${some(empty)}`,
    );
  const names = classes ?? found.map(({ name }) => name);
  return {
    count,
    classes: names,
    paths: found.flatMap(({ pictures }) => pictures),
    labels: Int32Array.from(
      found.flatMap(({ name, pictures }) => new Array<number>(pictures.length).fill(names.indexOf(name))),
    ),
  };
}

/** Paths of the pictures of a folder and of the folders in it. @param above real paths of the folders around, which links may lead to */
async function picturesBelow(
  path: string,
  left: Leftovers,
  above: readonly string[] = [],
): Promise<string[]> {
  const { folders, files } = await listFolder(path);
  const real = folders.length > 0 || above.length > 0 ? await realpath(path) : path;
  if (above.includes(real) || above.length >= maximumDepth) {
    left.notes.push(`not used: ${path}, a link to a folder around it, or too deep`);
    return [];
  }
  const pictures: string[] = [];
  for (const name of files) {
    if (isPicture(name)) pictures.push(join(path, name));
    else left.file(name);
  }
  for (const folder of folders)
    for (const one of await picturesBelow(join(path, folder), left, [...above, real])) pictures.push(one);
  return pictures;
}
