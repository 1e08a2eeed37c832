// The command `eval`.
import { dirname, join } from "node:path";
import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
import { writeFileAtomic } from "../base/files.js";
import { type Column, formatCount, formatPercent, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { confusionFileName, mostConfusedClasses } from "../course/confusion.js";
import { drawConfusionSvg } from "../drawing/confusion.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import type { AverageFigures } from "../model/classification.js";
import type { EvaluationRequest, ModelEvaluation } from "../model/evaluate-model.js";
import type { UsableModel } from "../model/open-model.js";
import { addExamples, note, printResult, wantsQuiet } from "./frame.js";
import { addEngineOptions, addModelOptions, besideModel, openModelOf, wholeNumber } from "./model-options.js";
import { addTimeout, joinOthers, leaveOthers, speaks } from "./processes.js";
import { Progress } from "./progress.js";

interface EvalOptions extends Omit<EvaluationRequest, "limit"> {
  limitTest?: number;
  out?: string;
}

export function registerEval(program: Command): void {
  const command = addModelOptions(
    program.command("eval").description("measure a trained network on a set of images"),
  )
    .option("--data <folder>", "the images; `bundled` ships with the program [those of the run]")
    .addOption(
      new Option(
        "--split <part>",
        "test or training images, those that the run held out (validation), the folder's own val/, or all [test; of other data without test images: all]",
      ).choices(["test", "train", "validation", "val", "all"]),
    )
    .option("--batch-size <n>", "images per forward pass", wholeNumber("--batch-size", 1), 64)
    .option("--limit-test <n>", "use only this many images", wholeNumber("--limit-test", 1))
    .option(
      "--mistakes <n>",
      "also a page and a table of the mistakes of which the network was surest, at most so many [none]",
      wholeNumber("--mistakes", 1),
    )
    .option("--skip-broken", "skip pictures that cannot be read instead of stopping", false)
    .option("--out <file>", "the confusion matrix as .svg or .png [in the run, or beside the file]");
  addTimeout(addEngineOptions(command)).action(async (word: string) => runEval(command, word));
  addExamples(command, [
    ["eval runs/my-training", "on the test images of the data that it was trained on"],
    ["eval runs/my-training --mistakes 50", "and a page of what went wrong"],
    ["eval runs/my-training/model.safetensors --data my-pictures --out confusion.png", "on other images"],
    [
      "eval weights.safetensors --arch ISTA_onestage --data cifar-10-batches-bin",
      "weights of a PyTorch program, converted as docs/pytorch.md says",
    ],
  ]);
}

async function runEval(command: Command, word: string): Promise<void> {
  const { limitTest, out, ...request } = command.opts<EvalOptions>();
  if (out !== undefined) checkDrawingPath(out);
  await joinOthers(command);
  const model = await openModelOf(command, word);
  const { evaluateModel } = await import("../model/evaluate-model.js");
  if (out !== undefined && model.classes.length > mostConfusedClasses)
    throw new IstaError(
      "USAGE",
      `--out ${out}: expected at most ${mostConfusedClasses} classes, of which a confusion matrix is drawn, the network has ${model.classes.length}; leave it out, or take the figures of each class with --json`,
    );
  const progress = new Progress({ quiet: wantsQuiet(command), silent: !speaks() });
  const found = await evaluateModel(model, { ...request, limit: limitTest ?? null }, (done, total) =>
    progress.update({
      phase: "evaluate",
      epoch: 1,
      epochs: 1,
      step: done,
      steps: total,
      images: done * request.batchSize,
    }),
  ).finally(() => progress.clear());
  await leaveOthers();
  // Of several processes, which have all found the same, the first one writes and speaks.
  if (!speaks()) return;
  for (const one of found.notes) note(one);
  const { modelName } = await import("../model/open-model.js");
  let picture: string | null = out ?? besideModel(model, confusionFileName);
  try {
    if (found.confusion === null) picture = null;
    else await writeDrawing(picture, drawConfusionSvg(found.confusion, found.classes, modelName(model)));
  } catch (error) {
    // The figures are what was asked for; where a file was, too, its absence is a failure.
    if (out !== undefined || !(error instanceof IstaError)) throw error;
    picture = null;
    progress.warn(`the confusion matrix is not drawn: ${error.message}; --out FILE puts it elsewhere`);
  }
  const files = request.mistakes === undefined ? null : await writeMistakes(found, model, picture);
  // What the network saw of each is in the page.
  const mistakes = found.mistakes.map(({ pixels, truth, guess, ...one }) => {
    return { ...one, truth: found.classes[truth], guess: found.classes[guess] };
  });
  const value = { model: model.path, ...found, mistakes, confusionPicture: picture, mistakeFiles: files };
  printResult(command, value, () => describeEvaluation(found, picture, files));
}

/** Page and table, beside the picture of the confusion matrix. @returns their paths */
async function writeMistakes(
  found: ModelEvaluation,
  model: UsableModel,
  picture: string | null,
): Promise<string[]> {
  const { mistakesCsv, mistakesPage } = await import("../model/mistakes-page.js");
  const { modelName } = await import("../model/open-model.js");
  const place = (name: string): string =>
    picture === null ? besideModel(model, name) : join(dirname(picture), name);
  const page = await mistakesPage(found, model, modelName(model));
  const files = { [place("mistakes.html")]: page, [place("mistakes.csv")]: mistakesCsv(found) };
  for (const [path, text] of Object.entries(files)) writeFileAtomic(path, text);
  return Object.keys(files);
}

const shareText = (share: number | null): string => (share === null ? "-" : formatPercent(share, 1));

const averages = ({ precision, recall, f1 }: AverageFigures): string =>
  [precision, recall, f1].map((value) => formatPercent(value, 1)).join(", ");

interface ClassRow {
  name: string;
  images: number;
  accuracy: number | null;
  precision: number | null;
  f1: number | null;
  /** The wrong class that was said most often, and how often. */
  mistake: string;
}

const classColumns: Column<ClassRow>[] = [
  { title: "CLASS", cell: (row) => row.name },
  { title: "IMAGES", align: "right", cell: (row) => String(row.images) },
  {
    title: "RIGHT",
    align: "right",
    cell: ({ accuracy }) => shareText(accuracy),
  },
  { title: "PRECISION", align: "right", cell: ({ precision }) => shareText(precision) },
  { title: "F1", align: "right", cell: ({ f1 }) => shareText(f1) },
  { title: "MOST OFTEN TAKEN FOR", cell: (row) => row.mistake },
];

function describeEvaluation(
  found: ModelEvaluation,
  picture: string | null,
  files: readonly string[] | null,
): string {
  const rows = found.classes.map((name, label): ClassRow => {
    const mistake = found.takenFor[label];
    return {
      name,
      images: found.classImages[label],
      accuracy: found.classAccuracy[label],
      precision: found.report.classes[label].precision,
      f1: found.report.classes[label].f1,
      mistake: mistake === null ? "" : `${found.classes[mistake.label]} (${mistake.images})`,
    };
  });
  const top5 = found.classes.length > 5 ? `, top-5 ${formatPercent(found.top5)}` : "";
  return [
    `${found.count} images: loss ${found.loss.toFixed(4)}, top-1 ${formatPercent(found.top1)}${top5} (split: ${found.split})`,
    `one image ${(1000 * found.latencySeconds).toPrecision(3)} ms (median), in batches ${found.imagesPerSecond.toPrecision(3)} images/s; ${formatCount(found.parameters)} parameters, ${formatCount(found.multiplyAdds)} mult-adds`,
    "",
    formatTable(rows, classColumns),
    ...(found.skipped.length === 0
      ? []
      : ["", `skipped ${found.skipped.length} broken: ${printable(found.skipped.slice(0, 3).join("; "))}`]),
    "",
    `calibration error ${formatPercent(found.calibrationError)}; averages of precision, recall, F1: macro ${averages(found.report.macro)}, weighted ${averages(found.report.weighted)}`,
    ...(picture === null ? [] : ["", `confusion matrix: ${printable(picture)}`]),
    ...(files === null
      ? []
      : [`${found.mistakes.length} of ${found.mistakeCount} mistakes: ${files.map(printable).join(", ")}`]),
  ].join("\n");
}
