// Flags that the commands for using a trained network have in common.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { IstaError } from "../base/errors.js";
// Types only: the module behind them loads the tensor library, and help must not.
import type { ModelHints, UsableModel } from "../model/open-model.js";
import { prepareEngine } from "./engine.js";
import { findRun } from "./find-run.js";
import { note } from "./frame.js";
import { speaks } from "./processes.js";

/** Reads a whole number of at least `least` after `flag`. */
export const wholeNumber =
  (flag: string, least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
    throw new IstaError(
      "USAGE",
      `${flag}: expected a whole number of at least ${least}, got ${JSON.stringify(text)}`,
    );
  };

/** Reads a number above 0 after `flag`. */
export const positiveNumber =
  (flag: string) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
    throw new IstaError("USAGE", `${flag}: expected a number above 0, got ${JSON.stringify(text)}`);
  };

/** Adds the model as first argument, and what bare weights need to be understood. */
export function addModelOptions(command: Command): Command {
  return command
    .argument("<model>", "run directory (or its name in ./runs), or a safetensors file")
    .option(
      "--arch <cells>",
      "bare weights: the cells (name, genotype file, run); the rest is read off the tensors",
    )
    .option(
      "--normalisation <mean/std>",
      "bare weights: MEAN,.../STD,... of pixels in 0..1 [usual for the stem]",
    )
    .addOption(
      new Option(
        "--fit <way>",
        "bare weights: how pictures come to the size: the middle (crop), all with black beside (pad), out of proportion (stretch) [crop]",
      ).choices(["crop", "pad", "stretch"]),
    )
    .option("--image-size <n>", "side of the images in pixels [as trained]", wholeNumber("--image-size", 4));
}

/** Adds where and how fast to compute. */
export function addEngineOptions(command: Command): Command {
  return command
    .option("--threads <n>", "threads of the tensor engine; 0 = one per core", wholeNumber("--threads", 0), 0)
    .option("--device <name>", "where tensors live: cpu, cuda or cuda:N", "cpu");
}

export interface EngineOptions {
  threads: number;
  device: string;
}

/** The place of a model: a path, or the name of a run in ./runs. */
export function findModel(word: string): string {
  const place = findRun(word);
  if (existsSync(place)) return place;
  throw new IstaError(
    "FILE_NOT_FOUND",
    `${word}: expected a run directory or a safetensors file, there is none; \`ista-nas runs list\` shows the runs`,
  );
}

/** Opens the model that the command's first argument and flags name. */
export async function openModelOf(command: Command, word: string): Promise<UsableModel> {
  const { openModel } = await import("../model/open-model.js");
  await prepareEngine();
  const model = openModel(findModel(word), command.opts<ModelHints>());
  if (model.note !== undefined && speaks()) note(model.note);
  return model;
}

/** Where a result goes by default: into the run, or beside the file. */
export function besideModel({ run, path }: UsableModel, name: string): string {
  if (run !== null) return join(run.path, name);
  return `${path.replace(/\.safetensors$/, "")}-${name}`;
}
