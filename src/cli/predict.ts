// The command `predict`.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { IstaError } from "../base/errors.js";
import { onFile } from "../base/files.js";
import { formatPercent, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import { formatCsv } from "../formats/csv.js";
import type { Prediction } from "../model/predict.js";
import { addExamples, print, printResult, wantsJson, wantsQuiet } from "./frame.js";
import {
  addEngineOptions,
  addModelOptions,
  type EngineOptions,
  openModelOf,
  wholeNumber,
} from "./model-options.js";
import { Progress } from "./progress.js";

interface PredictOptions extends EngineOptions {
  top: number;
  csv?: boolean;
  skipBroken: boolean;
}

/** Names of what may be a picture; what cannot be read of it is said when it is tried. */
const pictureName = /\.(jpe?g|jpe|jfif|png|webp|avif|gif|tiff?|heic|heif)$/i;

/** The pictures that words mean: files as they are, of folders all pictures in them and below. @throws IstaError DATA_EMPTY, FILE_* */
function picturesOf(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    if (!statSync(word, { throwIfNoEntry: false })?.isDirectory()) return [word];
    const found = onFile("list the folder", word, () =>
      readdirSync(word, { recursive: true, encoding: "utf8" }).filter((name) => pictureName.test(name)),
    );
    if (found.length === 0)
      throw new IstaError(
        "DATA_EMPTY",
        `predict: expected pictures (.jpg, .png, .webp ...) in the folder ${word}, found none`,
      );
    return found.sort().map((name) => join(word, name));
  });
}

export function registerPredict(program: Command): void {
  const command = addModelOptions(
    program.command("predict").description("say what pictures show, with probabilities"),
  )
    .argument(
      "<pictures...>",
      "picture files of any size and format that sharp reads (JPEG, PNG, WebP, AVIF, GIF, TIFF), or folders of them",
    )
    .option("--top <n>", "classes to print for each picture", wholeNumber("--top", 1), 5)
    .option("--csv", "print rows of picture, rank, class and probability")
    .option(
      "--skip-broken",
      "skip pictures that cannot be read, which are a failure at the end otherwise",
      false,
    );
  addEngineOptions(command).action((word: string, pictures: string[]) => runPredict(command, word, pictures));
  addExamples(command, [
    ["predict runs/my-training cat.jpg", "the five most probable classes"],
    ["predict runs/my-training photos --csv > photos.csv", "a folder, for a spreadsheet"],
    ["predict runs/my-training photos/*.jpg --top 1 --json", "many pictures, for another program"],
  ]);
}

async function runPredict(command: Command, word: string, words: readonly string[]): Promise<void> {
  const { csv, skipBroken, ...options } = command.opts<PredictOptions>();
  if (csv && wantsJson(command))
    throw new IstaError("USAGE", "--csv: expected one form of output, got --json as well");
  const pictures = picturesOf(words);
  const model = await openModelOf(command, word);
  const { predictPictures } = await import("../model/predict.js");
  const progress = new Progress({ quiet: wantsQuiet(command) });
  const broken: IstaError[] = [];
  const predictions = await predictPictures(model, pictures, {
    ...options,
    onBroken: (_, error) => {
      broken.push(error);
      if (skipBroken) progress.warn(error.message);
    },
    onBatch: (done) =>
      progress.update({
        ...{ phase: "predict", epoch: 1, epochs: 1 },
        ...{ step: done, steps: pictures.length, images: done },
      }),
  }).finally(() => progress.clear());
  if (csv) print(predictionsAsCsv(predictions));
  else if (predictions.length > 0 || wantsJson(command))
    printResult(command, predictions, () => predictions.map(describePrediction).join("\n\n"));
  if (broken.length === 0 || (skipBroken && predictions.length > 0)) return;
  const [{ code, message }] = broken;
  const others =
    broken.length === 1 ? "" : `${broken.length} of ${pictures.length} pictures cannot be read, the first: `;
  throw new IstaError(code, `${others}${message}`, { cause: broken[0] });
}

const predictionsAsCsv = (predictions: readonly Prediction[]): string =>
  formatCsv([
    ["picture", "rank", "class", "probability"],
    ...predictions.flatMap(({ picture, classes }) =>
      classes.map(({ name, probability }, rank) => [
        ...[printable(picture), String(rank + 1), printable(name), String(probability)],
      ]),
    ),
  ]);

const barWidth = 20;

function describePrediction({ picture, classes }: Prediction): string {
  const table = formatTable(classes, [
    { title: "", cell: ({ name }) => `  ${name}` },
    { title: "", align: "right", cell: ({ probability }) => formatPercent(probability) },
    { title: "", cell: ({ probability }) => "█".repeat(Math.round(probability * barWidth)) },
  ]);
  return `${printable(picture)}${table}`;
}
