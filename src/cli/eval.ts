// The command `eval`.
import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
import { type Column, formatCount, formatPercent, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { drawConfusionSvg } from "../drawing/confusion.js";
import { checkDrawingPath, writeDrawing } from "../drawing/picture-file.js";
import type { EvaluationRequest, ModelEvaluation } from "../model/evaluate-model.js";
import { addExamples, note, printResult, wantsQuiet } from "./frame.js";
import { addEngineOptions, addModelOptions, besideModel, openModelOf, wholeNumber } from "./model-options.js";
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
    .option("--skip-broken", "skip pictures that cannot be read instead of stopping", false)
    .option("--out <file>", "the confusion matrix as .svg or .png [in the run, or beside the file]");
  addEngineOptions(command).action(async (word: string) => runEval(command, word));
  addExamples(command, [
    ["eval runs/my-training", "on the test images of the data that it was trained on"],
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
  const model = await openModelOf(command, word);
  const { evaluateModel, mostConfusedClasses } = await import("../model/evaluate-model.js");
  if (out !== undefined && model.classes.length > mostConfusedClasses)
    throw new IstaError(
      "USAGE",
      `--out ${out}: expected at most ${mostConfusedClasses} classes, of which a confusion matrix is drawn, the network has ${model.classes.length}; leave it out, or take the figures of each class with --json`,
    );
  const progress = new Progress({ quiet: wantsQuiet(command) });
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
  for (const one of found.notes) note(one);
  const { modelName } = await import("../model/open-model.js");
  let picture: string | null = out ?? besideModel(model, "confusion.svg");
  try {
    if (found.confusion === null) picture = null;
    else await writeDrawing(picture, drawConfusionSvg(found.confusion, found.classes, modelName(model)));
  } catch (error) {
    // The figures are what was asked for; where a file was, too, its absence is a failure.
    if (out !== undefined || !(error instanceof IstaError)) throw error;
    picture = null;
    progress.warn(`the confusion matrix is not drawn: ${error.message}; --out FILE puts it elsewhere`);
  }
  printResult(command, { model: model.path, ...found, confusionPicture: picture }, () =>
    describeEvaluation(found, picture),
  );
}

interface ClassRow {
  name: string;
  images: number;
  accuracy: number | null;
  /** The wrong class that was said most often, and how often. */
  mistake: string;
}

const classColumns: Column<ClassRow>[] = [
  { title: "CLASS", cell: (row) => row.name },
  { title: "IMAGES", align: "right", cell: (row) => String(row.images) },
  {
    title: "RIGHT",
    align: "right",
    cell: (row) => (row.accuracy === null ? "-" : formatPercent(row.accuracy, 1)),
  },
  { title: "MOST OFTEN TAKEN FOR", cell: (row) => row.mistake },
];

function describeEvaluation(found: ModelEvaluation, picture: string | null): string {
  const rows = found.classes.map((name, label): ClassRow => {
    const mistake = found.mistakes[label];
    return {
      name,
      images: found.classImages[label],
      accuracy: found.classAccuracy[label],
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
    ...(picture === null ? [] : ["", `confusion matrix: ${printable(picture)}`]),
  ].join("\n");
}
