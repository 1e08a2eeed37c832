// Exports of a trained network to other programs: ONNX and a page for the browser, both checked before they are kept.
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { imagesTogether } from "../course/memory.js";
import { usableNetwork, writeModel } from "../formats/model-file.js";
import { type CheckImages, checkOnnx, type OnnxCheck, seededImages } from "../formats/onnx-check.js";
import { type OnnxOptions, onnxOfNetwork } from "../formats/onnx-network.js";
import { checkPageFolder, writePage } from "../formats/page.js";
import { networkForUse } from "./evaluate-model.js";
import { openEvaluationImages } from "./evaluation-images.js";
import type { UsableModel } from "./open-model.js";

export interface ExportCheck extends OnnxCheck {
  /** The folder whose test images were used; null where seeded random images stood in. */
  readonly data: string | null;
}

const mostCheckedImages = 16;

/** Test images as bytes: of the folder, or else of the run's own data where they are still there. */
async function imagesForCheck(
  model: UsableModel,
  data: string | undefined,
): Promise<{ images: CheckImages; data: string | null }> {
  const own = model.run?.config(model.run.meta.kind).data ?? null;
  const folder = data ?? own;
  const checkedImages = imagesTogether(usableNetwork(model), mostCheckedImages);
  if (folder === null) return { images: seededImages(model, checkedImages), data: null };
  try {
    return { images: await imagesOf(model, folder, checkedImages), data: folder };
  } catch (error) {
    // Nobody asked for the run's own: where they are gone or changed, random ones do.
    if (data !== undefined || !(error instanceof IstaError) || !/^(DATA|FILE)_/.test(error.code)) throw error;
    return { images: seededImages(model, checkedImages), data: null };
  }
}

async function imagesOf(model: UsableModel, data: string, checkedImages: number): Promise<CheckImages> {
  const { source } = await openEvaluationImages(model, {
    data,
    batchSize: checkedImages,
    limit: checkedImages,
    skipBroken: true,
  });
  try {
    const { images, count } = await source.batch(0, 0);
    const { mean, std } = model.normalisation;
    const area = source.height * source.width;
    const pixels = Uint8Array.from(images, (value, i) => {
      const channel = Math.floor(i / area) % mean.length;
      return Math.round(255 * (value * std[channel] + mean[channel]));
    });
    return { pixels, count };
  } finally {
    await source.close();
  }
}

/** The bytes of an ONNX file, after onnxruntime has computed with them what the engine computes. */
async function checkedOnnx(
  model: UsableModel,
  options: OnnxOptions,
  data: string | undefined,
): Promise<{ bytes: Uint8Array; check: ExportCheck }> {
  // Refuses weights that do not fit, with all that is wrong with them.
  networkForUse(model, 0, "cpu").dispose();
  const bytes = onnxOfNetwork(model, model.weights, options);
  const { images, data: used } = await imagesForCheck(model, data);
  return { bytes, check: { ...(await checkOnnx(bytes, model, images, options)), data: used } };
}

/**
 * Writes an ONNX file under its name only after the check.
 * @param data folder with images for the check; those of the run, or seeded ones, where not given
 * @throws IstaError EXPORT_MISMATCH, WEIGHTS_MISMATCH, FILE_*, DATA_*
 */
export async function exportOnnx(
  model: UsableModel,
  path: string,
  options: OnnxOptions,
  data?: string,
): Promise<ExportCheck> {
  const { bytes, check } = await checkedOnnx(model, options, data);
  writeFileAtomic(path, bytes);
  return check;
}

/** Writes a page that classifies pictures in the browser. @throws IstaError as exportOnnx */
export async function exportPage(model: UsableModel, folder: string, data?: string): Promise<ExportCheck> {
  checkPageFolder(folder);
  const { bytes, check } = await checkedOnnx(model, { withNormalisation: true }, data);
  writePage(folder, model, bytes);
  return check;
}

/** Writes the network as a model file, without the auxiliary head if that is wanted. @throws IstaError WEIGHTS_MISMATCH, FILE_* */
export function exportSafetensors(model: UsableModel, path: string, withAuxiliary: boolean): void {
  networkForUse(model, 0, "cpu").dispose();
  const { weights: all, path: _, run: __, classesAreNamed: ___, ...description } = model;
  const kept = withAuxiliary && model.shape.auxiliary;
  const weights = new Map([...all].filter(([name]) => kept || !name.startsWith("auxiliary_head.")));
  writeModel(path, { ...description, shape: { ...model.shape, auxiliary: kept }, weights });
}
