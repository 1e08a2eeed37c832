// A folder with a page that classifies pictures in the browser, offline, also when it is opened from the disk.
import fs from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { IstaError } from "../base/errors.js";
import {
  makeFolder,
  onFile,
  readFileLimited,
  removeUnfinished,
  temporaryPrefix,
  writeFilesAtomic,
} from "../base/files.js";
import { packageFolder } from "../base/package.js";
import { printableJson } from "../base/terminal.js";
import { describeModel, type ModelDescription } from "./model-file.js";
import { runtimeFiles, runtimeFolder } from "./onnx-runtime.js";

const templates = ["index.html", "page.css", "page.js", "pixels.js"];
const runtimeName = "runtime.js";
const binaryName = "runtime-binary.js";
const networkFile = "network.js";
const pageFiles = [...templates, runtimeName, binaryName, networkFile];
const maximumFileBytes = 64 << 20;

/** Chromium refuses to fetch files for a page that was itself opened from the disk, so bytes come as text of scripts. */
const packed = (bytes: Uint8Array): string => gzipSync(bytes, { level: 9 }).toString("base64");

const assignment = (name: string, value: unknown): string =>
  `globalThis.${name} = ${printableJson(value)};\n`;

/**
 * Refuses a folder that holds something else than such a page.
 * @throws IstaError FILE_EXISTS, FILE_KIND
 */
export function checkPageFolder(folder: string): void {
  const status = fs.statSync(folder, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isDirectory())
    throw new IstaError("FILE_KIND", `--out ${folder}: expected a folder, got a file`);
  const names = onFile("read", folder, () => fs.readdirSync(folder));
  if (names.length === 0 || names.includes(networkFile)) return;
  // One that was cut off: its network, which gets its name last, is there under a temporary one.
  const isUnfinished = (name: string): boolean => name.startsWith(temporaryPrefix);
  if (names.some(isUnfinished) && names.every((name) => isUnfinished(name) || pageFiles.includes(name)))
    return;
  throw new IstaError(
    "FILE_EXISTS",
    `--out ${folder}: expected a new or empty folder, or an earlier page, it holds something else; choose another name`,
  );
}

/**
 * Writes the page. Where it cannot be written whole, an earlier one stays as it is.
 * @param onnx a file made with the normalisation inside
 * @throws IstaError FILE_*
 */
export function writePage(folder: string, model: ModelDescription, onnx: Uint8Array): void {
  checkPageFolder(folder);
  makeFolder(folder);
  onFile("clean up", folder, () => removeUnfinished(folder));
  const read = (path: string): Buffer => readFileLimited(path, maximumFileBytes);
  const runtime = (name: keyof typeof runtimeFiles): Buffer => read(join(runtimeFolder, runtimeFiles[name]));
  const [script, binary] = [packed(runtime("script")), packed(runtime("binary"))];
  writeFilesAtomic(folder, {
    ...Object.fromEntries(templates.map((name) => [name, read(join(packageFolder, "assets", "page", name))])),
    [runtimeName]: runtime("library"),
    [binaryName]: assignment("istaRuntime", { script, binary }),
    [networkFile]: assignment("istaNetwork", { description: describeModel(model), onnx: packed(onnx) }),
  });
}
