// The command `export`.
import { join } from "node:path";
import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { printable } from "../base/terminal.js";
import { drawSvg } from "../drawing/cells.js";
import { writeDrawing } from "../drawing/picture-file.js";
import { formatGenotypeJson } from "../formats/genotype-json.js";
import type { ExportCheck } from "../model/export-model.js";
import type { UsableModel } from "../model/open-model.js";
import { formatOwnText } from "./arch.js";
import { findArchitecture } from "./find-architecture.js";
import { addExamples, print, printResult } from "./frame.js";
import { addModelOptions, besideModel, openModelOf } from "./model-options.js";

const networkFormats = ["safetensors", "onnx", "page"] as const;
/** `genotype-text` is the form of the space: Python for DARTS cells, bars for NAS-Bench-201. */
const cellFormats = ["genotype-text", "genotype-python", "genotype-json", "svg"] as const;
type NetworkFormat = (typeof networkFormats)[number];
type CellFormat = (typeof cellFormats)[number];

interface ExportOptions {
  format: NetworkFormat | CellFormat;
  out?: string;
  data?: string;
  withNormalisation: boolean;
  auxiliary: boolean;
}

export function registerExport(program: Command): void {
  const command = addModelOptions(
    program.command("export").description("write a trained network, or its cells, for other programs"),
  )
    .addOption(
      new Option("--format <form>", "what to write")
        .choices([...networkFormats, ...cellFormats])
        .makeOptionMandatory(),
    )
    .option(
      "--out <path>",
      "the file, or the page's folder [in the run or beside the file; cells: standard output]",
    )
    .option("--data <folder>", "ONNX and page: check on these test images [those of the run, or random ones]")
    .option(
      "--with-normalisation",
      "ONNX: take bytes (uint8 `pixels`, 0..255) and normalise in the graph, instead of normalised float32 `images`",
      false,
    )
    .option("--no-auxiliary", "safetensors: leave out the auxiliary head, which only training needs");
  command.action(async (word: string) => {
    const options = command.opts<ExportOptions>();
    checkOptions(options);
    const { format } = options;
    if (isCellFormat(format)) await exportCells(command, word, format, options.out);
    else await exportNetwork(command, await openModelOf(command, word), format, options);
  });
  addExamples(command, [
    ["export runs/my-training --format onnx", "for ONNX Runtime and others; checked before it is written"],
    [
      "export runs/my-training --format page --out page",
      "a page that classifies pictures in a browser, offline",
    ],
    ["export runs/my-training --format safetensors --no-auxiliary --out small.safetensors", "weights only"],
    ["export runs/my-search --format genotype-python", "the cells for a PyTorch program"],
  ]);
}

const isCellFormat = (format: string): format is CellFormat =>
  (cellFormats as readonly string[]).includes(format);

/** Refuses flags that the format would ignore. */
function checkOptions({ format, data, withNormalisation, auxiliary }: ExportOptions): void {
  const alien = [
    withNormalisation && format !== "onnx" && "--with-normalisation",
    data !== undefined && format !== "onnx" && format !== "page" && "--data",
    !auxiliary && format !== "safetensors" && "--no-auxiliary",
  ].filter((flag) => flag !== false);
  if (alien.length > 0) {
    throw new IstaError("USAGE", `--format ${format}: it has no use for ${alien.join(", ")}; leave it out`);
  }
}

async function exportCells(
  command: Command,
  word: string,
  format: CellFormat,
  out: string | undefined,
): Promise<void> {
  const found = word.endsWith(".safetensors")
    ? { ...(await openModelOf(command, word)).architecture, name: word }
    : findArchitecture(word);
  const texts: Record<CellFormat, () => string> = {
    "genotype-text": () => `${formatOwnText(found)}\n`,
    "genotype-python": () => `${formatOwnText(found, "python")}\n`,
    "genotype-json": () => formatGenotypeJson(found),
    svg: () => drawSvg(found, { title: found.name }),
  };
  const text = texts[format]();
  if (out === undefined) {
    print(text);
    return;
  }
  if (format === "svg") await writeDrawing(out, text);
  else writeFileAtomic(out, text);
  printResult(command, { format, file: out }, () => printable(out));
}

async function exportNetwork(
  command: Command,
  model: UsableModel,
  format: NetworkFormat,
  { out, data, withNormalisation, auxiliary }: ExportOptions,
): Promise<void> {
  const { exportOnnx, exportPage, exportSafetensors } = await import("../model/export-model.js");
  if (format === "safetensors") {
    const file = out ?? besideModel(model, "exported.safetensors");
    exportSafetensors(model, file, auxiliary);
    printResult(command, { format, file }, () => printable(file));
    return;
  }
  const place = out ?? besideModel(model, format === "page" ? "page" : "model.onnx");
  const check =
    format === "page"
      ? await exportPage(model, place, data)
      : await exportOnnx(model, place, { withNormalisation }, data);
  const opened = format === "page" ? join(place, "index.html") : place;
  printResult(
    command,
    { format, file: opened, check },
    () => `${printable(opened)}\n${describeCheck(check)}`,
  );
}

function describeCheck({ images, largestDifference, data }: ExportCheck): string {
  const which = data === null ? "random images" : `test images of ${printable(data)}`;
  return `onnxruntime computes the engine's logits on ${images} ${which}, to ${largestDifference.toExponential(1)} of the largest`;
}
