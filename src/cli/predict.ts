// The command `predict`.
import type { Command } from "commander";
import { formatPercent, formatTable } from "../base/format.js";
import { printable } from "../base/terminal.js";
import type { Prediction } from "../model/predict.js";
import { addExamples, printResult } from "./frame.js";
import {
  addEngineOptions,
  addModelOptions,
  type EngineOptions,
  openModelOf,
  wholeNumber,
} from "./model-options.js";

export function registerPredict(program: Command): void {
  const command = addModelOptions(
    program.command("predict").description("say what pictures show, with probabilities"),
  )
    .argument(
      "<pictures...>",
      "picture files of any size and format that sharp reads (JPEG, PNG, WebP, AVIF, GIF, TIFF, SVG)",
    )
    .option("--top <n>", "classes to print for each picture", wholeNumber("--top", 1), 5);
  addEngineOptions(command).action(async (word: string, pictures: string[]) => {
    const options = command.opts<EngineOptions & { top: number }>();
    const model = await openModelOf(command, word);
    const { predictPictures } = await import("../model/predict.js");
    const predictions = await predictPictures(model, pictures, options);
    printResult(command, predictions, () => predictions.map(describePrediction).join("\n\n"));
  });
  addExamples(command, [
    ["predict runs/my-training cat.jpg", "the five most probable classes"],
    ["predict runs/my-training photos/*.jpg --top 1 --json", "many pictures, for another program"],
  ]);
}

const barWidth = 20;

function describePrediction({ picture, classes }: Prediction): string {
  const table = formatTable(classes, [
    { title: "", cell: ({ name }) => `  ${printable(name)}` },
    { title: "", align: "right", cell: ({ probability }) => formatPercent(probability) },
    { title: "", cell: ({ probability }) => "█".repeat(Math.round(probability * barWidth)) },
  ]);
  return `${printable(picture)}${table}`;
}
